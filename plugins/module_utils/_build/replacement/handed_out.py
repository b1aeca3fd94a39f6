# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update carries and hands out the address of, so that objects may use it after the update is gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import Decision
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.correlation import Correlation
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import (
    Change,
    UnitChange,
    is_living,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.lifetimes import CARRIED_DATA
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import (
    MergedConstant,
    Piece,
    Pieces,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import (
    has_new_landing_mark,
    holders,
    is_branch,
    lets_out,
    reads_in_place,
    takers,
    uses,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.borrowers import BORROWERS
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import Part
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.readers import READERS

STAYS_LOADED = "stays_loaded"
# Custom code is called to undo what it did; what describes a message is read by lib/dynamic_debug.c alone, which
# forgets a module's table before the module goes (ddebug_remove_module).
_LEFT_WITH_THE_MODULE = ("custom", "debug site")
_POINTED_TO = tuple(word for word in CARRIED_DATA if word not in _LEFT_WITH_THE_MODULE)


def handed_out(decision: Decision, decisions: Iterable[Decision] = ()) -> list[str]:
    """The new functions and data of a unit that objects may point to, and use, after the update is gone.

    Their address is stored by data, or let out by code, of the unit itself or of the others in ``decisions``: stored in
    memory, returned, or given to a function that is not known to be done with it when it returns (``borrowers.py``).
    Of what type they are does not matter: ``debugfs_create_u32()`` keeps the address of a plain ``u32``.  Data without
    a size, such as ``struct lock_class_key`` without lockdep, have nothing that could be used.
    """
    unit = decision.change
    post = unit.difference.correlation.post
    found = []
    for change in (*unit.difference.functions, *unit.difference.data):
        if change.post is None or not (change.change == "new" or _is_first_pointed_to(change)):
            continue
        if change.post.kind == "function":
            owners = takers(post, change.post) if is_living(unit, change) else []
        elif change.lifetime in _POINTED_TO and change.post.size:
            owners = holders(post, change.post, BORROWERS)
        else:
            continue
        owners = [p for p in owners if p.lifetime != "custom" and (p.lifetime != "init" or decision.init_functions)]
        if owners or (change.post.is_global and _is_taken_elsewhere(change.post, unit, decisions)):
            found.append(change.name)
    return found


def constants_let_out(correlation: Correlation, piece: Piece) -> list[str]:
    """What to call the strings and nameless constants whose address ``piece`` may leave in an object; none if it can't.

    ``fw_cfg_sysfs_probe()`` gives ``request_region()`` a name, and ``/proc/ioports`` shows it ever after.  Code of any
    kind may take from data what they point to.
    """
    post = correlation.post
    if piece.lifetime in _LEFT_WITH_THE_MODULE or (correlation.pre_of(piece) is None and _is_of_hooks(post, piece)):
        return []
    for r in post.references(piece):
        target = r.target
        if isinstance(target, Piece):
            if target is piece or target.section.is_text or not target.has_no_identity:
                continue
        elif not isinstance(target, MergedConstant):
            continue
        if not piece.section.is_text or (not reads_in_place(piece, r) and lets_out(post, piece, r, READERS)):
            return [f"a string or constant of {piece.name or piece.section.name}"]
    return []


def _is_of_hooks(post: Pieces, piece: Piece, seen: frozenset[int] = frozenset()) -> bool:
    """Whether a function is called by custom code alone, directly or through others of the kind."""
    if piece.kind != "function" or piece.is_global:
        return False
    owners = {id(owner): owner for owner, _reference in uses(post, piece)}
    seen |= {id(piece)}
    return bool(owners) and all(
        owner.lifetime == "custom" or key in seen or _is_of_hooks(post, owner, seen) for key, owner in owners.items()
    )


def remarks(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """What operators should know of an update that cannot be unloaded when it has been reversed."""
    return [
        {
            "code": STAYS_LOADED,
            "sentence": f"Once it was applied, the update's module stays loaded until the next boot, since objects may "
            f"hold the address of {', '.join(part.handed_out)}.",
            "details": {"object": part.object_name, "held": part.handed_out},
        }
        for part in parts
        if part.handed_out
    ]


def _is_first_pointed_to(change: Change) -> bool:
    return change.pre is not None and change.post is not None and has_new_landing_mark(change.pre, change.post)


def _is_taken_elsewhere(piece: Piece, unit: UnitChange, decisions: Iterable[Decision]) -> bool:
    for post in (other.change.difference.correlation.post for other in decisions if other.change is not unit):
        if piece.kind == "data":
            if holders(post, piece.name, BORROWERS):
                return True
        elif any(r.target == piece.name and not is_branch(p, r) for p in post.all for r in post.references(p)):
            return True
    return False
