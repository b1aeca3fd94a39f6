# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Relocation types of x86-64 that kernel objects hold (AMD64 ABI, table 4.9)."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.contents import (
    ABS32,
    ABS32S,
    ABS64,
    PC8,
    PC32,
    PC64,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import RelocationType

R_X86_64_PLT32 = RelocationType(4, "R_X86_64_PLT32", 4, True, PC32)
R_X86_64_PC8 = RelocationType(15, "R_X86_64_PC8", 1, True, PC8)
R_X86_64_64 = RelocationType(1, "R_X86_64_64", 8, False, ABS64, ".quad {}")
R_X86_64_32 = RelocationType(10, "R_X86_64_32", 4, False, ABS32, ".long {}")

RELOCATIONS = {
    kind.number: kind
    for kind in (
        RelocationType(0, "R_X86_64_NONE", 0, False),
        R_X86_64_64,
        RelocationType(2, "R_X86_64_PC32", 4, True, PC32, ".long {} - ."),
        R_X86_64_PLT32,
        R_X86_64_32,
        RelocationType(11, "R_X86_64_32S", 4, False, ABS32S),
        RelocationType(24, "R_X86_64_PC64", 8, True, PC64, ".quad {} - ."),
    )
}
