# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host does by itself about armed updates, boot by boot."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot import program
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import (
    armed_record,
)
from ansible_collections.rebootless.splice.tests.support.booting_host import KERNEL, NAME, refusal


def test_a_good_boot(host):
    host.arm()
    for number in (1, 2):
        host.reboot()
        host.run("apply", "--deadline", "1800")
        assert host.applied[-1]["isolated_cpus"] == "apply", "the boot was the greater disturbance"
        assert host.applied[-1]["deadline"] == 1800 and host.applied[-1]["sha256"] == host.prospect()["package"]
        assert host.prospect()["state"] == "armed"
        host.run("settle")
        assert (host.sysfs / NAME / "control").read_text() == "confirm"
        assert host.boots() == ["settled"] * number
        host.run("stop")
        assert host.boots() == ["settled"] * number
    host.run("apply", "--deadline", "1800")
    assert len(host.applied) == 2, "it is live already"


def test_a_crash_soon_after_puts_it_in_quarantine(host):
    host.arm()
    host.reboot()
    host.run("apply", "--deadline", "1800")
    host.reboot()
    assert host.prospect()["state"] == "quarantined", "known before anything is written"
    for _boot in range(3):
        host.run("apply", "--deadline", "1800")
        host.run("settle")
        assert len(host.applied) == 1
        found = host.prospect()
        assert (found["state"], found["code"], host.boots()) == ("quarantined", "quarantined", ["crashed"])
        assert found["sentence"].startswith("The host crashed soon after cve-2026-52928 1.0")
        host.reboot()
    host.live("confirmed")
    with refusal("quarantined"):
        host.arm()
    assert host.arm(again=True)
    assert (host.prospect()["state"], host.boots()) == ("armed", ["crashed"])
    host.reboot()
    host.run("apply", "--deadline", "1800")
    assert len(host.applied) == 2 and host.boots() == ["crashed", "trying"]


def test_an_orderly_reboot_is_no_crash(host):
    host.arm()
    for _boot in range(3):
        host.reboot()
        host.run("apply", "--deadline", "1800")
        host.run("stop")
    assert host.boots() == ["stopped"] * 3 and host.prospect()["state"] == "armed" and len(host.applied) == 3


@pytest.mark.parametrize("how", ["argument", "file"])
def test_switched_off(host, how):
    host.arm()
    host.reboot()
    if how == "argument":
        (host.directory / "cmdline").write_text("root=/dev/vda rebootless=off\n")
    else:
        (host.directory / "off").touch()
    host.run("apply")
    assert not host.applied and host.boots() == []
    assert (host.prospect()["state"], host.prospect()["code"]) == ("off", "boot_off")


@pytest.mark.parametrize(
    "version,state,code", [("6.1.187-1", "not needed", "not_needed"), ("6.1.177-1", "other kernel", "other_kernel")]
)
def test_another_kernel(host, version, state, code):
    host.arm(fixed_in=["6.1.187-1", "6.12.107-1"])
    host.reboot()
    host.run_kernel("77" * 20, version)
    host.run("apply")
    found = host.prospect()
    assert not host.applied and (found["state"], found["code"], host.boots()) == (state, code, [state])
    assert found["sentence"] and found["next_step"]
    host.reboot()
    host.run_kernel(KERNEL["build_id"], KERNEL["version"])
    host.run("apply")
    assert len(host.applied) == 1, "back in the kernel that it is for"


def test_a_refusal_is_noted_and_is_no_crash(host):
    host.arm()
    host.refusals = [RebootlessError("no_match", "Running code differs.", "Look.")]
    host.reboot()
    host.run("apply")
    record = armed_record.read(host.packages, NAME)
    assert record and {**record.boots[-1], "time": "", "boot_id": ""} == {
        "outcome": "refused",
        "code": "no_match",
        "sentence": "Running code differs.",
        "time": "",
        "boot_id": "",
    }
    host.refusals = [RuntimeError("unexpected")]
    host.reboot()
    host.run("apply")
    assert host.prospect()["state"] == "armed" and len(host.applied) == 2


def test_a_busy_helper_is_tried_again(host):
    host.arm()
    host.reboot()
    host.refusals = [RebootlessError("helper_busy", "Busy.", "Wait.")]
    host.run("apply")
    assert len(host.applied) == program.RETRIES


def test_an_update_that_takes_too_long_does_not_hold_the_boot_up(host, monkeypatch):
    monkeypatch.setattr(program, "APPLY_TIMEOUT", 1)
    host.arm()
    host.reboot()
    monkeypatch.setattr(program, "_apply", lambda *arguments: subprocess.run(["sleep", "30"], check=False))
    host.run("apply")
    assert host.boots() == ["refused"]


def test_nothing_is_applied_that_could_not_be_noted(host, monkeypatch):
    host.arm()
    host.reboot()

    def read_only(*_arguments, **_options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(disk, "replace_durably", read_only)
    host.run("apply")
    assert not host.applied
