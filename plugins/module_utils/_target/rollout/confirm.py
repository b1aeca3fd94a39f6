# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps ``confirm``, ``reverse`` and ``status`` of a rollout."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.checks import allowance, normalise
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.health import health_log, runner
from ansible_collections.rebootless.splice.plugins.module_utils._target.health.checks import Subject
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout import back, records, watch
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.records import since_boot
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.step import (
    APPLIED,
    CONFIRMED,
    FAILED,
    NOT_THERE,
    PENDING,
    REVERSED,
    Step,
    Stopped,
)
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import armed_record
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.lock import host_lock
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store
from ansible_collections.rebootless.splice.plugins.module_utils._target.update import UpdateOperation, UpdateRequest

EARLY_S = 30.0  # of a soak that is waited for here
LATE_S = 60.0  # that a watcher may take longer than its checks are allowed to, on a host that is busy
POLL_S = 0.2


def confirm(step: Step) -> str:
    """Lets an update stay that was well through the whole soak, and is well now; anything else goes back."""
    record = step.records.read(step.name)
    state = sysfs.state(step.name)
    if state == sysfs.ABSENT and record is None:
        raise RebootlessError(
            "not_applied",
            f"The update {step.name} is not live on this host, and no rollout has been here.",
            "Apply it first.",
        )
    if record is None or not step.is_ours(record):
        raise _strange(step, record, state)
    if state not in sysfs.LIVE or sysfs.digest(step.name) != record["build_digest"]:
        raise _gone(step, record)
    if record["boot_id"] != facts.boot_id():  # applied when it was booted
        raise back.other_rollout(step.request, record)
    if record["step"] == records.CONFIRMED:
        step.live(state)
    if state == sysfs.CONFIRMED:  # by this step, which was killed then
        return _confirmed(step, record)
    record = _wait_for_watcher(step, record)
    error = _objection(record) or _last_checks(step, record) or _unrecorded(step, record)
    if error is not None:
        with contextlib.suppress(RebootlessError):  # the way back does not depend on it
            watch.stop(record)
        back.go_back(record, error, back.MODULE, step.request)
        step.changed = True
        step.save(record)
        raise error
    with host_lock(step.request.lock_timeout):
        try:
            sysfs.control(step.name, "confirm")
        except RebootlessError as refused:
            raise _gone(step, record) if sysfs.state(step.name) not in sysfs.LIVE else refused from refused
    step.changed = True
    return _confirmed(step, record)


def _strange(step: Step, record: dict | None, state: str) -> RebootlessError:
    """The update is live, but this rollout has no record of it here."""
    if record is not None or state == sysfs.CONFIRMED:
        return back.other_rollout(step.request, record)
    error = RebootlessError(
        "record_missing",
        "The host's record of the rollout is gone, and with it what the soak has shown.",
        "Find out who removed files below the state directory, or which disk lost them; then try the host again.",
    )
    if state == sysfs.APPLIED:
        error.details.update(back.back(step.name, back.MODULE, step.request))
        step.changed = True
    return error


def _gone(step: Step, record: dict[str, t.Any]) -> RebootlessError:
    """The update is not live any more: the record says why, or is told."""
    step.known["checks"] = record["results"]
    if record["outcome"] and record["boot_id"] == facts.boot_id():
        return back.recorded(record)
    error = back.gone(record)
    with contextlib.suppress(RebootlessError):
        watch.stop(record)
    if sysfs.state(step.name) not in sysfs.LIVE and record["boot_id"] == facts.boot_id():
        error.details.update(back.restore(record, step.request))
    back.remember(record, error)
    step.save(record)
    return error


def _confirmed(step: Step, record: dict[str, t.Any]) -> str:
    if record["step"] != records.CONFIRMED:
        record["step"] = records.CONFIRMED
        record["confirmed"] = facts.wall_time()
        record["outcome"] = {"state": CONFIRMED}
        step.save(record)
        step.records.drop_previous(step.name)
    step.arm(record)
    return CONFIRMED


def _wait_for_watcher(step: Step, record: dict[str, t.Any]) -> dict[str, t.Any]:
    """The record when its watcher has ended; it may be a little late."""
    last = (record["applied_at"] or 0) + record["check_times"][-1]
    end = last + allowance(record["checks"]) + LATE_S
    left = last - since_boot()
    if watch.alive(record) and left > EARLY_S:
        error = RebootlessError(
            "soak_not_over",
            f"The soak of this host goes on for {left:.0f} s.",
            "Confirm when it is over.",
            seconds=round(left, 1),
        )
        raise Stopped(APPLIED, error)
    while watch.alive(record) and since_boot() < end:
        time.sleep(POLL_S)
    return step.records.read(step.name) or record


def _objection(record: dict[str, t.Any]) -> RebootlessError | None:
    """Why the soak is not good enough, None if it is."""
    if record["outcome"]:  # the watcher could not take it back
        return back.recorded(record)
    if records.bad_results(record):
        return back.check_failed(record)
    missing = records.missing_times(record)
    if not missing:
        return None
    if watch.alive(record):
        code, what = "watcher_hangs", "The watcher on the host has not finished its checks in time."
    else:
        code, what = "watcher_died", "The watcher on the host died during the soak."
    return RebootlessError(
        code,
        what,
        "Look at the host's memory and its kernel log; then try the host again.",
        missing_times=missing,
        error=(record["watcher"] or {}).get("error", ""),
    )


