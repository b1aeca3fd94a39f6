# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a play of a run has, and in batches of which sizes."""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes, strict_json
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import guards
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.host_slice import REVERSE
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import (
    REVERT,
    ROLLOUT,
    RUNNING,
    STOPPED,
    HostRecord,
)

CONTROLLER = "localhost"


def to_roll_out(files: RunFiles, inventory: t.Collection[str] = ()) -> list[list[str]]:
    """Batches of the hosts that are not settled, each with its guard if the inventory has it; none where the run does
    not go forward."""
    status = files.status()
    if status.status != RUNNING or status.goal != ROLLOUT:
        return []
    found = []
    for number, batch in enumerate(files.run().batches):
        records = files.records(batch.hosts)
        hosts = [host for host, record in records.items() if not outcomes.is_settled(record.state)]
        guard = guards.NAME.format(number)
        found.append([*hosts, guard] if hosts and guard in inventory else hosts)
    return _batches(found)


def to_take_back(files: RunFiles, inventory: t.Collection[str] = ()) -> list[list[str]]:
    """Batches of the hosts that have to go back and have not yet, in the order in which they were put down."""
    status = files.status()
    if status.goal != REVERT and status.status != STOPPED:
        return []
    records = files.records(status.reverting)
    batches: list[list[str]] = []
    number = None
    for host in status.reverting:
        record = records[host]
        if went_back(record):
            continue
        if not batches or record.batch != number:
            batches.append([])
            number = record.batch
        batches[-1].append(host)
    return batches


def to_fail(files: RunFiles, inventory: t.Collection[str] = ()) -> list[list[str]]:
    """The hosts that failed, in one batch, and ``localhost`` for a run that did not come to its end."""
    records = files.records(files.run().hosts)
    found = [host for host, record in records.items() if outcomes.is_bad(record.state)]
    outcome = files.status().outcome
    return _batches([found + ([] if outcome is None or outcome.finished else [CONTROLLER])])


def task_files_of(path: str | None) -> list[str]:
    """The files with tasks that a plan has for health checks; none of a plan that cannot be read, which is refused
    elsewhere.
    """
    try:
        plan = strict_json.read(path or "")
        return [row["file"] for row in plan["checks"] if row["kind"] == "tasks"]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def went_back(record: HostRecord) -> bool:
    """Whether the host was visited to take the update back, however that ended."""
    return record.step == REVERSE and record.attempt is None


def _batches(found: t.Iterable[list[str]]) -> list[list[str]]:
    return [batch for batch in found if batch]


WHAT: dict[str, t.Callable[[RunFiles, t.Collection[str]], list[list[str]]]] = {
    "rollout": to_roll_out,
    "revert": to_take_back,
    "fail": to_fail,
}
