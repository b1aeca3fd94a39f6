# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kernel that checks itself (tests/kernels/debug.config) has to complain about, from its console.

Each of its debuggers begins a report in its own words; nearly all of them show a call trace.  Lockdep says nothing more
after its first report, so that a machine that has complained once is of no use for anything else.
"""

from __future__ import annotations

import re

COMPLAINT = re.compile(
    r"\bBUG\b|WARNING:|INFO: |Oops|Call Trace:|general protection|Unable to handle|\bRIP:"
    r"|KASAN|KFENCE|UBSAN|ODEBUG|DEBUG_LOCKS_WARN_ON|kmemleak"  # memory and objects
    r"|list_(add|del) corruption|corrupted|refcount_t:|[Bb]ad page|stack overflow"
    r"|suspicious|circular locking|recursive locking|lock order|lock freed|still held|bad unlock|bad contention"
    r"|inconsistent lock state|invalid wait context|turning off the locking correctness validator"
    r"|sleeping function|scheduling while atomic|using smp_processor_id|in atomic"
    r"|lockup|stall|blocked for more than"
)
# Words of every boot that look like one: lockdep's own account of itself, what the kernel says of its processors.
USUAL = re.compile(
    r"Lock dependency validator|lockdep_|kmemleak: Kernel memory leak detector|KernelAddressSanitizer initialized"
    r"|kfence: initialized|DMI: |[Cc]ommand line: |INFO: NMI handler .* took too long"
)


def complaints(console: str) -> list[str]:
    """The lines of a console that belong to reports; none if the kernel has nothing to complain about."""
    lines = console.replace("\r", "").splitlines()
    return [line for line in lines if COMPLAINT.search(line) and not USUAL.search(line)]
