# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a report in the console of a kernel that checks itself."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.tests.support.complaints import complaints

# First lines of reports as Linux 6.1 words them: mm/kasan, kernel/locking, kernel/sched, kernel/rcu, lib.
REPORTS = """\
BUG: KASAN: slab-out-of-bounds in check_task+0x1c/0x80 [rebootless]
BUG: KFENCE: use-after-free read in rbl_switch+0x1/0x2 [rebootless]
WARNING: CPU: 1 PID: 20 at arch/x86/mm/physaddr.c:24 __phys_addr+0x92/0xd0
kernel BUG at lib/list_debug.c:59!
WARNING: possible circular locking dependency detected
WARNING: possible recursive locking detected
WARNING: inconsistent lock state
WARNING: bad unlock balance detected!
WARNING: held lock freed!
WARNING: lock held when returning to user space!
[ BUG: Invalid wait context ]
DEBUG_LOCKS_WARN_ON(lock->magic != lock)
WARNING: suspicious RCU usage
BUG: sleeping function called from invalid context at include/linux/sched/mm.h:274
BUG: scheduling while atomic: insmod/312/0x00000002
BUG: using smp_processor_id() in preemptible [00000000] code: bash/99
ODEBUG: free active (active state 0) object type: timer_list hint: rbl_deadline_work+0x0/0x40
list_del corruption. prev->next should be ffff88800a, but was ffff88800b. (prev=ffff88800c)
refcount_t: underflow; use-after-free.
BUG: Bad page state in process kworker/0:1  pfn:0a1b2
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [kworker/1:1:30]
BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 41s!
INFO: task python3:123 blocked for more than 120 seconds.
BUG: unable to handle page fault for address: ffffffffc0001000
general protection fault, probably for non-canonical address 0xdffffc0000000000: 0000 [#1] PREEMPT SMP KASAN
BUG: MAX_LOCKDEP_CHAINS too low!
""".splitlines()
# Words of an ordinary boot, and of the tests' own modules.
USUAL = """\
Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
... MAX_LOCKDEP_SUBCLASSES:  8
kasan: KernelAddressSanitizer initialized
kfence: initialized - using 2097152 bytes for 255 objects at 0x(____ptrval____)-0x(____ptrval____)
rcu: RCU lockdep checking is enabled.
rebootless: fix 1.0: matched in 812 us, resolved in 90 us
rebootless: loading out-of-tree module taints kernel.
busy: pid 412 sleeps
INFO: NMI handler (on_nmi [nmi_user]) took too long to run: 3.027 msecs
""".splitlines()


@pytest.mark.parametrize("line", REPORTS)
def test_a_report_is_found_among_other_lines(line):
    stamped = f"[   12.345678][  T123] {line}"
    assert complaints("\r\n".join([*USUAL, stamped, *USUAL])) == [stamped]


def test_a_boot_that_says_nothing_bad():
    assert complaints("\n".join(USUAL)) == []
