# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Offsets of struct members that assembler code uses: headers that Kbuild makes from compiled C (``asm-offsets.c``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import AbstractSet as Set

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.generated import refusal
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Architecture
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.saved_command import (
    read_assembly,
    run_saved,
)

# C sources that are compiled to assembler, whose lines "->NAME VALUE" become a header (Kbuild, *filechk offsets*);
# each architecture has more of them.
_OFFSETS = ("kernel/bounds.c", "kernel/sched/rq-offsets.c")
_OFFSET = re.compile(rb'->\S+[^"\n]*')


def check(arch: Architecture, build: Path, patched: PatchedSource, reached: Set[str]) -> None:
    """Raises ``RebootlessError`` (``generated_source_changes``) if offsets that assembler code uses would change."""
    for path in (*_OFFSETS, *arch.paths.offsets):
        assembly = build / f"{path.removesuffix('.c')}.s"
        if path not in reached or not assembly.is_file():
            continue
        command = read_assembly(build, f"{path.removesuffix('.c')}.s")
        done = run_saved(command.assemble(patched.numbered.place), build)
        before, after = (set(_OFFSET.findall(text)) for text in (assembly.read_bytes(), done.stdout))
        if done.returncode == 0 and before != after:
            names = sorted({row[2:].split()[0].decode() for row in before ^ after})
            raise refusal(next(iter(patched.files)), f"{', '.join(names[:5])} for assembler code would be others")
