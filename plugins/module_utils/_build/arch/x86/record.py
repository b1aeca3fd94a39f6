# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of x86-64."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import (
    boot_image,
    escapes,
    instructions,
    kinds,
    relocations,
    sections,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.kernels import KERNELS
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.rewrites import RETURN_THUNK
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import (
    Architecture,
    Emulator,
    SourcePaths,
)

X86_64 = Architecture(
    name="x86_64",
    source="x86",
    elf_machine="EM_X86_64",
    relocations=relocations.RELOCATIONS,
    pointer=relocations.R_X86_64_64,
    section_offset=relocations.R_X86_64_32,
    branch_types={4: relocations.R_X86_64_PLT32, 1: relocations.R_X86_64_PC8},
    special_sections=sections.SPECIAL_SECTIONS,
    harmless_sections=sections.HARMLESS_SECTIONS,
    lifetimes=sections.LIFETIMES,
    runtime_constants={prefix: field for prefix, (field, _dummy) in sections.RUNTIME_CONSTANTS.items()},
    tables_of_places=(".altinstructions", ".smp_locks"),
    unwind_tables=".orc_",
    unwound_places=".orc_unwind_ip",
    instructions=instructions.instructions,
    memory_operand_fields=instructions.memory_operand_fields,
    direct_branches=instructions.direct_branches,
    ends_with_call=instructions.ends_with_call,
    ends_with_branch=instructions.ends_with_branch,
    nop_for_jump=instructions.nop_for_jump,
    lets_out=escapes.lets_out,
    jump=bytes([instructions.JMP32, 0, 0, 0, 0]),
    landing_mark=instructions.ENDBR64,
    warning_without_mark="data relocation to !ENDBR: ",
    tracing_call="__fentry__",
    tracing_call_size=5,
    rewritten_calls=("__fentry__", RETURN_THUNK, "__x86_indirect_"),
    calls_without_work=("__fentry__", "__x86_"),
    rewritten_at_load={
        ".altinstructions": lambda entry: entry[-2],  # instrlen, before replacementlen
        ".parainstructions": lambda entry: entry[9],  # instr, type, len
    },
    relocation_kind=kinds.RELOCATION,
    static_branch_kind=kinds.STATIC_BRANCH,
    mixed_kind=kinds.MIXED,
    rewritten_later={  # not lock prefixes: those are changed only where the kernel finds them (kmod/prefixes.c)
        kinds.FENTRY: "an fentry site",
        kinds.STATIC_CALL: "a static call",
        kinds.STATIC_BRANCH: "a static branch",
        kinds.MIXED: "code that several mechanisms rewrite",
    },
    never_left={
        "start_secondary": "idle",  # kernel/smpboot.c
        **dict.fromkeys(("secondary_startup_64", "secondary_startup_64_no_verify"), "idle"),  # kernel/head_64.S
        # kernel/smpboot.c, drivers/acpi/processor_idle.c: loops around hlt and mwait, with nothing on the stack.
        **dict.fromkeys(("hlt_play_dead", "mwait_play_dead", "acpi_idle_play_dead"), "offline"),
        **dict.fromkeys(("ret_from_fork", "ret_from_fork_asm"), "kernel"),  # entry/entry_64.S, kernel/process.c
    },
    payload=boot_image.payload,
    modules_base=0xFFFFFFFFC0000000,  # MODULES_VADDR
    paths=SourcePaths(
        boot_only=r"arch/x86/boot/.*",
        vdso="arch/x86/entry/vdso/",
        vdso_headers=r"arch/x86/include/asm/vdso\.h",
        carried=("arch/x86/realmode/", "arch/x86/purgatory/"),
        offsets=("arch/x86/kernel/asm-offsets.c", "arch/x86/kvm/kvm-asm-offsets.c"),
    ),
    emulator=Emulator(
        "qemu-system-x86_64",
        "q35",
        "ttyS0",
        frozenset(("svm", "vmx")),
        "OVMF/OVMF_CODE_4M.fd",
        "OVMF/OVMF_VARS_4M.fd",
    ),
    kernels=KERNELS,
)
