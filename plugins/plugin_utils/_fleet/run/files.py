# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller remembers of a rollout, in one directory.

    plan.json        what the run does, as it was given
    run.json         what the gates need of it: batches with their budgets, times, limits; written once
    status.json      how far it came: running, waiting, stopped, finished
    hosts/<name>.json  one host: what it gets (the slice of the plan), and what became of it
    evidence.jsonl   everything that happened
    lock.json        who is at work on it

Every file is replaced as a whole, so that a reader finds the old one or the new one, also after a SIGKILL.
"""

from __future__ import annotations

import os
import time
import typing as t
import urllib.parse

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, outcomes, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import (
    FORMAT,
    HostRecord,
    Run,
    Status,
)

ROLLOUTS = "rollouts"
LOCKS = "locks"
NAME_LENGTH = 12  # hex digits of a plan's digest that name its directory
SUFFIX = ".json"


def directory_of(base: str, digest: str) -> str:
    """Where the run of a plan has its files; ``base`` is the operator's directory."""
    return os.path.join(base, ROLLOUTS, digest[:NAME_LENGTH])


def lock_of(base: str, update: str) -> str:
    """The lock that excludes two runs of one update."""
    return os.path.join(base, LOCKS, update + SUFFIX)


class RunFiles:
    """The files of one run.  What was read or written is kept, so that each file is read once.

    Only :meth:`reread` sees what another process wrote later.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.hosts = os.path.join(path, "hosts")
        self.evidence = os.path.join(path, evidence.FILE)
        self.lock = os.path.join(path, "lock.json")
        self.plan = os.path.join(path, "plan.json")
        self._run: Run | None = None
        self._status: Status | None = None
        self._records: dict[str, HostRecord | None] = {}

    # ---- the run

    @property
    def _run_path(self) -> str:
        return os.path.join(self.path, "run.json")

    @property
    def _status_path(self) -> str:
        return os.path.join(self.path, "status.json")

    def exists(self) -> bool:
        return os.path.exists(self._run_path)

    def write_run(self, run: Run) -> None:
        _replace(self._run_path, run.to_json())
        self._run = run

    def run(self) -> Run:
        """What was written with ``write_run``.  Raises ``RebootlessError`` code ``no_run``."""
        if self._run is None:
            found = _read(self._run_path)
            if found is None or not strict_json.is_same(found.get("format"), FORMAT):
                raise RebootlessError(
                    "no_run",
                    f"{self._run_path} is no run of a rollout that this release can read.",
                    "Start the playbook rollout with the plan; it makes the directory.",
                    path=self._run_path,
                )
            self._run = Run.from_json(found, f"The run {self._run_path}", "no_run")
        return self._run

    def write_status(self, status: Status) -> None:
        _replace(self._status_path, {**status.to_json(), "updated": time.time()})
        self._status = status

    def status(self) -> Status:
        """How far the run came; ``running`` if there is no file yet.

        Raises ``RebootlessError`` code ``no_run`` for one that cannot be read: the run may have been going back.
        """
        if self._status is None:
            found = _read(self._status_path)
            where = f"The status {self._status_path}"
            is_new = found is None and not os.path.lexists(self._status_path)
            self._status = Status() if is_new else Status.from_json(found, where, "no_run")
        return self._status

    # ---- one host

    def host_path(self, host: str) -> str:
        return os.path.join(self.hosts, urllib.parse.quote(host, safe="") + SUFFIX)

    def host(self, host: str) -> HostRecord | None:
        """The record of a host; ``None`` if there is none that can be read."""
        return self._records[host] if host in self._records else self.reread(host)

    def reread(self, host: str) -> HostRecord | None:
        """The record of a host as its file is now, which another process may have written."""
        try:
            record = HostRecord.from_json(_read(self.host_path(host)), f"The record of {host}", "no_record")
        except RebootlessError:
            record = None
        self._records[host] = record if record is not None and record.host == host else None
        return self._records[host]

    def write_host(self, record: HostRecord) -> None:
        _replace(self.host_path(record.host), {**record.to_json(), "updated": time.time()})
        self._records[record.host] = record

    def records(self, hosts: t.Iterable[str]) -> dict[str, HostRecord]:
        """The records of these hosts; one that has none that can be read counts as begun, and never heard of."""
        return {host: self.host(host) or _damaged(host) for host in hosts}


def _damaged(host: str) -> HostRecord:
    return HostRecord(host, None, state=outcomes.APPLYING, code="no_record", sentence="The host's file is damaged.")


def _replace(path: str, content: Row) -> None:
    try:
        disk.replace(path, strict_json.write(content, sort_keys=True, separators=(",", ":")))
    except OSError as error:
        raise RebootlessError(
            "not_writable",
            f"The controller cannot write {path}: {error.strerror}.",
            "Make room there, or give another rebootless_directory.",
            path=path,
        ) from error


def _read(path: str) -> Row | None:
    try:
        found = strict_json.read(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
