# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a section's name says about its contents: one table.

Source: include/asm-generic/vmlinux.lds.h and the files that put things into these sections.
"""

from __future__ import annotations

import functools
import re

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import Section

# The first row that matches the section's name wins.
_ROWS = [
    (re.compile(pattern), name)
    for pattern, name in (
        # Pieces of functions, without symbols.
        (r"\.altinstr_replacement$|\.fixup$", "fragments"),
        # Gone, or run for the last time, when the kernel is up.
        (r"\.(mem|cpu|dev)?init\.text", "init"),
        (r"\.(mem|cpu|dev)?exit\.text", "exit"),
        (r"\.(mem|cpu|dev)?(init|exit)\.(ro)?data", "init data"),
        # Runs on page tables that do not map modules.
        (r"\.entry\.text", "entry"),
        (r"\.static_call\.text", "static call"),
        # Made for the build and for tools: nothing that runs looks at it.
        (
            r"\.modinfo|\.note|\.comment|\.eh_frame|\.discard|\.gnu\.|\.printk_index|__ksymtab_strings",
            "ignored",
        ),
        # With KASAN gcc tells of the unit's variables: a table, and a constructor that has run before anything else.
        # What an update carries is in no such table, so that nothing watches the bytes behind it.
        (r"\.data\.\.LASAN|\.(init|fini)_array|\.text\.(startup|exit)(\.|$)", "ignored"),
        (r"___ksymtab|___kcrctab|\.export_symbol", "export"),
        # Arrays that the linker collects, and that something registers when the kernel or a module starts.
        (
            r"\.initcall|\.con_initcall|\.exitcall|\.init\.setup|\.lsm_info|\.early_lsm_info|__param|__modver"
            r"|__tracepoint|_ftrace_e|__syscalls_metadata|__bpf_raw_tp|\.BTF_ids"
            r"|\.pci_fixup|__trace_printk_fmt|__earlycon|__acpi_probe|__timer_acpi|__thermal|\.builtin_fw"
            r"|\.static_call_tramp_key",
            "registered",
        ),
        (r"\.data\.\.ro_after_init", "ro_after_init"),
        (r"\.(data|bss)\.\.percpu", "percpu"),
        (r"\.data\.\.?once", "once"),
        (r"__dyndbg", "debug site"),
        (r"\.rbl\.", "custom"),  # kmod/rebootless_custom.h
        (r"\.rodata|\.data\.rel\.ro|\.ref\.rodata|__(stop|dl|rt|fair|idle)_sched_class", "constant"),
        (r"\.(data|bss)(\.|$)|\.ref\.data", "writable"),
    )
]

# What may be carried into an update module, under the section name it has.
CARRIED_DATA = ("ro_after_init", "percpu", "once", "debug site", "constant", "writable")
# Code that runs again and again, and can be exchanged.
LIVING_CODE = ("text",)
# State about one place in the code, harmless to forget or to begin anew.
PER_SITE = ("once", "debug site")


@functools.lru_cache(maxsize=4096)
def _by_name(name: str) -> str:
    return next((row for pattern, row in _ROWS if pattern.match(name)), "")


def lifetime(section: Section) -> str:
    """One of the table's words; ``text`` for other code, ``unknown`` for other data."""
    if section.special:
        return "special"
    return section.arch_lifetime or _by_name(section.name) or ("text" if section.is_text else "unknown")
