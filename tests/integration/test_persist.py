# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates that come back after a reboot, and those that must not: one machine, boot by boot."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import time
import typing as t

import pytest

from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK
from ansible_collections.rebootless.splice.tests.support.documented import undocumented
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import probe

KERNEL, OTHER_KERNEL = "6.1.0-50-cloud-amd64", "6.1.0-47-cloud-amd64"
NAME = "cve-2026-52928"
PACKAGE = f"/root/{NAME}.rbl.tar.gz"
METRICS = "/srv/metrics"
BOOT_UNIT = "rebootless-boot.service"
BOOT_S = 600.0  # for an emulated machine on a busy host
SETTLE_S = 900  # longer than any of the boots here: their ends are told, not waited for


@pytest.fixture
def host(booted, builds) -> Host:
    machine = booted(KERNEL, lab_on_panic="reboot")
    machine.write(PACKAGE, builds.update(KERNEL, NAME, SIOCATMARK).content)
    machine.run(f"mkdir -p {METRICS}")
    return machine


def goes_down(host: Host, command: str) -> None:
    """Runs what ends this boot, and waits for the next one."""
    before = host.boot_id()
    # The answer may be lost with the machine, and with it the connection.
    with contextlib.suppress(subprocess.TimeoutExpired):
        host.run(f"sync; {command}", check=False, timeout=10)
    back(host, before)


def back(host: Host, before: str) -> None:
    end = time.monotonic() + BOOT_S
    while time.monotonic() < end:
        with contextlib.suppress(subprocess.TimeoutExpired):
            seen = host.run("cat /proc/sys/kernel/random/boot_id", check=False, timeout=10)
            if seen.returncode == 0 and seen.stdout.decode().strip() != before:
                return
        time.sleep(1)
    raise AssertionError(f"no other boot within {BOOT_S:g} s\n{host.console()[-3000:]}")


def boots_kernel(host: Host, release: str, *arguments: str) -> None:
    """Switches the machine off and on again with another kernel, as its boot loader would."""
    before = host.boot_id()
    lab = pathlib.Path(host.machine.directory).parent
    variables = {"lab_name": lab.name, "lab_cache": str(lab.parent.parent), "lab_on_panic": "reboot"}
    variables.update(lab_hosts=[{"name": host.name, "kernel": release}], lab_kernel_arguments=list(arguments))
    host.runner.playbook("rebootless.splice.lab_up", variables=variables)
    back(host, before)


def state(host: Host) -> str:
    """What the kernel says of the update."""
    return host.out(f"cat /sys/kernel/rebootless/{NAME}/state 2>/dev/null || echo absent")


def outcomes(host: Host) -> list[str]:
    """Of the last boots, as they are on the disk."""
    record = json.loads(host.read(f"/var/lib/rebootless/armed/{NAME}.json"))
    return [row["outcome"] for row in record["boots"]]


def facts(host: Host) -> dict[str, t.Any]:
    """What Ansible would find in ansible_local.rebootless."""
    return json.loads(host.out("/etc/ansible/facts.d/rebootless.fact"))


def started(host: Host, unit: str) -> int:
    """Microseconds after the kernel's start."""
    return int(host.out(f"systemctl show -P ActiveEnterTimestampMonotonic {unit}"))


