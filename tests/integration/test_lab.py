# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself: what every other integration test relies on."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys
import time

import pytest
import yaml
from qemu.qmp import ExecuteError

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.console import BOOT, read_console
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.monitor import Monitor
from ansible_collections.rebootless.splice.tests.support.reaper import watch
from ansible_collections.rebootless.splice.tests.support.snapshots import SnapshotWarning

ROLE = pathlib.Path(__file__).parents[2] / "roles" / "lab"


def test_hosts_run_stock_kernels_of_two_releases_at_once(hosts):
    versions = [host.out("cat /proc/version") for host in hosts]
    assert [host.out("uname -r") for host in hosts] == ["6.1.0-47-cloud-amd64", "6.1.0-50-cloud-amd64"]
    assert all("debian-kernel@lists.debian.org" in version for version in versions)
    assert "6.1.170-3" in versions[0] and "6.1.176-1" in versions[1]
    assert len({host.boot_id() for host in hosts}) == 2


def test_host_has_what_updates_need(host50):
    assert host50.out("nproc") == "2"
    assert host50.out("cat /proc/1/comm") == "systemd"
    assert host50.out("systemctl is-system-running --wait", check=False) == "running"
    assert host50.symbol("_stext") > 0xFFFFFFFF80000000
    # kcore is an ELF file, and the note of the build ID is there
    assert host50.python("print(open('/proc/kcore', 'rb').read(4))") == r"b'\x7fELF'"
    assert b"GNU\0" in host50.read("/sys/kernel/notes")
    host50.run("modprobe dummy && modprobe -r dummy")


def test_hosts_reach_nothing_outside(host50):
    told = host50.python(
        """
import socket
try:
    socket.create_connection(("10.0.2.2", 22), 3)
except OSError as error:
    print(type(error).__name__)
"""
    )
    assert told in ("TimeoutError", "ConnectionRefusedError", "ConnectionResetError")


def test_restart_boots_anew_and_keeps_the_disk(host47):
    host47.write("/root/kept", b"kept")
    host47.run("sync")
    before = host47.boot_id()
    host47.restart()
    assert host47.boot_id() != before
    assert host47.read("/root/kept") == b"kept"
    host47.run("rm /root/kept")


def test_debugger_changes_the_running_kernel_and_lets_it_go_on(host50):
    address = host50.symbol("linux_proc_banner") + len("%s ")
    with host50.debugger() as debugger:
        before = debugger.read(address, 7)
        debugger.write(address, b"Version")
    shown = host50.out("cat /proc/version")
    with host50.debugger() as debugger:
        debugger.write(address, before)
    assert before == b"version"
    assert shown.startswith("Linux Version 6.1.0-50-cloud-amd64 ")
    assert host50.out("cat /proc/version").startswith("Linux version 6.1.0-50-cloud-amd64 ")


def test_panic_is_reported_with_its_reason(booted, controller):
    host = booted("6.1.0-50-cloud-amd64")
    with pytest.raises(subprocess.TimeoutExpired):
        host.run("echo c > /proc/sysrq-trigger", timeout=5)
    assert host.wait_for_panic() == "sysrq triggered crash"

    lab = str(pathlib.Path(host.machine.directory).parent)
    (told,) = controller.module("localhost", "lab_info", directory=lab)["machines"]
    assert (told["state"], told["panic"]) == ("panicked", "sysrq triggered crash")

    failed = controller.module("localhost", "lab_info", directory=lab, wait=True, timeout=10)
    assert failed["code"] == "machine_panicked"
    assert "sysrq triggered crash" in failed["msg"]
    assert any("Call Trace" in line for line in failed["details"]["tail"])

    run = controller.playbook(
        "rebootless.splice.lab_up",
        variables={
            "lab_directory": lab,
            "lab_cache": str(pathlib.Path(lab).parents[1]),
            "lab_hosts": [{"name": "machine", "kernel": host.release}],
        },
        ok=False,
    )
    assert run.status != 0 and "panicked: sysrq triggered crash" in run.output


def test_machine_changes_only_when_asked_to(booted, controller):
    """Every state four times: in check mode, for real, again, and again in check mode."""
    host = booted("6.1.0-47-cloud-amd64")
    spec = host.machine.record()["spec"]
    started = {
        "kernel": {key: spec[key] for key in ("release", "vmlinuz", "initramfs", "modules")} | {"version": "-"},
        "root": spec["root_image"],
        "authorized_key": spec["authorized_key"],
    }

    def four_times(state: str, **options: object) -> list[bool]:
        changes = []
        for check in (True, False, False, True):
            done = controller.module(
                "localhost", "lab_machine", check=check, directory=host.machine.directory, state=state, **options
            )
            assert not done["failed"], done
            changes.append(done["changed"])
        return changes

    assert four_times("stopped") == [True, True, False, False]
    assert host.machine.pid() is None
    assert four_times("started", **started) == [True, True, False, False]
    assert host.out("uname -r") == "6.1.0-47-cloud-amd64"
    assert four_times("started", memory=640, wait=False, **started) == [True, True, False, False]
    assert four_times("restarted", memory=640, wait=False, **started) == [True, True, True, True]

    # What the kernel prints when the emulator has lost a timer interrupt: that boot would not end.
    machine = host.machine
    host.wait_until(lambda: BOOT in read_console(machine.console, machine.record()["console_offset"]))
    stuck = machine.pid()
    with open(machine.console, "ab") as console:
        console.write(b"rcu: \tPossible timer handling issue on cpu=0 timer-softirq=11\n")
    anew = machine.come_up(180)[1]
    assert anew == 1 and machine.pid() not in (None, stuck)
    assert host.out("uname -r") == "6.1.0-47-cloud-amd64"

    assert four_times("absent") == [True, True, False, False]
    assert not pathlib.Path(host.machine.directory).exists()


