# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes are machines of the lab, and what ends the wait for one."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import threading

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab import (
    machine,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

PANIC = b"[   12.5] Kernel panic - not syncing: Attempted to kill init! code=0x00000100\r\n[   12.5] Call Trace:\r\n"


def recorded(
    directory: pathlib.Path, identity: str, pid: int, on_panic: str = "pause", accelerator: str = "tcg"
) -> machine.Machine:
    directory.mkdir()
    spec = {"on_panic": on_panic, "accelerator": accelerator}
    (directory / "machine.json").write_text(json.dumps({"uuid": identity, "ssh_port": 1, "spec": spec}))
    (directory / "qemu.pid").write_text(f"{pid}\n")
    return machine.Machine(str(directory))


@pytest.fixture
def stranger():
    """A process that has nothing to do with the lab."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate(b"\n")


def test_stale_pid_of_another_process_is_left_alone(tmp_path, stranger):
    stale = recorded(tmp_path / "lab1", "4c1a2a8e-0000-4000-8000-000000000001", stranger.pid)
    assert stale.pid() is None
    assert stale.stop() is False
    assert stranger.poll() is None
    assert stale.remove() is True
    assert stranger.poll() is None and not (tmp_path / "lab1").exists()


def test_pid_without_a_record_is_left_alone(tmp_path, stranger):
    half = recorded(tmp_path / "lab1", "4c1a2a8e-0000-4000-8000-000000000003", stranger.pid)
    (tmp_path / "lab1" / "machine.json").unlink()
    assert half.pid() is None and half.stop() is False
    assert stranger.poll() is None


def test_own_process_is_found_and_ended(tmp_path):
    identity = "4c1a2a8e-0000-4000-8000-000000000002"
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", identity])
    own = recorded(tmp_path / "lab1", identity, process.pid)
    reaper = threading.Thread(target=process.wait)
    reaper.start()
    assert own.pid() == process.pid
    assert own.stop() is True
    reaper.join()
    assert own.pid() is None


@pytest.mark.parametrize("text", ["", "none", "999999999"])
def test_unreadable_pid_is_no_process(tmp_path, text):
    stopped = recorded(tmp_path / "lab1", "u", 1)
    (tmp_path / "lab1" / "qemu.pid").write_text(text)
    assert stopped.pid() is None


def test_machine_that_never_was_is_absent(tmp_path):
    none = machine.Machine(str(tmp_path / "lab1"))
    assert none.status()["state"] == "absent"
    assert none.remove() is False


def test_only_directories_with_a_machine_are_machines(tmp_path):
    recorded(tmp_path / "b", "u", 1)
    recorded(tmp_path / "a", "u", 1)
    (tmp_path / "other").mkdir()
    assert [found.name for found in machine.machines_of(str(tmp_path))] == ["a", "b"]


def test_accelerator_needs_the_processor_and_the_device():
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    usable = machine.usable_accelerator()
    assert usable in ("kvm", "tcg")
    if not {"svm", "vmx"} & set(flags):
        assert usable == "tcg"


@pytest.mark.parametrize(("on_panic", "code"), [("pause", "machine_panicked"), ("reboot", "machine_exited")])
def test_panic_ends_the_wait_only_where_the_machine_stands_still_after_it(tmp_path, on_panic, code):
    fallen = recorded(tmp_path / "lab1", "4c1a2a8e-0000-4000-8000-000000000004", 0, on_panic)
    (tmp_path / "lab1" / "console.log").write_bytes(PANIC)
    with pytest.raises(RebootlessError) as refused:
        fallen.check()
    assert refused.value.code == code


LOST_TIMER = b"[   24.6] rcu: \tPossible timer handling issue on cpu=0 timer-softirq=11\r\n"


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        (b"[    0.0] Linux version 6.1\r\n" + LOST_TIMER, True),
        (b"[    0.0] Linux version 6.1\r\n" + LOST_TIMER + b"[    0.0] Linux version 6.1\r\n", False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("accelerator", ["tcg", "tcg_single", "kvm"])
def test_timer_that_the_emulator_lost_ends_the_wait(tmp_path, text, lost, accelerator):
    identity = "4c1a2a8e-0000-4000-8000-000000000005"
    command = [sys.executable, "-c", "print(); input()", identity]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()  # it runs, and has its arguments
        asleep = recorded(tmp_path / "lab1", identity, process.pid, accelerator=accelerator)
        (tmp_path / "lab1" / "console.log").write_bytes(text)
        code = "none"
        try:
            asleep.check()
        except RebootlessError as error:
            code = error.code
        process.communicate(b"\n")
    assert code == ("machine_lost_timer" if lost and accelerator != "kvm" else "none")
