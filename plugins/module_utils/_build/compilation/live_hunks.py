# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hunks of a patch make a difference.

That a unit changes says nothing of each hunk of its source: one may be between ``#ifdef`` of what the configuration
leaves out, or take a ``MODULE_ALIAS`` away.  So each hunk is left out in turn, and the units that changed are compiled
without it.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from pathlib import Path
from typing import AbstractSet, NamedTuple

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.compiler import Compiler, PreObjects
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import PatchedFile, Placed
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import compare
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile

NOT_COMPILED, SAME_OBJECT, INFORMATION = "hunk_not_compiled", "hunk_same_object", "module_information"
_INFORMATION = ".modinfo"
_WHY = {
    NOT_COMPILED: "what the compiler sees of {units} is the same with and without it: comments, or what this "
    "configuration leaves out",
    SAME_OBJECT: "{units} compiles to the same code and data with and without it",
    INFORMATION: "of {units} only the information for programs changes (.modinfo: {words}), which they read in the "
    "module's file on the disk, and which no update changes",
}


class Compiled(NamedTuple):
    """A unit that the whole patch changes: how it was compiled, and its patched object."""

    pre: PreObjects
    post: Path


class IdleHunk(NamedTuple):
    """A hunk that makes no difference: of which file, ``code`` and ``reason`` say why."""

    path: str
    hunk: Placed
    code: str
    reason: str


def idle_hunks(
    compiler: Compiler, units: Sequence[Compiled], patched: PatchedSource, scratch: Path, jobs: int
) -> list[IdleHunk]:
    """The hunks without which each of ``units``, the units that ``patched`` changes, comes out the same.

    ``scratch`` is a directory for other objects.  One that is alone in an update makes all of its difference.
    """
    hunks = [(file, hunk) for file in patched.files.values() for hunk in file.placed]
    if len(hunks) < 2 or not units:
        return []
    texts = {unit.pre.unit.name: compiler.text(unit.pre, patched) for unit in units}

    def judged(number: int, file: PatchedFile, hunk: Placed) -> IdleHunk | None:
        there = scratch / str(number)
        other = patched.without(file.path, hunk, there)
        codes: set[str] = set()
        words: set[str] = set()
        for unit in units:
            text = compiler.text(unit.pre, other)
            if text is not None and text == texts[unit.pre.unit.name]:
                codes.add(NOT_COMPILED)
                continue
            without = compiler.also(unit.pre, other, there / "without.o")
            # What does not compile without the hunk needs it.
            if without is None or compare(ObjectFile(without), ObjectFile(unit.post)):
                return None
            words |= information(without) ^ information(unit.post)
            codes.add(INFORMATION if words else SAME_OBJECT)
        code = next(code for code in (INFORMATION, SAME_OBJECT, NOT_COMPILED) if code in codes)
        names = " and ".join([unit.pre.unit.name for unit in units][:3])
        why = _WHY[code].format(units=names, words=", ".join(sorted(words)))
        return IdleHunk(file.path, hunk, code, f"Hunk {hunk.hunk} of {file.path} in the patch {hunk.patch}: {why}.")

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda row: judged(row[0], *row[1]), enumerate(hunks))
        return [row for row in found if row is not None]


def information(path: Path) -> AbstractSet[str]:
    """What an object says for programs about its module, as ``alias=net-pf-15``."""
    sections = [section for section in ObjectFile(path).sections if section.name == _INFORMATION]
    return {word.decode(errors="replace") for section in sections for word in section.data.split(b"\0") if word}
