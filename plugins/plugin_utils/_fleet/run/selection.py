# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a play of a run has, and in batches of which sizes.  Private to rebootless.splice."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import guards
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import (
    REVERT,
    ROLLOUT,
    RUNNING,
    STOPPED,
    RunFiles,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.gate import REVERSE, Row

CONTROLLER = "localhost"


def to_roll_out(files: RunFiles, inventory: t.Collection[str] = ()) -> list[list[str]]:
    """Batches of the hosts that are not settled, each with its guard if the inventory has it; none where the run does
    not go forward."""
    status = files.status()
    if status["status"] != RUNNING or status["goal"] != ROLLOUT:
        return []
    found = []
    for number, batch in enumerate(files.run()["batches"]):
        words = files.words(batch["hosts"])
        hosts = [word["host"] for word in words.values() if not outcomes.is_settled(word["state"])]
        guard = guards.NAME.format(number)
        found.append([*hosts, guard] if hosts and guard in inventory else hosts)
    return _batches(found)


def to_take_back(files: RunFiles, inventory: t.Collection[str] = ()) -> list[list[str]]:
    """Batches of the hosts that have to go back and have not yet, in the order in which they were put down."""
    status = files.status()
    if status["goal"] != REVERT and status["status"] != STOPPED:
        return []
    words = files.words(status["reverting"])
    batches: list[list[str]] = []
    number = None
    for host in status["reverting"]:
        word = words[host]
        if went_back(word):
            continue
        if not batches or word.get("batch") != number:
            batches.append([])
            number = word.get("batch")
        batches[-1].append(host)
    return batches


def to_fail(files: RunFiles, inventory: t.Collection[str] = ()) -> list[list[str]]:
    """The hosts that failed, in one batch, and ``localhost`` for a run that did not come to its end."""
    hosts = [host for batch in files.run()["batches"] for host in batch["hosts"]]
    found = [host for host, word in files.words(hosts).items() if outcomes.is_bad(word["state"])]
    ended = files.status().get("outcome") or {"finished": True}
    return _batches([found + ([] if ended["finished"] else [CONTROLLER])])


def task_files_of(path: str | None) -> list[str]:
    """The files with tasks that a plan has for health checks; none of a plan that cannot be read, which is refused
    elsewhere.
    """
    try:
        with open(path or "", encoding="utf-8") as file:
            return [row["file"] for row in json.load(file)["checks"] if row["kind"] == "tasks"]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def went_back(word: Row) -> bool:
    """Whether the host was visited to take the update back, however that ended."""
    return word["step"] == REVERSE and word["attempt"] is None


def _batches(found: t.Iterable[list[str]]) -> list[list[str]]:
    return [batch for batch in found if batch]


WHAT: dict[str, t.Callable[[RunFiles, t.Collection[str]], list[list[str]]]] = {
    "rollout": to_roll_out,
    "revert": to_take_back,
    "fail": to_fail,
}
