# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the jump to a replacement goes in a running function, and whether it can.

The jump stands behind the fentry site, so that tracing of the old function goes on; a function without one is left at
its entry (behind the landing mark that indirect calls need, if it has one).
"""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import Section
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.places import Places
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece, Pieces, family


def jump_offset(pre: ObjectFile, section: Section, start: int) -> int:
    """The offset of the jump in the function that begins at ``start`` of ``section`` of an exact pre object."""
    mark = pre.arch.landing_mark
    offset = len(mark) if section.data[start : start + len(mark)] == mark else 0
    sites = pre.section_of("__mcount_loc")
    if sites is not None and any(
        r.target_section is section and r.target_offset == start + offset for r in sites.relocations
    ):
        return offset + pre.arch.tracing_call_size
    return offset


def room_for_jump(section: Section, start: int, offset: int) -> int:
    """Bytes from the jump to the next symbol, or to the section's end; padding between functions counts."""
    following = (s.value for s in section.symbols if s.value > start and not s.name.startswith(".L"))
    return min(following, default=section.size) - start - offset


class LatePlaces:
    """The places of an object that the kernel writes at any time, after it has compared what stands there."""

    def __init__(self, places: Places):
        self._places = places
        self._of: dict[Section, list[tuple[range, int]]] = {}

    def under_jump(self, section: Section, start: int) -> str | None:
        """What the kernel would find overwritten by a jump at ``start``; None if nothing.

        One static branch may begin under it: the helper module has the kernel switch a stand-in (kmod/stand_ins.c).
        Prefixes may lie under it that the kernel changes only where it finds what it looks for (kmod/prefixes.c).
        """
        arch = self._places.pre.arch
        if section not in self._of:
            self._of[section] = [
                (range(place.offset, place.offset + place.length), place.kind)
                for place in self._places.of(section)
                if place.kind in arch.rewritten_later
            ]
        jump = range(start, start + arch.jump_size)
        under = [row for row in self._of[section] if row[0][0] in jump or start in row[0]]
        branches = [site for site, kind in under if kind == arch.static_branch_kind and site[0] in jump]
        if len(branches) == len(under) == 1:
            return None
        return next((arch.rewritten_later[kind] for _site, kind in under), None)


def side_entrance(pre: Pieces, function: Piece) -> str | None:
    """The name of other code that enters ``function`` behind its entry, and so would miss the jump; None if none."""
    for piece in pre.all:
        if piece.section.is_text and family(piece.name) != family(function.name) and piece.kind == "function":
            for r in pre.references(piece):
                if r.target is function and r.relative and r.meaning > 0:
                    return piece.name
    return None
