# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections that the kernel reads beside its code, and what of them an update carries: one table.

What only one architecture has stands in its record (``arch/``).
"""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import CODE, Architecture
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import (
    ObjectCode,
    Section,
    SpecialSection,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

SPECIAL_SECTIONS = {
    s.name: s
    for s in (
        SpecialSection("__mcount_loc", 8, 0, "emit", "scripts/recordmcount.c"),
        SpecialSection("__jump_table", 16, 0, "emit", "include/linux/jump_label.h"),
        SpecialSection(".static_call_sites", 8, 0, "emit", "include/linux/static_call_types.h"),
        SpecialSection(".discard.reachable", 4, 0, "emit", "include/linux/compiler.h"),
        SpecialSection(".discard.unreachable", 4, 0, "emit", "include/linux/compiler.h"),
        SpecialSection(".discard.instr_begin", 4, 0, "emit", "include/linux/instrumentation.h"),
        SpecialSection(".discard.instr_end", 4, 0, "emit", "include/linux/instrumentation.h"),
        SpecialSection(".discard.unwind_hints", 0, 0, "emit", "include/linux/objtool.h"),
        SpecialSection(".discard.func_stack_frame_non_standard", 8, 0, "emit", "include/linux/objtool.h"),
        SpecialSection(".discard.intra_function_calls", 4, 0, "emit", "include/linux/objtool.h"),
        SpecialSection(".discard.annotate_insn", 8, 0, "emit", "include/linux/objtool.h"),
        SpecialSection("_kprobe_blacklist", 8, 0, "emit", "include/asm-generic/kprobes.h"),
        SpecialSection("_error_injection_whitelist", 16, 0, "emit", "include/asm-generic/error-injection.h"),
        SpecialSection(".printk_index", 8, 0, "drop", "include/linux/printk.h"),
    )
}


def special_section(name: str, arch: Architecture) -> SpecialSection | None:
    """What is known about the section of that name; None if it is no special one."""
    return SPECIAL_SECTIONS.get(name) or arch.special_section(name)


# Sections through which the kernel never writes code, by the beginning of their name; they may point into code.
HARMLESS_SECTIONS = {
    ".data": "variables",
    ".rodata": "constants",
    ".bss": "variables",
    ".ref.data": "variables that refer to boot code",
    ".meminit.": "memory hotplug's data",
    ".init.": "data and tables of the boot",
    ".exit": "data and tables of an exit that built-in code never makes",
    ".init_array": "the compiler's own constructors (of KASAN), which have run",
    ".fini_array": "the compiler's own destructors, which never run",
    ".initcall": "tables of the boot",
    ".con_initcall": "tables of the boot",
    ".lsm_info.init": "tables of the boot",
    ".early_lsm_info.init": "tables of the boot",
    ".pci_fixup": "PCI quirks: functions to call",
    ".note": "notes for boot loaders and hypervisors",
    ".discard.": "annotations for objtool, discarded by the linker",
    ".static_call_tramp_key": "static calls that modules reach by their trampoline",
    ".gnu.linkonce.this_module": "a module's description: its init and exit",
    "__patchable_function_entries": "the nops before functions, for tracers; the linker drops them",
    ".export_symbol": "exported symbols",
    "__bug_table": "warnings: the code is compared by the trap, never written",
    "__ex_table": "exception fixups: addresses to continue at",
    "___ksymtab": "exported symbols",
    "__ksymtab": "exported symbols",
    "__kcrctab": "exported symbols",
    "__param": "module parameters",
    "__tracepoints": "tracepoints: functions to register",
    "__bpf_raw_tp_map": "tracepoints for BPF",
    "_ftrace_events": "trace events",
    "__syscalls_metadata": "trace events",
    "_kprobe_blacklist": "functions that take no kprobe",
    "_error_injection_whitelist": "functions that may be made to fail",
    "__dyndbg": "dynamic debug messages",
    "__earlycon_table": "early consoles",
    "__acpi_probe_table": "ACPI drivers",
    "__thermal_table": "thermal governors",
    "__timer_acpi_probe_table": "clock drivers",
    "__stop_sched_class": "a scheduling class",
    "__dl_sched_class": "a scheduling class",
    "__rt_sched_class": "a scheduling class",
    "__fair_sched_class": "a scheduling class",
    "__idle_sched_class": "a scheduling class",
    ".printk_index": "an index of messages",
    ".rbl.": "an update module's own tables; __jump_table names the same places",
}


# Constants at an address of their own, by the beginning of their section's name (include/asm-generic/vmlinux.lds.h).
CONSTANT_SECTIONS = (
    ".rodata",
    ".data.rel.ro",
    "__stop_sched",
    "__dl_sched",
    "__rt_sched",
    "__fair_sched",
    "__idle_sched",
)


# Code that is not in memory once a kernel runs (or, for the replacements, only a source of other code; or, in a module,
# constructors and destructors of the compiler's, which run no more).
TRANSIENT_TEXT = (".init.", ".altinstr_replacement", ".discard.", ".text.startup", ".text.exit")


MODULE_INIT = ".init.text"


def sections_of(pre: ObjectCode, name: str) -> list[Section]:
    """The sections that a row of ``Kernel.rewriters`` names: one, all with code, or all whose name begins like that."""
    if name == CODE:
        return [section for section in pre.sections if section.is_text]
    if name.endswith("*"):
        return [section for section in pre.sections if section.name.startswith(name[:-1])]
    section = pre.section_of(name)
    return [section] if section is not None else []


def stays_in_memory(section: Section, built_in: bool = True, init: bool = False) -> bool:
    """Whether a text section is still there when the kernel runs; with ``init``, while the module is being loaded."""
    if init and not built_in and section.name.startswith(MODULE_INIT):
        return True
    if section.is_boot_fragments or section.name.startswith(TRANSIENT_TEXT):
        return False
    return not (built_in and section.name.startswith(".exit."))


def check_sections(pre: ObjectCode, arch: Architecture) -> None:
    """Refuses an object in which a section that is not in the tables points into code that stays in memory."""
    harmless = (*HARMLESS_SECTIONS, *arch.harmless_sections)
    for section in pre.sections:
        if not section.is_alloc or section.is_text or section.special:
            continue
        if section.name.startswith(harmless):
            continue
        for relocation in section.relocations:
            target = relocation.target_section
            if target is not None and target.is_text and stays_in_memory(target):
                raise RebootlessError(
                    "unknown_special_section",
                    f"{pre.path}: section {section.name} points into {target.name}, and what the kernel does with it "
                    "is not known.",
                    "Report this section's name; whether the kernel writes code through it has to be found out.",
                    section=section.name,
                    target=target.name,
                )
