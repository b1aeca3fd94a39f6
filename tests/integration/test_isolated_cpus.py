# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that keeps one of its CPUs free of interruptions: a stock kernel with ``nohz_full``, and a cpuset."""

from __future__ import annotations

from ansible_collections.rebootless.splice.tests.support import own_kernels
from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK
from ansible_collections.rebootless.splice.tests.support.observe import probe

SYSFS = "/sys/kernel/rebootless"
RELEASE = own_kernels.release()
GROUPS = "/sys/fs/cgroup"


def test_a_cpu_that_is_not_to_be_stopped(builds, booted):
    host = booted(RELEASE, lab_kernel_arguments=["nohz_full=1"])

    def found() -> dict:
        return host.module("kernel_info")["kernel"]["isolated_cpus"]

    def clock(hours: int) -> str:
        return host.out(f"date -u +%FT%TZ -d '{hours:+} hours'")

    nohz_full = {"all": "1", "nohz_full": "1", "isolated": "", "cpusets": ""}
    assert found() == nohz_full
    host.run(f"echo +cpuset > {GROUPS}/cgroup.subtree_control; mkdir {GROUPS}/quiet")
    host.run(f"echo 1 > {GROUPS}/quiet/cpuset.cpus")
    host.run(f"echo isolated > {GROUPS}/quiet/cpuset.cpus.partition")
    assert host.out(f"cat {GROUPS}/quiet/cpuset.cpus.partition") == "isolated"
    assert found() == {**nohz_full, "cpusets": "1"}

    host.write("/root/fix.rbl.tar.gz", builds.update(RELEASE, "fix", SIOCATMARK).content)
    package = {"package": "/root/fix.rbl.tar.gz"}
    window = {"start": clock(-2), "end": clock(-1)}
    for options in ({}, {"isolated_cpus": "window", "isolated_cpus_window": window}):
        refused = host.module("update", **package, **options)
        assert (refused["code"], refused["details"]["all"]) == ("isolated_cpus", "1"), refused
        assert "nohz_full 1" in refused["sentence"] and "cpuset partitions 1" in refused["sentence"]
    assert host.out(f"ls -d {SYSFS} 2>&1 || true").endswith("No such file or directory"), "nothing was loaded"

    window["end"] = clock(1)
    done = host.module("update", isolated_cpus="window", isolated_cpus_window=window, deadline=600, **package)
    assert (done["failed"], done["isolated_cpus"], probe(host)) == (False, "1", "fixed"), done
    host.run(f"echo extend 1 > {SYSFS}/fix/control")
    host.wait_until(lambda: host.out(f"cat {SYSFS}/fix/state") == "reversed")
    assert host.module("update", isolated_cpus="apply", confirm=True, **package)["state_after"] == "confirmed"
    gone = host.module("update", name="fix", state="absent")
    assert (gone["failed"], gone["state_after"], probe(host)) == (False, "absent", "vulnerable"), gone
