# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a constant that a patch changes.  Private to rebootless.splice.

Of unchanged size, its bytes in the running kernel are exchanged during the stop: everyone who has its address sees the
new ones.  That takes a constant whose running bytes the match program compares, and of which nobody has a copy
(``copies``).  A resized or moved one needs another
object, which only replaced code would see: that is safe only if nobody can have kept the address of the old one.
"""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build import special
from ansible_collections.rebootless.splice.plugins.module_utils._build.correlate import Correlation
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects import ObjectFile, Section
from ansible_collections.rebootless.splice.plugins.module_utils._build.pieces import Piece, Pieces
from ansible_collections.rebootless.splice.plugins.module_utils._build.places import Places
from ansible_collections.rebootless.splice.plugins.module_utils._build.program import compared_sections
from ansible_collections.rebootless.splice.plugins.module_utils._build.uses import reads_in_place, uses

EXCHANGE, COPY = "exchange", "copy"
# Structs that the kernel copies out of a constant into its own objects, which would keep the old contents; and where.


def split_copies(correlation: Correlation) -> list[tuple[Piece, Piece]]:
    """Parts the pairs of constants that can be two objects, and returns them: ``(pre, post)``.

    Those are resized or moved constants without pointers, of one unit, of which code only ever reads single values at
    an address that is part of the instruction: nobody holds the address of the old one.
    """
    copies = []
    for piece in list(correlation.pre.all):
        other = correlation.post_of(piece)
        if other is None or (piece.size == other.size and piece.lifetime == other.lifetime):
            continue
        if _is_private(correlation.pre, piece) and _is_private(correlation.post, other):
            correlation.part(piece, other)
            copies.append((piece, other))
    return copies


def _is_private(pieces: Pieces, constant: Piece) -> bool:
    if constant.kind != "data" or constant.lifetime != "constant" or constant.is_global or constant.section.is_writable:
        return False
    return not pieces.references(constant) and all(
        user.kind == "function" and user.lifetime == "text" and reads_in_place(user, r)
        for user, r in uses(pieces, constant)
    )


class RunningConstants:
    """Which constants the match program compares with the running kernel, in an object compiled with the exact flags.

    Raises ``RebootlessError`` like ``Places``.
    """

    def __init__(self, exact: ObjectFile, kernel: special.Kernel, built_in: bool):
        self._compared = frozenset(compared_sections(exact, Places(exact, kernel), built_in))
        self._pieces = Pieces(exact)

    def why_not(self, pieces: Pieces, constant: Piece) -> str:
        """Why ``constant`` of the pre object in ``pieces`` cannot be exchanged in place; "" if it can."""
        found = [p for p in self._pieces.all if constant.name in (p.name, *p.aliases)]
        if len(found) != 1:
            return f"the kernel's object has {len(found) or 'no'} symbols of that name"
        running = found[0]
        if running.is_weak:
            return "it is weak, and another definition may be in force"
        if not _is_constant_of(running.section, self._compared):
            return f"section {running.section.name} of the running kernel is not compared"
        if running.size != constant.size or self._pieces.masked(running) != pieces.masked(constant):
            return "the object compiled with the kernel's flags has other bytes there"
        return ""


def _is_constant_of(section: Section, compared: frozenset[Section]) -> bool:
    return section in compared and not (section.is_text or section.is_writable)


def only_boot_reads(pieces: Pieces, constant: Piece) -> bool:
    """Whether a constant of plain values serves code alone that runs at start, which has taken them over."""
    users = [user for user, _r in uses(pieces, constant)]
    plain = not pieces.references(constant) and not constant.is_global
    return plain and bool(users) and all(user.lifetime in ("init", "init data") for user in users)
