# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host does by itself about armed updates, boot by boot, with a kernel that is a directory."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import pathlib
import subprocess
import sys
import types

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.package import make_package
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, imports, package
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target import inventory, metrics
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot import armed, persist, program
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot.archive import ENTRY, make_archive
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import (
    armed_record,
    lock,
    prospects,
    store,
)
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION

NAME = "cve-2026-52928"
KERNEL = {"release": "6.1.0-50-cloud-amd64", "build_id": "6c" * 20, "version": "6.1.176-1", "arch": "x86_64"}
MANIFEST = {
    "format": 2,
    "name": NAME,
    "version": "1.0",
    "cves": ["CVE-2026-52928"],
    "digest": "ab" * 32,
    "kernel": KERNEL,
    "objects": ["vmlinux"],
    "functions": [{"name": "unix_ioctl", "unit": "net/unix/af_unix.o", "object": "vmlinux", "change": "changed"}],
    "data": [],
    "patches": [],
    "findings": [],
}
FILES = {
    name: b"\x7fELF" + name.encode() for name in ("update.ko", "rebootless.ko", "libmatch.so", "match/vmlinux.bin")
}


# Made once, since it takes most of a second: equal sources make equal programs, as tests below show.
ARCHIVE = functools.cache(make_archive)


