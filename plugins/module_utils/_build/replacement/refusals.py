# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be carried into an update module, or not be pointed to from it."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.lifetimes import (
    CARRIED_DATA,
    LIVING_CODE,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.carrier import Carrier
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.changed_unit import (
    ChangedUnit,
    target_name,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import CarriedField
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


def refuse_uncarriable(unit: ChangedUnit, piece: Piece, owner: str) -> None:
    """Raises ``unsupported_reference`` if ``piece``, which ``owner`` uses, cannot be in a module."""
    carriable = piece.lifetime in (*LIVING_CODE, *CARRIED_DATA, "fragments")
    carriable |= unit.part.init and piece.lifetime == "init"
    if carriable and not (piece.kind == "fragment" and piece.section.is_writable):
        return
    raise unit.error(
        "unsupported_reference",
        owner,
        f"{owner} uses {target_name(piece)}, which is new and lies in section {piece.section.name}; a module "
        "cannot have such a section.",
        "Change the patch so that it does not need it.",
        target=target_name(piece),
        section=piece.section.name,
    )


def refuse_thunk(unit: ChangedUnit, owner: str, field: CarriedField) -> None:
    """Raises ``unresolvable_field`` for a call that the kernel rewrites before the helper could write it."""
    if isinstance(field.target, str) and field.target.startswith(unit.exact.arch.rewritten_calls):
        raise unresolvable(unit, owner, field)


def unresolvable(unit: ChangedUnit, owner: str, field: CarriedField) -> RebootlessError:
    """The refusal of a field that only the loader could fill in."""
    return unit.error(
        "unresolvable_field",
        owner,
        f"{owner} refers to {field.target} in code that the kernel rewrites when it loads the module, and it is "
        "not exported to modules.",
        "Report this function: what the kernel writes there has to be decided when the update is built.",
        target=field.target,
        offset=field.offset,
    )


def refuse_unknown_sections(units: Iterable[ChangedUnit], carrier: Carrier) -> None:
    """Raises ``unknown_special_section`` if a section that is in no table describes carried code.

    What the kernel does with it would be lost.
    """
    for unit in units:
        carried = {id(c.piece) for c in carrier.chunks if c.kind == "function" and c.unit == unit.name}
        for piece in unit.post.all:
            if piece.lifetime != "unknown" or piece.section.name.startswith(".rbl."):
                continue
            if (unit.object_name, id(piece)) in carrier.of_piece:
                continue
            for r in unit.post.references(piece):
                if id(r.target) in carried:
                    raise unit.error(
                        "unknown_special_section",
                        target_name(r.target),
                        f"section {piece.section.name} refers to {target_name(r.target)}, and what the kernel does "
                        "with it is not known.",
                        "Report this section's name.",
                        section=piece.section.name,
                    )
