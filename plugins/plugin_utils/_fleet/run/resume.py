# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run that was interrupted or stopped goes on, forwards or back.  Private to rebootless.splice."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import files as progress
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.batch import Batch
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import (
    REVERT,
    ROLLOUT,
    RUNNING,
    STOPPED,
    RunFiles,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.gate import CONFIRM, Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.request import Request
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.selection import to_take_back, went_back


def _judge_what_was_not(files: RunFiles, run: Row) -> None:
    """Passes the gate of a batch that was over when the run was killed: a batch that failed must not be followed by the
    next one because nobody was there to count."""
    for row in run["batches"]:
        batch = Batch(files, row["hosts"][0], lambda _line: None, forks=1)
        if batch.needs_judgement and batch.judge(CONFIRM)["stop"]:
            return


def again(files: RunFiles, run: Row, status: Row, request: Request) -> list[str]:
    """Prepares a run that has begun to go on; returns the hosts that are tried again."""
    if status["status"] == RUNNING and status["goal"] == ROLLOUT:
        _judge_what_was_not(files, run)
        status = files.status()
    if status["goal"] == REVERT and not request.proceed:
        raise RebootlessError(
            "taken_back",
            "The update of this plan was taken back, or is about to be.",
            "Make a new plan; or finish with the playbook revert, or go on with -e rebootless_continue=true.",
        )
    if status["status"] == STOPPED and not request.proceed:
        if to_take_back(files):
            return []  # it was interrupted while it went back, which it does to the end
        stop, update = status["stop"] or {}, run["update"]
        raise RebootlessError(
            "stopped",
            f"The rollout of {update['name']} {update['version']} was stopped: {stop.get('sentence', '')}.",
            "Find the cause. Then make a new plan, or go on with -e rebootless_continue=true (and, for the hosts that "
            "failed or went back, -e rebootless_retry=<pattern>).",
            stop=stop,
        )
    words = files.words([host for batch in run["batches"] for host in batch["hosts"]])
    again = [host for host in request.retry if host in words and _can_be_tried_again(words[host])]
    for host in again:
        word = words[host]
        piece = {**word["slice"], "retry": True}
        files.write_host(progress.new_host(host, word["batch"], piece, run))
    forgiven = set(status["forgiven"]) - set(again)
    if status["status"] == STOPPED:
        forgiven |= {host for host, word in words.items() if outcomes.is_bad(word["state"]) and host not in again}
        forgiven = {host for host in forgiven if outcomes.is_settled(words[host]["state"])}
    files.write_status(
        {
            **status,
            "status": RUNNING,
            "goal": ROLLOUT,
            "stop": None,
            "waiting": None,
            "reverting": [],
            "forgiven": sorted(forgiven),
            "judged": sorted(set(status["judged"]) - {words[host]["batch"] for host in again}),
        }
    )
    return again


def _can_be_tried_again(word: Row) -> bool:
    return outcomes.is_settled(word["state"]) and word["state"] != outcomes.CONFIRMED


def begin_to_revert(files: RunFiles, words: dict[str, Row], hosts: list[str], request: Request) -> bool:
    """Makes going back the run's goal; says whether one that was interrupted goes on with the hosts that are left."""
    status = files.status()
    goes_on = status["goal"] == REVERT and status["status"] == RUNNING and to_take_back(files)
    if status["goal"] == REVERT and status["status"] == STOPPED and not request.proceed:
        raise RebootlessError(
            "stopped",
            f"Going back was stopped: {(status['stop'] or {}).get('sentence', '')}.",
            "Find the cause; then go on with -e rebootless_continue=true.",
        )
    if not goes_on:
        for host in hosts:
            # the step is taken anew, whatever step the host's file has
            files.write_host({**words[host], "goal": REVERT, "by": request.by, "step": None, "attempt": None})
        files.write_status(
            {**status, "status": RUNNING, "goal": REVERT, "stop": None, "waiting": None, "reverting": hosts}
        )
    return bool(goes_on)


def not_back(files: RunFiles, words: dict[str, Row]) -> list[str]:
    """The hosts of an earlier run of going back that it has not come to, or that failed in it."""
    status = files.status()
    wanted = status["reverting"] if status["goal"] == REVERT else []
    return [host for host in wanted if not went_back(words[host]) or outcomes.is_bad(words[host]["state"])]
