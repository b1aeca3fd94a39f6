# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which constants the match program compares with the running kernel, and which only the boot reads."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import Section
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.running_object import RunningObject
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.program_builder import compared_sections
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece, Pieces
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import uses


class RunningConstants:
    """Which constants of a running object the match program compares with the running kernel.

    Raises ``RebootlessError`` like ``Places``.
    """

    def __init__(self, running: RunningObject, built_in: bool) -> None:
        self._compared = frozenset(compared_sections(running.object, running.places, built_in))
        self._pieces = running.pieces

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