class Host:
    """A host below a directory: its kernel's sysfs, its packages, its boots."""

    def __init__(self, root: pathlib.Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, patch
        self.packages = store.Store(str(root / "var/lib/rebootless"))
        self.applied: list[dict] = []
        self.refusals: list[Exception] = []
        self.number = 0
        (root / "run/systemd/system").mkdir(parents=True)
        (root / "cmdline").write_text("root=/dev/vda rw\n")
        patch.setattr(sysfs, "ROOT", str(root / "sysfs"))
        patch.setattr(prospects, "COMMAND_LINE", str(root / "cmdline"))
        patch.setattr(prospects, "OFF_FILE", str(root / "off"))
        patch.setattr(program, "Update", self._update)
        patch.setattr(program, "RETRY_PAUSE", 0)
        patch.setattr(persist, "make_archive", ARCHIVE)
        patch.setattr(program, "host_lock", lambda timeout: lock.host_lock(timeout, str(root / "lock")))
        patch.setattr(facts, "release", lambda: KERNEL["release"])
        self.kernel(KERNEL["build_id"], KERNEL["version"])
        self.reboot()

    def kernel(self, build_id: str, version: str) -> None:
        self.patch.setattr(facts, "build_id", lambda: build_id)
        self.patch.setattr(facts, "version", lambda: version)

    def reboot(self) -> None:
        """Another boot begins; the one before ended without ``stop``."""
        self.number += 1
        boot_id = f"00000000-0000-4000-8000-{self.number:012}"
        self.patch.setattr(facts, "boot_id", lambda: boot_id)
        with contextlib.suppress(FileNotFoundError):
            (self.root / "sysfs" / NAME / "state").unlink()

    def live(self, state: str, digest: str = MANIFEST["digest"]) -> None:
        directory = self.root / "sysfs" / NAME
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in {"state": state, "digest": digest, "version": "1.0", "control": ""}.items():
            (directory / name).write_text(text)

    def keep(self, version: str = "1.0", digest: str = MANIFEST["digest"]) -> None:
        with self.packages.stage(self.package(version, digest)) as staged:
            staged.keep()

    def package(self, version: str, digest: str) -> store.Package:
        (self.root / "package").write_bytes(make_package({**MANIFEST, "version": version, "digest": digest}, FILES))
        return store.read_package(str(self.root / "package"))

    def arm(self, **options) -> bool:
        return armed.arm(self.packages, NAME, root=str(self.root), **options)

    def run(self, *command: str) -> None:
        assert program.main(["--state-directory", self.packages.directory, *command]) == 0

    def boots(self) -> list[str]:
        record = armed_record.read(self.packages, NAME)
        return [row["outcome"] for row in record.boots] if record else []

    def prospect(self) -> dict:
        return prospects.prospect(self.packages, NAME)

    def _update(self, request, check_mode):
        assert not check_mode
        assert self.boots()[-1:] == ["trying"], "it is on the disk before the kernel is touched"
        self.applied.append(request._asdict())

        def run():
            for refusal in self.refusals:
                raise refusal
            self.live("applied" if request.deadline else "confirmed")

        return types.SimpleNamespace(run=run)


@pytest.fixture
def host(tmp_path, monkeypatch) -> Host:
    made = Host(tmp_path, monkeypatch)
    made.keep()
    made.live("confirmed")
    return made


def refusal(code: str):
    return pytest.raises(RebootlessError, check=lambda error: error.code == code and bool(error.next_step))


def test_armed_once_and_once_more(host):
    assert host.prospect() == {"state": "unarmed"}
    assert host.arm(plan="p1", fixed_in=["6.1.187-1"], check_mode=True) and host.prospect()["state"] == "unarmed"
    assert host.arm(plan="p1", fixed_in=["6.1.187-1"])
    assert not host.arm(plan="p1", fixed_in=["6.1.187-1"])
    found = host.prospect()
    assert (found["state"], found["version"], found["plan"], found["boots"]) == ("armed", "1.0", "p1", [])
    assert found["fixed_in"] == ["6.1.187-1"]
    assert host.arm(plan="p2", fixed_in=["6.1.187-1"]), "the plan is another one"
    assert armed_record.disarm(host.packages, NAME) and not armed_record.disarm(host.packages, NAME)
    assert host.prospect() == {"state": "unarmed"}
    assert not os.path.exists(armed_record.directory(host.packages))


def test_only_what_is_confirmed_is_armed(host):
    for state, digest in (("applied", MANIFEST["digest"]), ("reversed", MANIFEST["digest"]), ("confirmed", "cd" * 32)):
        host.live(state, digest)
        with refusal("not_confirmed"):
            host.arm()
    host.packages.remove(NAME)
    with refusal("package_missing"):
        host.arm()
    assert armed_record.names(host.packages) == []


def test_a_host_without_systemd_says_so_and_stays_as_it_is(host):
    (host.root / "run/systemd/system").rmdir()
    before = sorted(host.root.rglob("*"))
    with refusal("no_systemd"):
        host.arm()
    assert sorted(host.root.rglob("*")) == before


def test_a_good_boot(host):
    host.arm()
    for number in (1, 2):
        host.reboot()
        host.run("apply", "--deadline", "1800")
        assert host.applied[-1]["deadline"] == 1800 and host.applied[-1]["sha256"] == host.prospect()["package"]
        assert host.prospect()["state"] == "armed"
        host.run("settle")
        assert (host.root / "sysfs" / NAME / "control").read_text() == "confirm"
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


def test_a_quarantine_is_released_although_the_update_is_not_live(host):
    host.arm()
    host.reboot()
    host.run("apply", "--deadline", "1800")
    host.reboot()  # by reboot -f
    with refusal("not_confirmed"):
        host.arm()
    assert f"name={NAME} again=true" in host.prospect()["next_step"]
    assert host.arm(again=True) and not host.arm(again=True)
    assert (host.prospect()["state"], host.boots()) == ("armed", ["crashed"])
    host.run("apply", "--deadline", "1800")
    host.run("settle")
    assert len(host.applied) == 2 and host.boots() == ["crashed", "settled"]


def test_another_build_is_armed_beside_a_quarantine(host):
    host.arm()
    host.reboot()
    host.run("apply")
    host.reboot()
    host.run("apply")
    host.keep("1.1", "cd" * 32)
    host.live("confirmed", "cd" * 32)
    assert host.arm()
    assert (host.prospect()["state"], host.prospect()["version"], host.boots()) == ("armed", "1.1", [])


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
        (host.root / "cmdline").write_text("root=/dev/vda rebootless=off\n")
    else:
        (host.root / "off").touch()
    host.run("apply")
    assert not host.applied and host.boots() == []
    assert (host.prospect()["state"], host.prospect()["code"]) == ("off", "boot_off")


@pytest.mark.parametrize(
    "version,state,code", [("6.1.187-1", "not needed", "not_needed"), ("6.1.177-1", "other kernel", "other_kernel")]
)
def test_another_kernel(host, version, state, code):
    host.arm(fixed_in=["6.1.187-1", "6.12.107-1"])
    host.reboot()
    host.kernel("77" * 20, version)
    host.run("apply")
    found = host.prospect()
    assert not host.applied and (found["state"], found["code"], host.boots()) == (state, code, [state])
    assert found["sentence"] and found["next_step"]
    host.reboot()
    host.kernel(KERNEL["build_id"], KERNEL["version"])
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


def no_room(*_arguments, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full(host, monkeypatch):
    monkeypatch.setattr(disk, "replace_durably", no_room)
    with refusal("armed_record_unwritable"):
        host.arm()
    monkeypatch.undo()
    host = Host(host.root / "again", pytest.MonkeyPatch())
    host.keep()
    host.live("confirmed")
    host.arm()
    host.patch.setattr(disk, "replace_durably", no_room)
    for outcome in ("stopped", "stopped", "settled"):
        host.reboot()
        host.run("apply")
        host.run({"stopped": "stop", "settled": "settle"}[outcome])
        assert host.boots()[-1] == outcome, "the record has room for that"
    host.reboot()
    host.run("apply")
    host.reboot()
    host.run("apply")
    assert host.prospect()["state"] == "quarantined"
    host.patch.undo()


def test_nothing_is_applied_that_could_not_be_noted(host, monkeypatch):
    host.arm()
    host.reboot()

    def read_only(*_arguments, **_options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(disk, "replace_durably", read_only)
    host.run("apply")
    assert not host.applied


def test_a_record_with_a_flipped_bit_is_refused_by_name(host):
    host.arm(plan="p")
    path = pathlib.Path(armed_record.record_path(host.packages, NAME))
    content = path.read_bytes()
    for position in range(0, len(content.rstrip()), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        found = host.prospect()
        assert found["state"] == "damaged" or content[position : position + 1].isspace(), position
        if found["state"] == "damaged":
            assert found["code"] == "armed_record_damaged" and found["sentence"] and found["next_step"]
            host.run("apply")
    assert not host.applied
    assert host.arm(plan="p"), "arming again mends it"
    path.rename(path.with_name("other.json"))
    assert prospects.prospect(host.packages, "other")["state"] == "damaged"


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"{}", b'{"checksum": 1}', b"\xff"])
def test_no_record_at_all(host, content):
    host.arm()
    pathlib.Path(armed_record.record_path(host.packages, NAME)).write_bytes(content)
    assert host.prospect()["state"] == "damaged"
    host.run("apply")
    assert not host.applied


def test_the_armed_package_stays_when_a_newer_one_comes(host):
    host.arm()
    first = host.prospect()["package"]
    host.keep("1.1", "cd" * 32)
    assert store.read_package(armed_record.package_path(host.packages, NAME, first)).version == "1.0"
    host.live("confirmed", "cd" * 32)
    assert host.arm()
    assert host.prospect()["version"] == "1.1"
    kept = [name for name in os.listdir(armed_record.directory(host.packages)) if name.endswith(package.SUFFIX)]
    assert len(kept) == 1


def test_installed_once_and_taken_away(host, monkeypatch):
    settings = persist.Settings(state_directory=host.packages.directory, metrics_directory="/srv/100% metrics")
    there = persist.Persistence(settings, "/")
    monkeypatch.setattr(there, "_root", str(host.root))
    monkeypatch.setattr(there, "archive", "/var/lib/rebootless/boot/rebootless.pyz")
    assert not there.installed()
    foretold = there.install(check_mode=True)
    assert not there.installed()
    assert there.install() == foretold and there.installed() and there.install() == []
    units = host.root / "etc/systemd/system"
    link = units / "sysinit.target.wants/rebootless-boot.service"
    assert os.readlink(link) == "/etc/systemd/system/rebootless-boot.service"
    text = (units / "rebootless-metrics.service").read_text()
    assert "--metrics-directory '/srv/100%% metrics' metrics" in text
    # What is not asked for any more goes.
    without = persist.Persistence(settings._replace(metrics_directory="", fact_file=False, settle=33), str(host.root))
    without.archive = there.archive
    assert without.install() and without.install() == []
    assert not list(units.rglob("*metrics*")) and not (host.root / "etc/ansible/facts.d/rebootless.fact").exists()
    assert "OnActiveSec=33\n" in (units / "rebootless-settle.timer").read_text()
    assert there.uninstall() and there.uninstall() == []
    assert [path for path in host.root.joinpath("etc").rglob("*") if not path.is_dir()] == []


def test_the_program_needs_nothing_but_python(tmp_path):
    archive = tmp_path / "rebootless.pyz"
    archive.write_bytes(make_archive())
    assert make_archive() == archive.read_bytes()
    command = [sys.executable, "-I", "-S", str(archive), "--state-directory", str(tmp_path / "none")]
    done = subprocess.run([*command, "facts"], capture_output=True, text=True, cwd="/", env={}, check=True)
    assert json.loads(done.stdout)["release"] == os.uname().release
    for words in (["apply", "--deadline", "1800"], ["settle"], ["stop"]):
        done = subprocess.run([*command, *words], capture_output=True, text=True, cwd="/", env={}, check=True)
        assert done.stdout == done.stderr == ""
    assert not (tmp_path / "none").exists()


def test_equal_sources_make_equal_programs_in_every_process():
    script = f"import sys, hashlib; from {make_archive.__module__} import make_archive as make;"
    script += " print(hashlib.sha256(make()).hexdigest())"
    made = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        made.add(done.stdout)
    assert len(made) == 1


@pytest.mark.parametrize("module", ["persist", "rollout_host"])
def test_ansible_sends_all_of_the_program_to_hosts(module):
    """What is imported nowhere is not there to be installed: Ansible sends what a module imports, and no more."""
    path = COLLECTION / "plugins" / "modules" / f"{module}.py"
    sent: set[str] = set()
    waiting = [path.read_text()]
    while waiting:
        for name in imports.imported(waiting.pop()):
            if name not in sent:
                sent.add(name)
                waiting.append(imports._source(name) or "")
    assert set(imports.sources(ENTRY)) <= sent


def test_metrics(host, tmp_path):
    host.arm()
    with refusal("metrics_failed"):
        metrics.write(host.packages, str(tmp_path / "missing"))
    metrics.write(host.packages, str(tmp_path))
    text = (tmp_path / metrics.FILE).read_text()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    labels = f'name="{NAME}",version="1.0",state="confirmed",boot="armed"'
    assert values[f"rebootless_update_info{{{labels}}}"] == "1"
    assert values[f'rebootless_update_armed{{name="{NAME}"}}'] == "1"
    assert values[f'rebootless_update_quarantined{{name="{NAME}"}}'] == "0"
    assert values['rebootless_cve_fixed_live{cve="CVE-2026-52928"}'] == "1"
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert told <= set(metrics.METRICS)
    assert oct((tmp_path / metrics.FILE).stat().st_mode & 0o777) == "0o644"


def test_metrics_escape_what_labels_cannot_hold(host):
    kernel = {**inventory.kernel(host.packages), "release": 'a"b\\c\nd'}
    assert 'release="a\\"b\\\\c\\nd"' in metrics.render(kernel, [])


def test_a_host_shows_what_its_next_boot_does(host):
    host.arm()
    kernel = inventory.kernel(host.packages)
    assert kernel["boot"] == {"off": "", "armed": [NAME], "quarantined": []}
    (row,) = inventory.updates(host.packages)
    assert row["boot"]["state"] == "armed"
