# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a batch may go on: counts every host of it, also those without a word.  Private to rebootless.splice."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes

Row = t.Dict[str, t.Any]

APPLY, CONFIRM, REVERSE, PREFLIGHT = "apply", "confirm", "reverse", "preflight"

# Which states a host may be in when a phase has ended.  Any other one, a good one of an earlier phase too, means that
# the phase has no word from the host.
SETTLED = {name for name, state in outcomes.STATES.items() if state.settled}
ANSWERS = {
    APPLY: SETTLED | {outcomes.APPLIED},
    CONFIRM: SETTLED,
    PREFLIGHT: SETTLED | {outcomes.MATCHED, outcomes.APPLIED},
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The state of a batch after a phase.

    ``states`` has how many hosts are in which state, ``silent`` the hosts without a word, ``bad`` those that count
    against ``budget`` with code and sentence.
    """

    phase: str
    budget: int
    states: dict[str, int]
    silent: list[str]
    bad: list[Row]

    @property
    def stop(self) -> bool:
        return len(self.bad) > self.budget

    def sentence(self, title: str) -> str:
        """What the gate says to the operator of the batch that is called ``title``."""
        size = sum(self.states.values())
        found = ", ".join(f"{number} {state}" for state, number in self.states.items())
        if not self.stop:
            return f"{title}, after {self.phase}: {found}; {len(self.bad)} bad of {self.budget} allowed: go on"
        return (
            f"{title}, after {self.phase}: {len(self.bad)} of {size} hosts are bad, which is more than the "
            f"{self.budget} allowed ({found})"
        )


def judge(
    words: t.Mapping[str, Row],
    phase: str,
    budget: int,
    forgiven: t.Collection[str] = (),
    held: bool = False,
    uncovered_is_bad: bool = False,
) -> Verdict:
    """Counts the hosts of a batch by their files.

    ``forgiven`` hosts failed before an operator said to continue, and count no more; ``held``: hosts that have not
    begun were told not to.
    """
    states: dict[str, int] = {}
    silent, bad = [], []
    for host, word in words.items():
        state = word["state"]
        if not (held and state == outcomes.PENDING) and not _answered(word, phase):
            own = {} if word["step"] == phase and word["attempt"] is None and word["code"] else no_word(phase)
            state, word = outcomes.LOST, {**word, **own}
            silent.append(host)
        states[state] = states.get(state, 0) + 1
        is_bad = outcomes.is_bad(state) or (uncovered_is_bad and state == outcomes.UNCOVERED)
        if is_bad and host not in forgiven:
            bad.append({"host": host, "state": state, "code": word["code"], "sentence": word["sentence"]})
    return Verdict(phase, budget, dict(sorted(states.items())), silent, bad)


def no_word(phase: str) -> Row:
    """The reason of a host that is lost since nobody heard of it in a phase."""
    return {
        "code": "no_word",
        "sentence": "The host was not heard of in this phase.",
        "next_step": outcomes.next_step(outcomes.LOST, phase == REVERSE),
    }


def _answered(word: Row, phase: str) -> bool:
    if phase == REVERSE:  # a host that failed before may stay failed, and still have answered
        return word["step"] == REVERSE and word["attempt"] is None
    return word["state"] in ANSWERS[phase]


def to_reverse(words: t.Mapping[str, Row]) -> list[str]:
    """The hosts that going back has to visit: those on which replacement code may run."""
    gone = ("reversed", "absent")
    return [
        host for host, word in words.items() if outcomes.may_be_live(word["state"]) and word["kernel_state"] not in gone
    ]
