# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller remembers of a rollout, in one directory.  Private to rebootless.splice.

    plan.json        what the run does, as it was given
    run.json         what the gates need of it: batches with their budgets, times, limits; written once
    status.json      how far it came: running, waiting, stopped, finished
    hosts/<name>.json  one host: what it gets (the slice of the plan), and what became of it
    evidence.jsonl   everything that happened
    lock.json        who is at work on it

Every file is replaced as a whole, so that a reader finds the old one or the new one, also after a SIGKILL.
"""

from __future__ import annotations

import json
import os
import time
import typing as t
import urllib.parse

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

FORMAT = 1
ROLLOUTS = "rollouts"
LOCKS = "locks"
NAME_LENGTH = 12  # hex digits of a plan's digest that name its directory
SUFFIX = ".json"

RUNNING, WAITING, STOPPED, FINISHED = "running", "waiting", "stopped", "finished"
ROLLOUT, REVERT = "rollout", "revert"  # goals of a run

Row = t.Dict[str, t.Any]

# What a host's file has besides its slice; each step writes all of it anew.
WORD: Row = {
    "goal": ROLLOUT,
    "by": "",  # who started the run
    "plan": "",  # digest of plan.json
    "state": outcomes.PENDING,
    "step": None,  # the last one that began
    "code": "",
    "sentence": "",
    "next_step": "",
    "kernel_state": None,  # the helper's word, None: not known
    "boot_id": None,
    "attempt": None,  # names the process whose word is awaited
    "applied_at": None,  # when apply returned, by the controller's clock
    "updated": None,
}


def directory_of(base: str, digest: str) -> str:
    """Where the run of a plan has its files; ``base`` is the operator's directory."""
    return os.path.join(base, ROLLOUTS, digest[:NAME_LENGTH])


def lock_of(base: str, update: str) -> str:
    """The lock that excludes two runs of one update."""
    return os.path.join(base, LOCKS, update + SUFFIX)


class RunFiles:
    """The files of one run."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.hosts = os.path.join(path, "hosts")
        self.evidence = os.path.join(path, "evidence.jsonl")
        self.lock = os.path.join(path, "lock.json")
        self.plan = os.path.join(path, "plan.json")

    # ---- the run

    def exists(self) -> bool:
        return os.path.exists(os.path.join(self.path, "run.json"))

    def write_run(self, run: Row) -> None:
        _replace(os.path.join(self.path, "run.json"), {"format": FORMAT, **run})

    def run(self) -> Row:
        """What was written with ``write_run``.  Raises ``RebootlessError`` code ``no_run``."""
        path = os.path.join(self.path, "run.json")
        found = _read(path)
        if found is None or found.get("format") != FORMAT:
            raise RebootlessError(
                "no_run",
                f"{path} is no run of a rollout that this release can read.",
                "Start the playbook rollout with the plan; it makes the directory.",
                path=path,
            )
        return found

    def write_status(self, status: Row) -> None:
        _replace(os.path.join(self.path, "status.json"), {**status, "updated": time.time()})

    def status(self) -> Row:
        """How far the run came; ``running`` if there is no word."""
        empty: Row = {
            "status": RUNNING,
            "goal": ROLLOUT,
            "stop": None,
            "waiting": None,
            "reverting": [],
            "forgiven": [],
            "judged": [],  # numbers of the batches that came to their last gate
        }
        return {**empty, **(_read(os.path.join(self.path, "status.json")) or {})}

    # ---- one host

    def host_path(self, host: str) -> str:
        return os.path.join(self.hosts, urllib.parse.quote(host, safe="") + SUFFIX)

    def host(self, host: str) -> Row | None:
        """The file of a host; ``None`` if there is none that can be read."""
        found = _read(self.host_path(host))
        if found is None or found.get("host") != host or not isinstance(found.get("slice"), dict):
            return None
        return {**WORD, **found}

    def write_host(self, row: Row) -> None:
        _replace(self.host_path(row["host"]), {**row, "updated": time.time()})

    def words(self, hosts: t.Iterable[str]) -> dict[str, Row]:
        """The files of these hosts; one that has none that can be read counts as begun without a word."""
        lost = {**WORD, "state": outcomes.APPLYING, "code": "no_record", "sentence": "The host's file is damaged."}
        return {host: self.host(host) or {**lost, "host": host, "slice": {}} for host in hosts}


def new_host(host: str, batch: int, piece: Row, run: Row) -> Row:
    """The file of a host that ``run`` has not come to."""
    return {
        **WORD,
        "host": host,
        "batch": batch,
        "slice": piece,
        **{name: run[name] for name in ("goal", "by", "plan")},
    }


def _replace(path: str, content: Row) -> None:
    try:
        disk.replace(path, json.dumps(content, sort_keys=True, separators=(",", ":"), default=str).encode())
    except OSError as error:
        raise RebootlessError(
            "not_writable",
            f"The controller cannot write {path}: {error.strerror}.",
            "Make room there, or give another rebootless_directory.",
            path=path,
        ) from error


def _read(path: str) -> Row | None:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
