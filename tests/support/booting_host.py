# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that applies armed updates by itself, boot by boot."""

from __future__ import annotations

import functools
import pathlib
import types

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot import armed, persist, program
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot.archive import make_archive
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import (
    armed_record,
    lock,
    prospects,
    store,
)
from ansible_collections.rebootless.splice.tests.support.package import MANIFEST, build
from ansible_collections.rebootless.splice.tests.support.target_host import KERNEL, NAME, FakeHost

# Made once, since it takes most of a second: equal sources make equal programs, as the tests of ``boot.archive`` show.
ARCHIVE = functools.cache(make_archive)


class BootingHost(FakeHost):
    """A host with packages and armed updates.  ``refusals`` are raised by each attempt to apply one."""

    def __init__(self, root: pathlib.Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(root, patch)
        self.packages = store.Store(str(root / "var/lib/rebootless"))
        self.applied: list[dict] = []
        self.refusals: list[Exception] = []
        (root / "run/systemd/system").mkdir(parents=True)
        (root / "cmdline").write_text("root=/dev/vda rw\n")
        patch.setattr(prospects, "COMMAND_LINE", str(root / "cmdline"))
        patch.setattr(prospects, "OFF_FILE", str(root / "off"))
        patch.setattr(program, "UpdateOperation", self._update)
        patch.setattr(program, "RETRY_PAUSE", 0)
        patch.setattr(persist, "make_archive", ARCHIVE)
        patch.setattr(program, "host_lock", lambda timeout: lock.host_lock(timeout, str(root / "lock")))
        patch.setattr(facts, "release", lambda: KERNEL["release"])

    def live(self, state: str, digest: str = MANIFEST["digest"]) -> None:
        self.show(NAME, state=state, digest=digest, version="1.0", control="")

    def keep(self, version: str = "1.0", digest: str = MANIFEST["digest"]) -> None:
        with self.packages.stage(self.package(version, digest)) as staged:
            staged.keep()

    def package(self, version: str, digest: str) -> store.Package:
        (self.directory / "package").write_bytes(build({**MANIFEST, "version": version, "digest": digest}))
        return store.read_package(str(self.directory / "package"))

    def arm(self, **options) -> bool:
        return armed.arm(self.packages, NAME, root=str(self.directory), **options)

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


def refusal(code: str):
    return pytest.raises(RebootlessError, check=lambda error: error.code == code and bool(error.next_step))
