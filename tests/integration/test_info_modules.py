# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the information modules say of a stock kernel, beside what the kernel itself says."""

from __future__ import annotations


def four_times(host, module, /, **options):
    """Runs a module in the order check, do, again, again in check; it must never change anything."""
    results = [host.module(module, check=check, **options) for check in (True, False, False, True)]
    assert not any(result["failed"] or result["changed"] for result in results), results
    return results[1]


def test_kernel_info(hosts):
    for host in hosts:
        kernel = four_times(host, "kernel_info")["kernel"]
        assert kernel["release"] == host.release == host.out("uname -r")
        assert kernel["effective_release"] == host.release
        assert kernel["version"] and f"Debian {kernel['version']} (" in host.out("uname -v")
        assert kernel["arch"] == host.out("uname -m")
        assert len(bytes.fromhex(kernel["build_id"])) == 20
        assert kernel["build_id"] in host.out("od -An -v -tx1 /sys/kernel/notes | tr -d ' \\n'")
        assert kernel["boot_id"] == host.boot_id()
        assert 0 < kernel["uptime"] <= float(host.out("cut -d' ' -f1 /proc/uptime"))
        assert kernel["taint"]["value"] == int(host.out("cat /proc/sys/kernel/tainted"))
        assert (kernel["lockdown"], kernel["signatures_enforced"], kernel["modules_disabled"]) == ("none", False, False)
        assert kernel["helper"] == {"loaded": False}
        assert kernel["updates"] == kernel["cves_fixed_live"] == []


def test_kernels_of_one_version_line_have_their_own_build_ids(hosts):
    identities = {host.module("kernel_info")["kernel"]["build_id"] for host in hosts}
    assert len(identities) == len(hosts)


def test_update_info_of_a_host_without_updates(host50):
    assert four_times(host50, "update_info")["updates"] == []


def test_update_info_by_name(host50):
    assert four_times(host50, "update_info", name="none")["updates"] == []
