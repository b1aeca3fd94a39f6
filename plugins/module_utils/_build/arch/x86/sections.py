# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Special sections that only x86 kernels have; ``objects/special_sections.py`` has those of all."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.contents import COPY8, COPY64
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import SpecialSection

# Tables named after a variable, by the beginning of their name: the boot writes its value into code
# (arch/x86/include/asm/runtime-const.h).  The type of field, and what the compiler put there before.
RUNTIME_CONSTANTS = {
    "runtime_ptr_": (COPY64, (0x0123456789ABCDEF).to_bytes(8, "little")),
    "runtime_shift_": (COPY8, b"\x0c"),
}
SPECIAL_SECTIONS = {
    s.name: s
    for s in (
        SpecialSection(".altinstructions", 0, 0, "emit", "arch/x86/include/asm/alternative.h"),
        SpecialSection(".parainstructions", 16, 0, "emit", "arch/x86/include/asm/paravirt_types.h"),
        SpecialSection(".smp_locks", 4, 0, "emit", "arch/x86/include/asm/alternative.h"),
        SpecialSection("__bug_table", 12, 0, "emit", "arch/x86/include/asm/bug.h"),
        SpecialSection("__ex_table", 12, 0, "emit", "arch/x86/include/asm/extable.h"),
        SpecialSection(".return_sites", 4, 0, "objtool", "tools/objtool/check.c"),
        SpecialSection(".retpoline_sites", 4, 0, "objtool", "tools/objtool/check.c"),
        SpecialSection(".call_sites", 4, 0, "objtool", "tools/objtool/check.c"),
        SpecialSection(".ibt_endbr_seal", 4, 0, "objtool", "tools/objtool/check.c"),
        SpecialSection(".orc_unwind_ip", 4, 0, "objtool", "tools/objtool/orc_gen.c"),
        SpecialSection(".discard.retpoline_safe", 0, 0, "emit", "arch/x86/include/asm/nospec-branch.h"),
        SpecialSection(".discard.noendbr", 0, 0, "emit", "include/linux/objtool.h"),
        *(SpecialSection(p, 4, 0, "constant", "arch/x86/include/asm/runtime-const.h") for p in RUNTIME_CONSTANTS),
    )
}
HARMLESS_SECTIONS = {
    ".x86_cpu_dev.init": "processor vendors: functions to call",
    ".apicdrivers": "APIC drivers: pointers to their descriptions",
    ".iommu_table": "IOMMU drivers: functions to call",
    ".orc_": "the unwinder's tables",
}
LIFETIMES = (
    (r"\.x86_cpu_dev|\.apicdrivers|\.iommu_table", "registered"),
    # Boot code without symbols, referred to only from where an alternative will be (asm/cpufeature.h).
    (r"\.altinstr_aux$", "fragments"),
    (r"\.orc_", "ignored"),
)
