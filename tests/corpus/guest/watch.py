# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the kernel complains: its log and its taint flags.

Source: Documentation/ABI/testing/dev-kmsg, Documentation/admin-guide/tainted-kernels.rst.
"""

from __future__ import annotations

import os
import pathlib
import re

from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import log

WARNING = 4  # KERN_WARNING; lower is worse
# The kernel's ways to say that something is wrong with itself, at every level.
TROUBLE = re.compile(
    r"WARNING:|BUG:|Oops|general protection|[Uu]nable to handle|Call Trace:|\bRIP:|refcount_t|UBSAN|KFENCE|KASAN"
    r"|INFO: task|soft lockup|hard LOCKUP|self-detected stall|detected stalls|corruption|[Bb]ad page|BAD LUCK"
    r"|scheduling while atomic|sleeping function called|unregister_netdevice: waiting|kobject_add_internal failed"
    r"|cannot create duplicate|bad unlock balance|invalid opcode|divide error|stack segment|trying to register"
    r"|suspicious RCU|possible (circular|recursive)|inconsistent lock state|invalid wait context|lock held|still held"
    r"|ODEBUG|using smp_processor_id|DEBUG_LOCKS_WARN_ON|turning off the locking correctness validator"
    r"|Failed to|objtool|orc_unwind|unwind stack"
)
# Loading a module that the distribution has not built taints, and so does live patching: O, E and K.
EXPECTED_TAINTS = 1 << 12 | 1 << 13 | 1 << 15
EXPECTED_LINES = re.compile(
    r"module verification failed: signature and/or required key missing"
    r"|loading out-of-tree module taints kernel"
    r"|tainting kernel with TAINT_LIVEPATCH"
)


class Watch:
    """The log from the moment this object is made, and the taint flags at that moment."""

    def __init__(self) -> None:
        self._descriptor = log.open_log()
        os.lseek(self._descriptor, 0, os.SEEK_END)
        self._taint = taint()
        self.lines: list[tuple[int, str]] = []  # (level, text)

    def close(self) -> None:
        os.close(self._descriptor)

    def problems(self) -> list[str]:
        """What the kernel has complained about so far, a line each."""
        self._read()
        found = [text for level, text in self.lines if TROUBLE.search(text) or level < WARNING]
        found = [text for text in found if not EXPECTED_LINES.search(text)]
        new = taint() & ~self._taint & ~EXPECTED_TAINTS
        if new:
            found.append(f"new taint flags {new:#x}")
        return found

    def says(self, text: str) -> bool:
        """Whether a line so far has ``text`` in it."""
        self._read()
        return any(text in line for _level, line in self.lines)

    def remarks(self) -> list[str]:
        """What it said as a warning without being one of itself."""
        self._read()
        return [
            text
            for level, text in self.lines
            if level == WARNING and not TROUBLE.search(text) and not EXPECTED_LINES.search(text)
        ]

    def _read(self) -> None:
        self.lines += ((record.level, record.text) for record in log.records(self._descriptor))


def taint() -> int:
    return int(pathlib.Path("/proc/sys/kernel/tainted").read_text(encoding="ascii"))
