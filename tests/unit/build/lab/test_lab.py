# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's logic without a machine: archives, consoles, recipes, and whom it may end."""

from __future__ import annotations

import json
import lzma
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab import (
    console,
    initramfs,
    kernel_image,
    machine,
    root_image,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.cpio import CpioArchive
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

PANIC = b"[   12.5] Kernel panic - not syncing: Attempted to kill init! code=0x00000100\r\n[   12.5] Call Trace:\r\n"


# ---- cpio


def unpacked(archive: bytes, directory: pathlib.Path) -> None:
    subprocess.run(["cpio", "-i", "--quiet", "--no-preserve-owner"], input=archive, cwd=directory, check=True)


def test_cpio_reads_back_what_was_written(tmp_path):
    archive = CpioArchive()
    archive.file("host/root/.ssh/authorized_keys", b"key\n", 0o600)
    archive.directory("host/root", 0o700)
    archive.file("init", b"#!/bin/sh\n", 0o755)
    archive.file("empty", b"")
    unpacked(archive.serialize(), tmp_path)
    assert (tmp_path / "host/root/.ssh/authorized_keys").read_bytes() == b"key\n"
    assert (tmp_path / "host/root/.ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "empty").read_bytes() == b""


def test_cpio_directory_keeps_the_mode_that_it_was_first_given(tmp_path):
    archive = CpioArchive()
    archive.directory("root", 0o700)
    archive.file("root/file", b"x")
    unpacked(archive.serialize(), tmp_path)
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700


def test_cpio_archives_can_follow_each_other():
    archive = CpioArchive()
    archive.file("odd", b"123")
    assert len(archive.serialize()) % 4 == 0


def test_machine_archive_is_its_identity_and_nothing_else(tmp_path):
    archive = initramfs.machine_archive("lab1", "0" * 32, "ssh-ed25519 AAAA me", "private\n", "ssh-ed25519 BBBB lab1\n")
    unpacked(archive, tmp_path)
    files = {
        str(path.relative_to(tmp_path / "host")): path.read_text() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert files == {
        "root/.ssh/authorized_keys": "ssh-ed25519 AAAA me\n",
        "etc/ssh/ssh_host_ed25519_key": "private\n",
        "etc/ssh/ssh_host_ed25519_key.pub": "ssh-ed25519 BBBB lab1\n",
        "etc/hostname": "lab1\n",
        "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 lab1\n",
        "etc/machine-id": "0" * 32 + "\n",
    }
    assert (tmp_path / "host/root/.ssh").stat().st_mode & 0o777 == 0o700


def test_compressed_modules_are_read_as_elf(tmp_path):
    (tmp_path / "a.ko").write_bytes(b"\x7fELF")
    (tmp_path / "b.ko.xz").write_bytes(lzma.compress(b"\x7fELF"))
    assert {initramfs.read_module(str(path)) for path in tmp_path.iterdir()} == {b"\x7fELF"}


# ---- console


def test_panic_is_found_with_its_reason(tmp_path):
    log = tmp_path / "console.log"
    log.write_bytes(b"[    0.0] Linux version 6.1\r\n" + PANIC)
    text = console.read_console(str(log))
    assert console.panic_reason(text) == "Attempted to kill init! code=0x00000100"
    assert console.tail(text)[-1] == "[   12.5] Call Trace:"


@pytest.mark.parametrize(("on_panic", "code"), [("pause", "machine_panicked"), ("reboot", "machine_exited")])
def test_panic_ends_the_wait_only_where_the_machine_stands_still_after_it(tmp_path, on_panic, code):
    fallen = recorded(tmp_path / "lab1", "4c1a2a8e-0000-4000-8000-000000000004", 0, on_panic)
    (tmp_path / "lab1" / "console.log").write_bytes(PANIC)
    with pytest.raises(RebootlessError) as refused:
        fallen.check()
    assert refused.value.code == code


def test_panic_of_an_earlier_start_is_not_this_one(tmp_path):
    log = tmp_path / "console.log"
    log.write_bytes(PANIC + b"[    0.0] Linux version 6.1\r\n")
    assert console.panic_reason(console.read_console(str(log), len(PANIC))) is None


LOST_TIMER = b"[   24.6] rcu: \tPossible timer handling issue on cpu=0 timer-softirq=11\r\n"


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        (b"[    0.0] Linux version 6.1\r\n" + LOST_TIMER, True),
        (b"[    0.0] Linux version 6.1\r\n" + LOST_TIMER + b"[    0.0] Linux version 6.1\r\n", False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
def test_timer_that_the_emulator_lost_ends_the_wait(tmp_path, text, lost, accelerator):
    identity = "4c1a2a8e-0000-4000-8000-000000000005"
    command = [sys.executable, "-c", "print(); input()", identity]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # it runs, and has its arguments
        asleep = recorded(tmp_path / "lab1", identity, process.pid, accelerator=accelerator)
        (tmp_path / "lab1" / "console.log").write_bytes(text)
        code = "none"
        try:
            asleep.check()
        except RebootlessError as error:
            code = error.code
        process.communicate(b"\n")
    assert code == ("machine_lost_timer" if lost and accelerator == "tcg" else "none")


def test_no_console_is_no_panic(tmp_path):
    assert console.panic_reason(console.read_console(str(tmp_path / "none"))) is None


def test_console_that_became_shorter_is_read_to_its_end(tmp_path):
    log = tmp_path / "console.log"
    log.write_bytes(b"short")
    assert console.read_console(str(log), 1000) == ""


# ---- recipes


def overlay(directory: pathlib.Path, content: bytes = b"x", mode: int = 0o644) -> str:
    path = directory / "etc" / "file"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return str(directory)


def recipe(directory: str, **changes: object) -> root_image.RootRecipe:
    facts = {"packages": ("python3",), "masked_units": (), "overlay": directory, "size_mib": 64}
    return root_image.RootRecipe(**{**facts, **changes})


def test_image_is_named_by_everything_in_it(tmp_path):
    sources = ["deb uri suite main"]
    first = overlay(tmp_path / "a")
    names = {
        recipe(first).digest(sources),
        recipe(first, packages=("python3", "kmod")).digest(sources),
        recipe(first, masked_units=("a.timer",)).digest(sources),
        recipe(first, size_mib=65).digest(sources),
        recipe(overlay(tmp_path / "b", b"y")).digest(sources),
        recipe(overlay(tmp_path / "c", mode=0o755)).digest(sources),
        recipe(first).digest(["deb other suite main"]),
    }
    assert len(names) == 7


def test_image_is_not_named_by_where_or_when(tmp_path):
    first, second = recipe(overlay(tmp_path / "a")), recipe(overlay(tmp_path / "b"))
    os.utime(tmp_path / "b" / "etc" / "file", (1, 1))
    assert first.digest([]) == second.digest([])


def test_kernels_of_one_release_have_their_own_images():
    names = {kernel_image.kernel_directory(kernel) for kernel in ("6.1.0-56-amd64", "6.1.0-56-amd64=6.1.192-1")}
    assert len(names) == 2


# ---- machines


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