def test_boots(host: Host) -> None:
    options = {"settle": SETTLE_S, "deadline": 3000, "metrics_directory": METRICS}
    arm = {"state": "armed", "name": NAME, "fixed_in": ["6.1.170-1"]}
    missing, _applied, unconfirmed, confirmed, unarmed, *installed = host.tasks(
        {"module": "persist", **arm},
        {"module": "update", "package": PACKAGE, "deadline": 600},
        {"module": "persist", **arm},
        {"module": "update", "name": NAME, "confirm": True},
        {"module": "update_info", "name": NAME},
        *({"module": "persist", "check": check, **options} for check in (True, False, False, True)),
        *({"module": "persist", "check": check, **arm} for check in (True, False, False, True)),
    )
    assert (missing["code"], unconfirmed["code"]) == ("package_missing", "not_confirmed")
    assert confirmed["state_after"] == "confirmed"
    assert unarmed["updates"][0]["boot"] == {"state": "unarmed"}
    assert not any(result["failed"] for result in installed), installed
    assert [result["changed"] for result in installed] == [True, True, False, False] * 2, installed
    assert [undocumented("persist", result) for result in installed] == [[]] * 8
    assert [result["boot"]["state"] for result in installed[4:]] == ["unarmed", "armed", "armed", "armed"]
    assert (
        host.out("systemd-analyze verify --recursive-errors=one rebootless-boot.service rebootless-settle.timer") == ""
    )

    # An orderly reboot, and another one at once: the update is there before the network, and neither is a crash.
    for number in (1, 2):
        goes_down(host, "systemctl reboot")
        assert probe(host) == "fixed", host.out(f"journalctl -b -u {BOOT_UNIT}")
        assert state(host) == "applied", "with a deadline, until the boot has gone well"
        assert outcomes(host) == ["stopped"] * (number - 1) + ["trying"]
        assert 0 < started(host, BOOT_UNIT) < started(host, "network-pre.target") < started(host, "ssh.service")
        assert started(host, BOOT_UNIT) < started(host, "sysinit.target")

    # It has gone well for long enough: confirmed.  Other playbooks can ask, and so can Prometheus.
    assert host.out("systemctl show -P SubState rebootless-settle.timer") == "waiting"
    host.run("systemctl start rebootless-settle.service")  # what the timer does
    assert (state(host), outcomes(host)) == ("confirmed", ["stopped", "settled"])
    gathered, kernel, found = host.tasks(
        {"module": "ansible.builtin.setup", "filter": "ansible_local", "gather_subset": ["!all", "!min", "local"]},
        {"module": "kernel_info"},
        {"module": "update_info", "name": NAME},
    )
    assert undocumented("kernel_info", kernel) == undocumented("update_info", found) == []
    assert kernel["ansible_facts"]["rebootless"] == kernel["kernel"]
    for told in (gathered["ansible_facts"]["ansible_local"]["rebootless"], kernel["kernel"]):
        assert told["cves_fixed_live"] == ["CVE-2026-52928"]
        assert told["boot"] == {"off": "", "armed": [NAME], "quarantined": []}
    row = found["updates"][0]
    assert (row["state"], row["boot"]["state"], row["boot"]["fixed_in"]) == ("confirmed", "armed", ["6.1.170-1"])
    told = host.wait_until(lambda: host.run(f"grep ^rebootless_update {METRICS}/rebootless.prom", check=False).stdout)
    assert f'rebootless_update_live{{name="{NAME}"}} 1' in told.decode()

    # It crashes soon after the next boot: quarantine, and what lifts it.
    goes_down(host, "systemctl reboot")
    assert probe(host) == "fixed"
    goes_down(host, "echo c > /proc/sysrq-trigger")
    assert (probe(host), state(host)) == ("vulnerable", "absent")
    assert outcomes(host) == ["stopped", "settled", "crashed"]
    assert "crashed soon after" in host.out(f"journalctl -b -o cat -u {BOOT_UNIT}")
    assert facts(host)["boot"]["quarantined"] == [NAME]
    found, _confirmed, refused, *again, off = host.tasks(
        {"module": "update_info", "name": NAME},
        {"module": "update", "name": NAME, "confirm": True},
        {"module": "persist", **arm},
        *({"module": "persist", "check": check, "again": True, **arm} for check in (True, False, False, True)),
        {"module": "persist", "switched_off": True, **options},
    )
    assert undocumented("update_info", found) == []
    assert (found["updates"][0]["live"], found["updates"][0]["boot"]["code"]) == (False, "quarantined")
    assert (refused["failed"], refused["code"]) == (True, "quarantined")
    assert [result["changed"] for result in again] == [True, True, False, False] and off["changed"], again

    # The off switches: the file, and in another kernel, which has the fix, the kernel's argument.
    goes_down(host, "systemctl reboot")
    assert (probe(host), state(host)) == ("vulnerable", "absent")
    assert host.out(f"systemctl show -P ConditionResult {BOOT_UNIT}") == "no"
    assert "/etc/rebootless/off" in facts(host)["boot"]["off"]
    host.run("rm /etc/rebootless/off; sync")
    boots_kernel(host, OTHER_KERNEL, "rebootless=off")
    assert host.out(f"systemctl show -P ConditionResult {BOOT_UNIT}") == "no"
    assert "rebootless=off" in facts(host)["boot"]["off"]

    found, disarmed, *removed, absent = host.tasks(
        {"module": "update_info", "name": NAME},
        {"module": "persist", "state": "disarmed", "name": NAME},
        *({"module": "persist", "check": check, "state": "absent"} for check in (True, False, False, True)),
        {"module": "update", "name": NAME, "state": "absent"},
    )
    row = found["updates"][0]
    assert (row["state"], row["boot"]["state"], row["boot"]["code"]) == ("absent", "not needed", "not_needed")
    assert disarmed["boot"] == {"state": "unarmed"} and absent["changed"]
    assert [result["changed"] for result in removed] == [True, True, False, False], removed
    assert host.out("find /etc /var /usr -xdev -name '*rebootless*'") == "", "nothing is left"
