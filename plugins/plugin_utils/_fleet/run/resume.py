# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run that was interrupted or stopped goes on, forwards or back."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.display import named
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.batch import Batch
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.host_slice import CONFIRM, PlanSlice
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import (
    REVERT,
    ROLLOUT,
    RUNNING,
    STOPPED,
    HostRecord,
    Run,
    Status,
    new_host,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.request import SHOWN, RunRequest
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.selection import to_take_back, went_back


def _judge_what_was_not(files: RunFiles, run: Run) -> None:
    """Passes the gate of a batch that was over when the run was killed: a batch that failed must not be followed by the
    next one because the run ended before its hosts were counted."""
    for planned in run.batches:
        batch = Batch(files, planned.hosts[0], lambda _line: None, forks=1)
        if batch.needs_judgement and batch.judge(CONFIRM)["stop"]:
            return


def again(files: RunFiles, run: Run, request: RunRequest) -> list[str]:
    """Prepares a run that has begun to go on; returns the hosts that are tried again.

    Raises ``RebootlessError``: ``taken_back``, ``stopped``, ``not_in_plan``.
    """
    if request.retry and not set(request.retry) & set(run.hosts):
        raise RebootlessError(
            "not_in_plan",
            f"The plan has none of the hosts that are to be tried again: {named(request.retry, SHOWN)}.",
            "Give hosts of the plan in rebootless_retry; make a plan for others.",
            hosts=list(request.retry),
        )
    if files.status().status == RUNNING and files.status().goal == ROLLOUT:
        _judge_what_was_not(files, run)
    status = files.status()
    if not request.proceed:
        _demand_not_taken_back(status)
        if status.status == STOPPED and to_take_back(files):
            return []  # it was interrupted while it went back, which it does to the end
        _demand_not_stopped(status, run)
    records = files.records(run.hosts)
    retried = [host for host in request.retry if host in records and _can_be_tried_again(records[host])]
    for host in retried:
        planned = t.cast(PlanSlice, records[host].slice)
        files.write_host(new_host(host, records[host].batch, dataclasses.replace(planned, retry=True), run))
    files.write_status(
        dataclasses.replace(
            status,
            status=RUNNING,
            goal=ROLLOUT,
            stop=None,
            waiting=None,
            reverting=[],
            forgiven=_forgiven(status, records, retried),
            judged=sorted({*status.judged} - {records[host].batch for host in retried}),
        )
    )
    return retried


def _demand_not_taken_back(status: Status) -> None:
    if status.goal == REVERT:
        raise RebootlessError(
            "taken_back",
            "The update of this plan was taken back, or is about to be.",
            "Make a new plan; or finish with the playbook revert, or go on with -e rebootless_continue=true.",
        )


def _demand_not_stopped(status: Status, run: Run) -> None:
    if status.status == STOPPED:
        raise RebootlessError(
            "stopped",
            f"The rollout of {run.update.name} {run.update.version} was stopped: {_why(status)}.",
            "Find the cause. Then make a new plan, or go on with -e rebootless_continue=true (and, for the hosts that "
            "failed or went back, -e rebootless_retry=<pattern>).",
            stop=status.stop.to_json() if status.stop else {},
        )


def _forgiven(status: Status, records: t.Mapping[str, HostRecord], retried: t.Collection[str]) -> list[str]:
    """The hosts that count no more at the gates, since the operator said to go on after they had failed."""
    forgiven = set(status.forgiven) - set(retried)
    if status.status == STOPPED:
        forgiven |= {host for host, row in records.items() if outcomes.is_bad(row.state) and host not in retried}
        forgiven = {host for host in forgiven if outcomes.is_settled(records[host].state)}
    return sorted(forgiven)


def _why(status: Status) -> str:
    return status.stop.sentence if status.stop else ""


def _can_be_tried_again(record: HostRecord) -> bool:
    return outcomes.is_settled(record.state) and record.state != outcomes.CONFIRMED


def begin_to_revert(files: RunFiles, records: dict[str, HostRecord], hosts: list[str], request: RunRequest) -> bool:
    """Makes going back the run's goal; says whether one that was interrupted goes on with the hosts that are left."""
    status = files.status()
    goes_on = status.goal == REVERT and status.status == RUNNING and bool(to_take_back(files))
    if status.goal == REVERT and status.status == STOPPED and not request.proceed:
        raise RebootlessError(
            "stopped",
            f"Going back was stopped: {_why(status)}.",
            "Find the cause; then go on with -e rebootless_continue=true.",
        )
    if not goes_on:
        for host in hosts:
            # The step is taken anew, also where the record has it already.
            fresh = dataclasses.replace(records[host], goal=REVERT, by=request.by, step=None, attempt=None)
            files.write_host(fresh)
        files.write_status(
            dataclasses.replace(status, status=RUNNING, goal=REVERT, stop=None, waiting=None, reverting=hosts)
        )
    return goes_on


def not_back(files: RunFiles, records: dict[str, HostRecord]) -> list[str]:
    """The hosts of an earlier run of going back that it has not come to, or that failed in it."""
    status = files.status()
    wanted = status.reverting if status.goal == REVERT else []
    return [host for host in wanted if not went_back(records[host]) or outcomes.is_bad(records[host].state)]
