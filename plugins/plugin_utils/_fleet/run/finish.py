# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends a run: how it came out, what operators are told, what the locks become.  Private to rebootless.splice."""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import display as lines
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence, lock
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import files as progress
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import (
    FINISHED,
    REVERT,
    RUNNING,
    STOPPED,
    WAITING,
    RunFiles,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.gate import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.selection import to_roll_out, to_take_back

GOES_ON = "Start the same command again; it goes on where it was."


def finish(files: RunFiles, directory: str, holder: lock.Holder, say: t.Callable[[str], None], check: bool) -> Row:
    """Tells how the run came out; ``finished`` is false where something is left to do.  Locks are given back."""
    run, status = files.run(), files.status()
    words = files.words([host for batch in run["batches"] for host in batch["hosts"]])
    if not check and status["status"] == RUNNING and not to_roll_out(files) and not to_take_back(files):
        status["status"] = FINISHED
        files.write_status(status)
    outcome, code, sentence, next_step = _outcome(run, status, words, check)
    update = run["update"]
    plan = run["plan"][: progress.NAME_LENGTH]
    say(f"{update['name']} {update['version']}, plan {plan}: {outcome}. {sentence}".strip())
    for text in lines.table(run["batches"], words, run["left_out"]):
        say(f"  {text}")
    if next_step:
        say(f"next: {next_step}")
    bad = [host for host, word in words.items() if outcomes.is_bad(word["state"])]
    states = [word["state"] for word in words.values()]
    result = {
        "finished": outcome in ("done", "reverted", "checked"),
        "outcome": outcome,
        "code": code,
        "sentence": sentence,
        "next_step": next_step,
        "states": {state: states.count(state) for state in sorted(set(states))},
        "bad": bad,
        "run": files.path,
        "goal": status["goal"],
    }
    files.write_status({**status, "outcome": {name: result[name] for name in ("outcome", "finished", *lines.REASON)}})
    if not check:
        _log(files, run, result)
        lock.release(files.lock, holder)
        lock.release(progress.lock_of(directory, update["name"]), holder)
    return result


def _outcome(run: Row, status: Row, words: t.Mapping[str, Row], check: bool) -> tuple[str, str, str, str]:
    """How it came out in a word, and code, sentence and next step where it is not over."""
    bad = any(outcomes.is_bad(word["state"]) for word in words.values())
    look = "Look at the hosts that failed, above; the playbook report shows all of it." if bad else ""
    if check:
        return "checked", "", "Nothing was changed.", "" if bad else "Roll out."
    if status["status"] == WAITING:
        waiting = status["waiting"]
        inside = " Inside the windows, that is." if waiting["code"] == "outside_window" else ""
        return "waiting", waiting["code"], waiting["sentence"], GOES_ON + inside
    if status["status"] == STOPPED:
        stop = status["stop"]
        gone = [host for host in status["reverting"] if words[host]["state"] == outcomes.REVERSED]
        back = f" {len(gone)} healthy hosts went back." if gone else ""
        step = "Find the cause; then make a new plan, or go on with -e rebootless_continue=true."
        if status["goal"] == REVERT:
            step = "Find the cause; then go on with the same command and -e rebootless_continue=true."
        return "stopped", stop["code"], f"{stop['sentence']}.{back}", step
    if status["status"] == FINISHED:
        return ("reverted" if status["goal"] == REVERT else "done"), "", "", look
    return "interrupted", "interrupted", "Not every host has come to its end.", GOES_ON


def _log(files: RunFiles, run: Row, result: Row) -> None:
    row = {
        "event": "rollout_finished",
        "plan": run["plan"],
        "update": run["update"],
        "by": run["by"],
        "batch": None,
        "host": None,
        "step": None,
        "state": result["outcome"],
        "details": {"states": result["states"], "bad": result["bad"], "goal": result["goal"]},
        **{name: result[name] for name in ("code", "sentence", "next_step")},
    }
    evidence.append(files.evidence, [row], sync=True)
