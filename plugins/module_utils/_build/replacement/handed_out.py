# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""New functions and data whose address is handed out, so that objects may use them after the update is gone."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import Decision
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import (
    UnitChange,
    is_living,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import (
    is_branch,
    reads_in_place,
    takers,
    uses,
)

# New data that living objects may point to when the update has been reversed.
_POINTED_TO = ("constant", "writable", "ro_after_init", "percpu")
# Structs that no object points to while no code of the update runs: locks and counters.
_IN_THEMSELVES = frozenset(
    (
        *("spinlock", "raw_spinlock", "mutex", "rw_semaphore", "seqcount", "seqcount_spinlock", "ratelimit_state"),
        *("static_key", "static_key_true", "static_key_false", "lock_class_key", ""),
    )
)


def handed_out(decision: Decision, decisions: Iterable[Decision] = ()) -> list[str]:
    """The new functions and data of a unit that objects may point to, and use, after the update is gone.

    Their address is computed or stored by code or data, of the unit itself or of the others in ``decisions``.  Locks
    and counters do not count: no pointer to them is left when no code of the update runs.
    """
    unit = decision.change
    post = unit.difference.correlation.post
    found = []
    for change in (*unit.difference.functions, *unit.difference.data):
        if change.change != "new" or change.post is None:
            continue
        if change.post.kind == "function":
            owners = takers(post, change.post) if is_living(unit, change) else []
        elif change.lifetime in _POINTED_TO and not _is_in_itself(unit, change.post):
            owners = [p for p, r in uses(post, change.post) if p.kind != "function" or not reads_in_place(p, r)]
        else:
            continue
        owners = [p for p in owners if p.lifetime != "custom" and (p.lifetime != "init" or decision.init_functions)]
        if owners or (change.post.is_global and _is_taken_elsewhere(change.post, unit, decisions)):
            found.append(change.name)
    return found


def _is_in_itself(unit: UnitChange, piece: Piece) -> bool:
    return unit.difference.variables[1].type_name(piece) in _IN_THEMSELVES


def _is_taken_elsewhere(piece: Piece, unit: UnitChange, decisions: Iterable[Decision]) -> bool:
    others = (other.change for other in decisions if other.change is not unit)
    for post in (other.difference.correlation.post for other in others):
        for owner in post.all:
            for r in post.references(owner):
                if (
                    r.target == piece.name
                    and not is_branch(owner, r)
                    and not (piece.kind == "data" and owner.kind == "function" and reads_in_place(owner, r))
                ):
                    return True
    return False
