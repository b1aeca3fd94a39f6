# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can become of a host in a rollout.

The one table of host states: the module on the target answers with one of them, the gate counts them, progress and
evidence keep them, reports show them.
"""

from __future__ import annotations

import dataclasses

PENDING = "pending"
APPLYING = "applying"
MATCHED = "matched"
APPLIED = "applied"
CONFIRMED = "confirmed"
REVERSED = "reversed"
NOT_THERE = "not there"
FAILED = "failed"
LOST = "lost"
UNCOVERED = "uncovered"
NOT_NEEDED = "not needed"
REBOOT_NEEDED = "reboot needed"

# What the helper module says of an update (``kernel_state``) where the original code runs.
ORIGINAL_RUNS = ("reversed", "absent")
AGAIN = "Then start the same command again, with -e rebootless_continue=true if going back was stopped."


@dataclasses.dataclass(frozen=True)
class State:
    """One state of a host, and what follows from it."""

    meaning: str
    shown: str  # the word of reports, one of SHOWN
    next_step: str
    back: str = ""  # the next step where the update was to be taken back
    bad: bool = False  # counts against the failure budget
    settled: bool = False  # a rollout that goes on leaves the host alone
    may_be_live: bool = False  # the replacement code runs, or that is not known: going back must visit the host


STATES: dict[str, State] = {
    PENDING: State("The rollout has not come to the host yet.", PENDING, "Start the rollout again; it goes on."),
    APPLYING: State(
        "The rollout began with the host and has no word from it.",
        FAILED,
        "Start the rollout again; it asks the host what became of it.",
        bad=True,
        may_be_live=True,
    ),
    MATCHED: State("The running code is what the update was made for; nothing was changed.", PENDING, "Roll out."),
    APPLIED: State(
        "The update is live, and reverses itself unless it is confirmed in time.",
        APPLIED,
        "Wait for the end of the soak, or start the rollout again; it goes on.",
        may_be_live=True,
    ),
    CONFIRMED: State("The update is live and stays.", CONFIRMED, "", settled=True, may_be_live=True),
    REVERSED: State(
        "The update was taken out again; the original code runs.",
        PENDING,
        "Find out why the rollout went back; then make a new plan.",
        settled=True,
    ),
    NOT_THERE: State(
        "The host has nothing of the update that was to be taken out.",
        PENDING,
        "Nothing to do on the host.",
        settled=True,
    ),
    FAILED: State(
        "Something went wrong on the host.",
        FAILED,
        "See the host's code and sentence; then try it again with rebootless_retry.",
        f"See the host's code and sentence. {AGAIN}",
        bad=True,
        settled=True,
        may_be_live=True,
    ),
    LOST: State(
        "The host does not answer.",
        FAILED,
        "Look at its console; the update reverses itself at its deadline. Then try it again with rebootless_retry.",
        f"Look at its console; an update that is confirmed stays until you take it back. {AGAIN}",
        bad=True,
        settled=True,
        may_be_live=True,
    ),
    UNCOVERED: State(
        "There is no build of the update for the host's kernel.", UNCOVERED, "Build the update for it.", settled=True
    ),
    NOT_NEEDED: State("The host's kernel has the fix.", NOT_NEEDED, "", settled=True),
    REBOOT_NEEDED: State(
        "The host can get the fix by a reboot only.", REBOOT_NEEDED, "Reboot it into a fixed kernel.", settled=True
    ),
}

# What reports show, in the order in which they show it.
SHOWN = (CONFIRMED, APPLIED, PENDING, FAILED, UNCOVERED, NOT_NEEDED, REBOOT_NEEDED)


def is_bad(state: str) -> bool:
    """Whether a host in this state counts against the failure budget; one that is none of ``STATES`` does."""
    known = STATES.get(state)
    return known is None or known.bad


def is_settled(state: str) -> bool:
    """Whether a rollout that is started again leaves a host in this state alone."""
    known = STATES.get(state)
    return known is not None and known.settled


def may_be_live(state: str) -> bool:
    """Whether replacement code may run on a host in this state, so that going back has to visit it."""
    known = STATES.get(state)
    return known is None or known.may_be_live


def next_step(state: str, going_back: bool) -> str:
    """What to do about a host in this state, after a step that was to bring the update or to take it back."""
    known = STATES[state]
    return (going_back and known.back) or known.next_step


def shown(state: str) -> str:
    """The word that reports use for this state; ``failed`` for one that is none of ``STATES``."""
    known = STATES.get(state)
    return FAILED if known is None else known.shown