def test_monitor_answers_at_any_length_of_path(tmp_path):
    path = tmp_path / ("d" * 120) / "monitor"
    path.parent.mkdir()
    command = ["qemu-system-x86_64", "-machine", "none", "-display", "none", "-S", "-qmp", "unix:monitor,server=on"]
    qemu = subprocess.Popen(command, cwd=path.parent)
    try:
        Host.wait_until(path.exists)
        with Monitor(path) as monitor:
            assert monitor.cmd("query-status")["status"] == "prelaunch"
            assert "unknown command" in monitor.human("nonsense")
            with pytest.raises(ExecuteError, match="nonsense"):
                monitor.cmd("nonsense")
            monitor.cmd("quit")
        assert qemu.wait(30) == 0
    finally:
        qemu.kill()
        qemu.wait()


def test_restored_machine_has_the_time_and_nothing_of_another_one(lab):
    first = lab.restore("host", "6.1.0-50-cloud-amd64")
    files = first.out("ls -A /root")
    first.write("/root/left", b"")
    first.run("modprobe dummy; sync")
    boot = first.boot_id()
    lab.remove()
    second = lab.restore("host", "6.1.0-50-cloud-amd64")
    assert second.boot_id() == boot
    assert second.out("ls -A /root; grep ^dummy /proc/modules || true") == files
    before = time.time()
    now = float(second.out("date +%s.%N"))
    assert before - 1 < now < time.time() + 1
    second.restart()
    assert second.boot_id() != boot


def test_a_snapshot_that_is_damaged_is_told_and_the_machine_boots(lab, snapshots, monkeypatch, tmp_path):
    release = "6.1.0-50-cloud-amd64"
    with snapshots.made(snapshots.spec(release)) as whole:
        damaged = tmp_path / "snapshot"
        damaged.mkdir()
        for path in whole.iterdir():
            (damaged / path.name).symlink_to(path)
    (damaged / "state").unlink()
    (damaged / "state").write_bytes((whole / "state").read_bytes()[:100_000])
    monkeypatch.setattr(snapshots, "path", lambda _spec: damaged)
    with pytest.warns(SnapshotWarning, match=release):
        host = lab.restore("host", release)
    assert host.out("uname -r") == release
    assert not (damaged / "spec.json").exists() and (whole / "spec.json").exists()


def test_a_run_that_is_killed_leaves_no_machine(lab, directory, snapshots):
    host = lab.restore("host", "6.1.0-50-cloud-amd64")
    code = f"from {watch.__module__} import watch; watch({str(directory)!r}); import os; os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    host.wait_until(lambda: host.machine.pid() is None)


def test_unknown_kernel_is_refused_by_name(controller, tmp_path):
    result = controller.module(
        "localhost",
        "lab_image",
        kernels=["6.1.0-0-none-amd64"],
        packages=["python3"],
        overlay=str(tmp_path),
        check=False,
        cache=str(tmp_path / "cache"),
    )
    assert result["code"] == "package_not_found"
    assert "linux-image-6.1.0-0-none-amd64" in result["msg"]


def test_kernel_image_is_made_once(controller, snapshots, tmp_path):
    """In check mode, for real, again, and again in check mode; with the root image and the package that the lab has."""
    root = pathlib.Path(snapshots.spec("6.1.0-50-cloud-amd64").root_image)
    cache = root.parents[2]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / root.parent.name).symlink_to(root.parent)
    (tmp_path / "debs").symlink_to(cache / "debs")
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    options = {
        "kernels": ["6.1.0-50-cloud-amd64"],
        "packages": defaults["lab_packages"],
        "masked_units": defaults["lab_masked_units"],
        "overlay": str(ROLE / "files" / "root"),
        "cache": str(tmp_path),
    }
    runs = [controller.module("localhost", "lab_image", check=check, **options) for check in (True, False, False, True)]
    assert not any(run["failed"] for run in runs), runs
    assert [run["changed"] for run in runs] == [True, True, False, False]
    assert [run["made"] for run in runs] == [["6.1.0-50-cloud-amd64"]] * 2 + [[]] * 2
    assert runs[0]["kernels"] == {}
    image = runs[3]["kernels"]["6.1.0-50-cloud-amd64"]
    assert (image["release"], image["version"]) == ("6.1.0-50-cloud-amd64", "6.1.176-1")
    assert all(pathlib.Path(image[part]).is_file() for part in ("vmlinuz", "initramfs", "modules"))
