# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions whose entry can hold no breakpoint, and so no jump: the kernel handles breakpoints by way of them.

While a jump is written, a breakpoint stands over its first byte; code of an NMI or a machine check that runs there
meanwhile is sent on by a handler of the helper module (kmod/arch).  If the kernel's own way to that handler leads
through the function that is written, it meets the breakpoint again, and again, until the stack overflows.  The kernel
has no such limit for what it rewrites itself: it asks a handler of its own first, which calls nothing.

Which functions those are, the kernel says in three ways, and one it does not:

- by section: no instrumentation may be in these (include/linux/compiler_types.h, include/asm-generic/vmlinux.lds.h);
- by ``__kprobes``: a section as well (include/asm-generic/kprobes.h);
- by ``NOKPROBE_SYMBOL``: a table of each unit (same header);
- kprobes are asked before notifiers are, with RCU's lock held: what takes that may have a kprobe, and no jump.
"""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import Change
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Pieces, family

# A running kernel bars all of them from kprobes (kmod/sites.c asks it); .entry.text is a finding of its own.
_SECTIONS = (".noinstr.text", ".cpuidle.text", ".kprobes.text")
_TABLE = "_kprobe_blacklist"
# kernel/rcu/tree_plugin.h, between kprobe_int3_handler() and the handler in atomic_notifier_call_chain(), and back.
_AROUND_NOTIFIERS = ("__rcu_read_lock", "__rcu_read_unlock", "rcu_read_unlock_special")


def why_no_breakpoint(pieces: Pieces, function: Change, object_name: str) -> str:
    """Why the function of these pieces (of pre) can hold no breakpoint, in words; "" if it can."""
    section, name = function.piece.section.name, family(function.name)
    if section.startswith(_SECTIONS):
        return f"it is in {section}"
    if name in _barred(pieces):
        return "the kernel lets no kprobe into it"
    if object_name == VMLINUX and name in _AROUND_NOTIFIERS:
        return "it runs before and after each handler of a breakpoint"
    return ""


def _barred(pieces: Pieces) -> frozenset[str]:
    """The functions that the unit's own table bars from kprobes; the kernel takes clones of them for the same."""
    entries = ((piece, entry) for own in pieces.by_section.values() for piece in own for entry in pieces.entries(piece))
    return frozenset(family(piece.name) for piece, entry in entries if entry.section.name == _TABLE)
