# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each series of x86 kernels rewrites itself: the mechanisms, in the order of the boot."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import (
    alternatives,
    rewrites,
    unlisted_sites,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.sections import RUNTIME_CONSTANTS
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import CODE, Kernel, Rewriter

# What the kernel puts into the code of modules, too, without exporting it.
KERNELS_OWN = frozenset(("x86_return_thunk", "__static_call_return", "paravirt_BUG", "BUG_func", "pv_ops"))
ABSOLUTE_SYMBOLS = ("init_per_cpu__",)  # arch/x86/kernel/vmlinux.lds.S

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
    KERNELS_OWN,
    ABSOLUTE_SYMBOLS,
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
    KERNELS_OWN,
    ABSOLUTE_SYMBOLS,
)
KERNELS = {kernel.series: kernel for kernel in (LINUX_6_1, LINUX_6_12)}
