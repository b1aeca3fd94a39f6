# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the jump to a replacement goes in a running function, and whether it can.  Private to rebootless.splice.

The jump stands behind the fentry site, so that tracing of the old function goes on; a function without one is left at
its entry (behind ``endbr64``, which indirect calls need).
"""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.matching import rewrites
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.places import Places
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile, Section
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece, Pieces, family

JUMP_SIZE = 5
FENTRY_SIZE = 5
ENDBR64 = b"\xf3\x0f\x1e\xfa"

STATIC_BRANCH = "a static branch"
REWRITTEN_LATER = {
    rewrites.FENTRY: "an fentry site",
    rewrites.STATIC_CALL: "a static call",
    rewrites.STATIC_BRANCH: STATIC_BRANCH,
    rewrites.LOCK: "a lock prefix",
    rewrites.MIXED: "code that several mechanisms rewrite",
}


def jump_offset(pre: ObjectFile, section: Section, start: int) -> int:
    """The offset of the jump in the function that begins at ``start`` of ``section`` of an exact pre object."""
    offset = len(ENDBR64) if section.data[start : start + len(ENDBR64)] == ENDBR64 else 0
    sites = pre.section_of("__mcount_loc")
    if sites is not None and any(
        r.target_section is section and r.target_offset == start + offset for r in sites.relocations
    ):
        return offset + FENTRY_SIZE
    return offset


def room_for_jump(section: Section, start: int, offset: int) -> int:
    """Bytes from the jump to the next symbol, or to the section's end; padding between functions counts."""
    following = (s.value for s in section.symbols if s.value > start and not s.name.startswith(".L"))
    return min(following, default=section.size) - start - offset


class LatePlaces:
    """The places of an object that the kernel writes at any time, after it has compared what stands there."""

    def __init__(self, places: Places):
        self._places = places
        self._of: dict[Section, list[tuple[range, str]]] = {}

    def under_jump(self, section: Section, start: int) -> str | None:
        """What the kernel would find overwritten by a jump at ``start``; None if nothing.

        One static branch may begin under it: the helper module has the kernel switch a stand-in (kmod/stand_ins.c).
        """
        if section not in self._of:
            self._of[section] = [
                (range(place.offset, place.offset + place.length), REWRITTEN_LATER[place.kind])
                for place in self._places.of(section)
                if place.kind in REWRITTEN_LATER
            ]
        jump = range(start, start + JUMP_SIZE)
        under = [row for row in self._of[section] if row[0][0] in jump or start in row[0]]
        branches = [what for site, what in under if what == STATIC_BRANCH and site[0] in jump]
        if len(branches) == len(under) == 1:
            return None
        return next((what for _site, what in under), None)


def side_entrance(pre: Pieces, function: Piece) -> str | None:
    """The name of other code that enters ``function`` behind its entry, and so would miss the jump; None if none."""
    for piece in pre.all:
        if piece.section.is_text and family(piece.name) != family(function.name) and piece.kind == "function":
            for r in pre.references(piece):
                if r.target is function and r.relative and r.meaning > 0:
                    return piece.name
    return None
