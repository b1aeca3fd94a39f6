# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's special sections: one table.  Private to rebootless.splice.

A special section is an array of entries that the kernel (or objtool) reads; each entry belongs to a place in code.
The table serves twice: to say which bytes of running code may differ from the object's (match program), and to carry
the entries of carried code into the update module, one by one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ansible_collections.rebootless.splice.plugins.module_utils._build.matching import (
    alternatives,
    rewrites,
    unlisted_sites,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.special_sections import (
    CODE,
    RUNTIME_CONSTANTS,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# What the kernel puts into the code of modules, too, without exporting it.
KERNELS_OWN = frozenset(("x86_return_thunk", "__static_call_return", "paravirt_BUG", "BUG_func", "pv_ops"))

# Symbols that the symbol table leaves out: its own tables, and absolute ones (is_ignored_symbol in scripts/kallsyms.c).
MISSING_SYMBOLS = frozenset(
    (
        "kallsyms_addresses",
        "kallsyms_offsets",
        "kallsyms_relative_base",
        "kallsyms_num_syms",
        "kallsyms_names",
        "kallsyms_markers",
        "kallsyms_token_table",
        "kallsyms_token_index",
        "kallsyms_seqs_of_names",
    )
)
ABSOLUTE_SYMBOLS = ("init_per_cpu__",)  # by the beginning of their name; arch/x86/kernel/vmlinux.lds.S


@dataclasses.dataclass(frozen=True)
class Rewriter:
    """One mechanism that rewrites code.

    ``function(pre, entry)`` yields the rewrites of an entry of ``entry_size`` bytes; with ``needs_before`` it also
    gets the function that says what code looks like before this mechanism's turn; with ``whole_section`` it is
    ``function(pre, section)`` (of all sections with code if it stands beside ``CODE``).
    """

    function: Callable
    entry_size: int = 0
    needs_before: bool = False
    whole_section: bool = False


@dataclasses.dataclass(frozen=True)
class Kernel:
    """How one series of kernels rewrites itself: ``(section, mechanism)`` in the order of the boot."""

    series: str
    rewriters: tuple[tuple[str, Rewriter], ...]


# alternative_instructions() in arch/x86/kernel/alternative.c gives the order of the last five.
LINUX_6_1 = Kernel(
    "6.1",
    (
        ("__mcount_loc", Rewriter(rewrites.fentry, 8)),
        ("__jump_table", Rewriter(rewrites.static_branch, 16)),
        (".static_call_sites", Rewriter(rewrites.static_call_site, 8)),
        (".static_call.text", Rewriter(rewrites.static_call_trampolines, whole_section=True)),
        (".parainstructions", Rewriter(rewrites.paravirt_site, 16)),
        (".retpoline_sites", Rewriter(rewrites.retpoline_site, 4)),
        (".return_sites", Rewriter(rewrites.return_site, 4)),
        (".altinstructions", Rewriter(alternatives.alternative_6_1, 12, needs_before=True)),
        (".smp_locks", Rewriter(rewrites.lock_prefix, 4)),
    ),
)
# The same function of 6.12; apply_returns() comes before the static calls' sites that it corrects are used.
LINUX_6_12 = Kernel(
    "6.12",
    (
        ("__mcount_loc", Rewriter(rewrites.fentry, 8)),
        ("__jump_table", Rewriter(rewrites.static_branch, 16)),
        (CODE, Rewriter(unlisted_sites.static_calls_in_code, whole_section=True)),
        (".static_call.text", Rewriter(rewrites.static_call_trampolines, whole_section=True)),
        (CODE, Rewriter(unlisted_sites.retpolines_in_code, whole_section=True)),
        (CODE, Rewriter(unlisted_sites.returns_in_code, whole_section=True)),
        *((prefix + "*", Rewriter(rewrites.runtime_constants, whole_section=True)) for prefix in RUNTIME_CONSTANTS),
        (".altinstructions", Rewriter(alternatives.alternatives_6_12, whole_section=True, needs_before=True)),
        (CODE, Rewriter(unlisted_sites.landing_marks_in_code, whole_section=True)),
        (".smp_locks", Rewriter(rewrites.lock_prefix, 4)),
    ),
)
KERNELS = {kernel.series: kernel for kernel in (LINUX_6_1, LINUX_6_12)}


def kernel_of(version: str) -> Kernel:
    """The rules for a kernel by its version or release (``6.1.176-1``); refuses a series that has none."""
    series = ".".join(version.split(".")[:2])
    if series not in KERNELS:
        raise RebootlessError(
            "unsupported_kernel",
            f"How kernels of the series {series} rewrite their code is not known to this release.",
            f"Use a kernel of one of these series: {', '.join(KERNELS)}.",
        )
    return KERNELS[series]


def is_missing_from_symbol_table(name: str) -> bool:
    """Whether a built-in kernel has a symbol of that name that its symbol table leaves out."""
    return name in MISSING_SYMBOLS or name.startswith(ABSOLUTE_SYMBOLS)