def _last_checks(step: Step, record: dict[str, t.Any]) -> RebootlessError | None:
    log = health_log.HealthLog(record["log_seen"])
    elapsed = int(since_boot() - record["applied_at"])
    results = runner.run(record["checks"], watch.subject(record, log), "confirm", elapsed)
    log.close()
    record["results"] += results
    record["log_seen"] = log.seen
    step.known["checks"] = record["results"]
    return None if all(row["ok"] for row in results) else back.check_failed(record)


def _unrecorded(step: Step, record: dict[str, t.Any]) -> RebootlessError | None:
    """Writes that the update is about to be confirmed; what cannot be recorded is not confirmed."""
    record["step"] = records.CONFIRMING
    try:
        step.records.write(record)
    except RebootlessError as error:
        return error
    return None


def reverse(step: Step) -> str:
    """Takes the update back, so that it does not come again at the next boot either, and looks at the host's health."""
    record, state = _to_take_back(step)
    if record is not None:
        with contextlib.suppress(RebootlessError):
            watch.stop(record)
        record = step.records.read(step.name)
    subject = _subject(step)
    _take_back(step, record)
    if state in sysfs.LIVE:
        _check_original(step, subject)
    return REVERSED


def look_back(step: Step) -> str:
    """What `reverse` would find; changes nothing."""
    _record, state = _to_take_back(step)
    if state not in sysfs.LIVE:
        step.known["sentence"] = f"The original code runs: {step.name} is not live."
        return REVERSED
    step.known["sentence"] = f"{step.name} {sysfs.version(step.name)} is live, and would be taken back."
    return state if state in sysfs.IN_EFFECT else APPLIED


def _to_take_back(step: Step) -> tuple[dict[str, t.Any] | None, str]:
    """The record and the kernel's state of what is to be taken back; ends the step where that is another rollout's, or
    not there."""
    record = step.records.read(step.name)
    state = sysfs.state(step.name)
    if state in sysfs.LIVE and step.request.plan and not step.is_ours(record):
        raise Stopped(state if state in sysfs.IN_EFFECT else FAILED, back.other_rollout(step.request, record))
    _demand_there(step, state)
    return record, state


def _demand_there(step: Step, state: str) -> None:
    """Ends the step on a host that has nothing of the update: what was never there, as one whose name is mistyped, must
    not be said to have been taken back."""
    store, name = Store(step.request.state_directory), step.name
    kept = (step.records.path(name), store.path(name), armed_record.record_path(store, name))
    if state == sysfs.ABSENT and not any(map(os.path.lexists, kept)):
        raise Stopped(
            NOT_THERE,
            RebootlessError(
                "not_there",
                f"The host has nothing of the update {name}: its kernel does not know it, and no file is kept of it.",
                "Nothing to do on this host, if the name is the one that was meant.",
            ),
        )


def _subject(step: Step) -> Subject:
    """What the checks after the way back look at: the host as it is before, from a line of the kernel log on."""
    log = health_log.HealthLog(health_log.last_number(f"{step.log_title} is taken back"))
    return Subject(step.name, "", facts.taint()["value"], log)


def _take_back(step: Step, record: dict[str, t.Any] | None) -> None:
    """Reverses the update, or removes it with its record if the step says so."""
    wanted = UpdateRequest(
        "absent" if step.request.remove else "reversed",
        name=step.name,
        tries=step.request.tries,
        blockers=step.request.blockers,
        lock_timeout=step.request.lock_timeout,
        state_directory=step.request.state_directory,
    )
    step.changed = UpdateOperation(wanted, check_mode=False).run()["changed"] or step.changed
    if step.request.remove:
        step.changed = step.records.remove(step.name) or step.changed
    elif record is not None and record["step"] != records.REVERSED:
        record["step"] = records.REVERSED
        record["outcome"] = {"state": REVERSED, "reason": step.request.reason, "before": record["outcome"]}
        step.changed = True
        step.save(record)


def _check_original(step: Step, subject: Subject) -> None:
    """Raises ``RebootlessError`` code ``check_failed`` unless the host is well with its original code."""
    checks = [check for check in normalise(list(step.request.checks)) if check["kind"] != "update_state"]
    step.known["checks"] = results = runner.run(checks, subject, "reverse", 0)
    bad = [row for row in results if not row["ok"]]
    if bad:
        raise RebootlessError(
            "check_failed",
            f"The update is taken back, but the health check {bad[0]['name']!r} fails: {bad[0]['sentence']}",
            "The original code runs: look at the host's services and its kernel log.",
            checks=bad,
            reversed_by=back.MODULE,
        )


def status(step: Step) -> str:
    """What the host knows of the rollout; changes nothing."""
    record = step.records.read(step.name)
    state = sysfs.state(step.name)
    if record is not None:
        step.known.update(record=record, checks=record["results"], watched=watch.alive(record))
    if state in sysfs.LIVE:
        return step.live(state)
    if record is None or not step.is_ours(record):
        return PENDING
    if record["step"] == records.FAILED:
        raise back.recorded(record)
    if record["step"] == records.REVERSED:
        return REVERSED
    if record["step"] == records.APPLYING and record["boot_id"] == facts.boot_id():
        return PENDING
    raise Stopped(FAILED, back.gone(record))
