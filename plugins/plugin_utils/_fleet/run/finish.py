# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends a run: how it came out, what operators are told, what the locks become."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.display import count, few
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import display, evidence, lock
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import NAME_LENGTH, RunFiles, lock_of
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.interrupted import GOES_ON
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import (
    FINISHED,
    REVERT,
    ROLLOUT,
    RUNNING,
    STOPPED,
    WAITING,
    HostRecord,
    Outcome,
    Run,
    Status,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.selection import to_roll_out, to_take_back

STOPPED_STEP = {
    ROLLOUT: "Find the cause; then make a new plan, or go on with -e rebootless_continue=true.",
    REVERT: "Find the cause; then go on with the same command and -e rebootless_continue=true.",
}

CHECKED_STEP = {ROLLOUT: "Roll out.", REVERT: "Take it back: the same command without --check."}
NOTHING_FOUND = Outcome(
    outcomes.NOT_THERE,
    False,
    "no_such_update",
    "No host that was asked has anything of this update, so nothing was taken back.",
    "See in the report (the playbook report) which updates the hosts have, and give one of these names.",
)


def finish(files: RunFiles, directory: str, holder: lock.Holder, say: t.Callable[[str], None], check: bool) -> Row:
    """Tells how the run came out; ``finished`` is false where something is left to do.  Locks are given back."""
    run, status = files.run(), files.status()
    records = files.records(run.hosts)
    if not check and status.status == RUNNING and not to_roll_out(files) and not to_take_back(files):
        status = dataclasses.replace(status, status=FINISHED)
        files.write_status(status)
    outcome = _outcome(status, records, check)
    title = _title(run)
    say(f"{title}: {outcome.outcome}. {outcome.sentence}".strip())
    for text in display.table(run.batches, records, run.left_out):
        say(f"  {text}")
    if outcome.next_step:
        say(f"next: {outcome.next_step}")
    states = [record.state for record in records.values()]
    counts = {state: states.count(state) for state in sorted(set(states))}
    bad = [host for host, record in records.items() if outcomes.is_bad(record.state)]
    files.write_status(dataclasses.replace(status, outcome=outcome))
    if not check:
        details = {"states": counts, "bad": bad, "goal": status.goal}
        line = evidence.line(
            "rollout_finished",
            run.plan,
            run.update.to_json(),
            run.by,
            details,
            state=outcome.outcome,
            **{name: getattr(outcome, name) for name in display.REASON},
        )
        evidence.append(files.evidence, [line], sync=True)
        lock.release(files.lock, holder)
        lock.release(lock_of(directory, run.update.name), holder)
    return {**outcome.to_json(), "states": counts, "bad": bad, "run": files.path, "goal": status.goal}


def _title(run: Run) -> str:
    """``cve-2026-52928 1.0, plan b44e5f7f265a``; what goes back by name has neither version nor plan."""
    name = f"{run.update.name} {run.update.version}".strip()
    return f"{name}, plan {run.plan[:NAME_LENGTH]}" if run.deadline else name


def _found_nothing(status: Status, records: t.Mapping[str, HostRecord]) -> bool:
    """Whether no host had anything of the update that was to be taken back: its name may be mistyped."""
    states = {records[host].state for host in status.reverting}
    went_back = any(record.state == outcomes.REVERSED for record in records.values())
    return status.goal == REVERT and states == {outcomes.NOT_THERE} and not went_back


def _would_happen(status: Status, records: t.Mapping[str, HostRecord]) -> str:
    """What going back would do, where that was only looked at."""
    if status.goal != REVERT:
        return ""
    live = [host for host in status.reverting if records[host].state in (outcomes.APPLIED, outcomes.CONFIRMED)]
    return f" The update would be taken back from {few(live)}." if live else " The update is live on no host."


def _outcome(status: Status, records: t.Mapping[str, HostRecord], check: bool) -> Outcome:
    """How the run came out, and code, sentence and next step where it is not over."""
    bad = any(outcomes.is_bad(record.state) for record in records.values())
    if (check or status.status == FINISHED) and _found_nothing(status, records):
        return NOTHING_FOUND
    if check:
        would = _would_happen(status, records)
        return Outcome("checked", True, "", f"Nothing was changed.{would}", "" if bad else CHECKED_STEP[status.goal])
    if status.status == WAITING and status.waiting:
        waiting = status.waiting
        inside = " Inside the windows, that is." if waiting.code == "outside_window" else ""
        return Outcome("waiting", False, waiting.code, waiting.sentence, GOES_ON + inside)
    if status.status == STOPPED and status.stop:
        gone = [host for host in status.reverting if records[host].state == outcomes.REVERSED]
        back = f" {count(len(gone), 'healthy host')} went back." if gone else ""
        return Outcome("stopped", False, status.stop.code, f"{status.stop.sentence}.{back}", STOPPED_STEP[status.goal])
    if status.status == FINISHED:
        look = "Look at the hosts that failed, above; the playbook report shows all of it." if bad else ""
        nothing = "" if records else "No host needs the update, so there was nothing to roll out."
        return Outcome("reverted" if status.goal == REVERT else "done", True, "", nothing, look)
    return Outcome("interrupted", False, "interrupted", "Not every host has come to its end.", GOES_ON)
