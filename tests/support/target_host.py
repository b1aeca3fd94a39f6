# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for tests of the target's side: the kernel is a directory, the helper module a few lines of Python."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import time

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target import preflight, rights, update
from ansible_collections.rebootless.splice.plugins.module_utils._target.health import health_log
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, isolated_cpus, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout import confirm, run, step, watch
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.records import Records
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.step import StepRequest
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import lock
from ansible_collections.rebootless.splice.tests.support.package import MANIFEST, build

NAME, KERNEL = MANIFEST["name"], MANIFEST["kernel"]
PLAN, OTHER_PLAN = "aa" * 32, "bb" * 32


class FakeLog:
    """A kernel log in a file, a line for each; never ready, so that its readers look when their pause is over."""

    path = pathlib.Path()

    def __init__(self, after: int) -> None:
        self.seen, self.lost = after, 0
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        return self._reader

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)

    def lines(self) -> list[health_log.HealthLine]:
        texts = self.path.read_text().splitlines()
        found = [health_log.HealthLine(number, 4, text) for number, text in enumerate(texts) if number > self.seen]
        self.seen = max(self.seen, len(texts) - 1)
        return found


class FakeHost:
    """A host below a directory: what its kernel says of itself and of the updates in it, and its boots."""

    def __init__(self, directory: pathlib.Path, patch: pytest.MonkeyPatch) -> None:
        self.directory, self.patch = directory, patch
        self.sysfs = directory / "sys"
        self.sysfs.mkdir(parents=True)
        self.boots_begun = 1
        patch.setattr(sysfs, "ROOT", str(self.sysfs))
        patch.setattr(isolated_cpus, "CPUS", str(directory / "cpu"))
        patch.setattr(isolated_cpus, "CGROUPS", str(directory / "cgroup"))
        patch.setattr(facts, "boot_id", lambda: self.boot_id)
        self.run_kernel(KERNEL["build_id"], KERNEL["version"])

    @property
    def boot_id(self) -> str:
        return f"00000000-0000-4000-8000-{self.boots_begun:012}"

    def run_kernel(self, build_id: str, version: str) -> None:
        self.patch.setattr(facts, "build_id", lambda: build_id)
        self.patch.setattr(facts, "version", lambda: version)

    def isolate(self, cpus: str) -> None:
        """Has the kernel keep these CPUs of its eight free of interruptions."""
        (self.directory / "cpu").mkdir(exist_ok=True)
        (self.directory / "cpu" / "online").write_text("0-7\n")
        (self.directory / "cpu" / "nohz_full").write_text(f"{cpus}\n")

    def reboot(self) -> None:
        """Another boot begins, without any update; the one before ended without a word."""
        self.boots_begun += 1
        for path in sorted(self.sysfs.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def show(self, name: str, **attributes: object) -> None:
        """Has the kernel show these attributes of an update from now on."""
        (self.sysfs / name).mkdir(exist_ok=True)
        for key, value in attributes.items():
            new = self.directory / "attribute"
            new.write_text(f"{value}\n")
            new.rename(self.sysfs / name / key)  # no reader sees an empty file, as in sysfs


class RolloutHost(FakeHost):
    """The host.  ``refuse`` maps a command of the helper module to the code with which it refuses it."""

    def __init__(self, directory: pathlib.Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(directory, patch)
        self.log = directory / "kmsg"
        self.log.write_text("Linux version 6.1\n")
        self.state_directory = directory / "lib"
        self.refuse: dict[str, str] = {}
        self.taint = 0
        self.package = directory / "package"
        self.provide("1.0", "ab" * 32)
        self._patch(patch)

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        FakeLog.path = self.log

        @contextlib.contextmanager
        def locked(timeout, path="host.lock"):
            with lock.host_lock(timeout, str(self.directory / os.path.basename(path))):
                yield

        for module in (update, step, confirm):
            patch.setattr(module, "host_lock", locked)
        patch.setattr(sysfs, "control", self.control)
        patch.setattr(preflight, "check", lambda package: None)
        patch.setattr(rights, "require_root", lambda: None)
        patch.setattr(update.UpdateOperation, "_load", self._load)
        patch.setattr(health_log, "HealthLog", FakeLog)
        patch.setattr(health_log, "last_number", lambda mark: len(self.log.read_text().splitlines()) - 1)
        patch.setattr(facts, "taint", lambda: {"value": self.taint, "flags": []})
        patch.setattr(watch, "POLL_S", 0.02)
        patch.setattr(watch, "_leave_session", lambda name: None)

    def _load(self, package) -> str:
        live = sysfs.state(package.name) in sysfs.LIVE
        name = package.name + (sysfs.NEXT if live else "")
        self.show(name, state="matched", digest=package.digest, version=package.version)
        return name

    def control(self, name: str, command: str) -> None:
        word, _space, seconds = command.partition(" ")
        if word in self.refuse:
            raise RebootlessError(self.refuse[word], "The helper module refuses.", "Try again.")
        state = sysfs.state(name)
        live = state in sysfs.LIVE
        allowed = {
            "apply": state in ("matched", "reversed"),
            "confirm": live,
            "reverse": live,
            "extend": state == "applied",
        }
        if not allowed[word]:
            raise RebootlessError("bad_state", f"The update is {state}.", "Look.")
        states = {"apply": "applied", "confirm": "confirmed", "reverse": "reversed", "extend": "applied"}
        self.show(name, state=states[word], deadline=seconds or 0)
        if name.endswith(sysfs.NEXT):  # it takes the other's place, and its name
            for path in (self.sysfs / name).iterdir():
                path.rename(self.sysfs / name[: -len(sysfs.NEXT)] / path.name)
            (self.sysfs / name).rmdir()
        with self.log.open("a") as stream:
            stream.write(f"rebootless test: {command}\n")

    def provide(self, version: str, digest: str) -> None:
        """Has the package of a version come with the tasks from now on."""
        self.content = build({**MANIFEST, "version": version, "digest": digest})
        self.package.write_bytes(self.content)

    def pass_deadline(self) -> None:
        self.show(NAME, state="reversed", deadline=0)

    def boot_with(self, version: str, digest: str) -> None:
        """What the persist service has applied when the host came up."""
        self.show(NAME, state="applied", digest=digest, version=version, deadline=600)

    def say(self, text: str) -> None:
        with self.log.open("a") as stream:
            stream.write(text + "\n")

    @property
    def kernel(self) -> str:
        return sysfs.state(NAME)

    def record(self) -> dict:
        record = Records(str(self.state_directory)).read(NAME)
        assert record is not None
        return record

    def run(self, step: str, **options) -> dict:
        """One run of the module."""
        request = {
            "plan": PLAN,
            "package": str(self.package),
            "digest": hashlib.sha256(self.content).hexdigest(),
            "build_id": "6c" * 20,
            "deadline": 600,
            "check_times": [0],
            "state_directory": str(self.state_directory),
            **options,
        }
        return run.run(StepRequest(step, NAME, **request))

    def wait_for_watcher(self) -> dict:
        """The record when the watcher is gone."""
        end = time.monotonic() + 20
        while watch.alive(self.record()):
            assert time.monotonic() < end
            time.sleep(0.01)
        return self.record()

    def commands(self) -> list[str]:
        """What the helper module was told, oldest first."""
        lines = self.log.read_text().splitlines()
        return [line.partition(": ")[2] for line in lines if line.startswith("rebootless test: ")]
