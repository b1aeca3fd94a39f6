# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel that checks itself, without an update: it has nothing to complain about, and says so if it has.

Only with ``REBOOTLESS_KERNEL=debug``, as ``make test-debug-kernel`` sets it.
"""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.console import read_console
from ansible_collections.rebootless.splice.tests.support import own_kernels
from ansible_collections.rebootless.splice.tests.support.complaints import complaints
from ansible_collections.rebootless.splice.tests.support.snapshots import Lab

pytestmark = pytest.mark.skipif(own_kernels.chosen() is None, reason="REBOOTLESS_KERNEL names no kernel")

FAULTS = {
    "use_after_free": "BUG: KASAN: use-after-free in use_after_free",
    "beyond_a_variable": "BUG: KASAN: global-out-of-bounds in beyond_a_variable",
    "both_ways": "WARNING: possible circular locking dependency detected",
    "sleep_in_atomic": "BUG: scheduling while atomic",
    "broken_list": "list_del corruption",
    "no_rcu": "WARNING: suspicious RCU usage",
    "no_lock": "WARNING: CPU",
}


@pytest.fixture
def own_lab(directory, snapshots):
    """Machines whose complaints are what the test is about."""
    made = Lab(directory, snapshots)
    made.remove()
    yield made
    made.remove()


def test_a_boot_without_us(own_lab, snapshots):
    host = own_lab.boot("host50", snapshots.spec(own_kernels.release()))
    host.run("systemctl is-system-running --wait")
    assert "debug_locks: 1" in " ".join(host.out("cat /proc/lockdep_stats").split())
    assert complaints(host.console()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_what_it_complains_about(builds, own_lab, fault):
    host = own_lab.restore("host50", own_kernels.release())
    host.put(builds.test_modules(host.release) / "complain.ko", "/root/complain.ko")
    assert complaints(read_console(host.machine.console)) == []
    host.run(f"insmod /root/complain.ko fault={fault}")
    host.wait_until(lambda: any(FAULTS[fault] in line for line in complaints(host.console())))
