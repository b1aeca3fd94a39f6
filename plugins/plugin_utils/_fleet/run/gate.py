# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a batch may go on: counts every host of it, also those that gave no answer."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.host_slice import (
    APPLY,
    CONFIRM,
    PREFLIGHT,
    REVERSE,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import HostRecord

# Which states a host may be in when a phase has ended.  Any other one, a good one of an earlier phase too, means that
# the host gave no answer in the phase.
SETTLED = {name for name, state in outcomes.STATES.items() if state.settled}
ANSWERS = {
    APPLY: SETTLED | {outcomes.APPLIED},
    CONFIRM: SETTLED,
    PREFLIGHT: SETTLED | {outcomes.MATCHED, outcomes.APPLIED},
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The state of a batch after a phase.

    ``states`` has how many hosts are in which state, ``silent`` the hosts that gave no answer, ``bad`` those that count
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
            f"{title}, after {self.phase}: {len(self.bad)} of {size} hosts bad, which is more than the "
            f"{self.budget} allowed ({found})"
        )


def judge(
    records: t.Mapping[str, HostRecord],
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
    for host, record in records.items():
        state = record.state
        if not (held and state == outcomes.PENDING) and not _answered(record, phase):
            if not (record.step == phase and record.attempt is None and record.code):
                record = no_answer(record, phase)
            state = outcomes.LOST
            silent.append(host)
        states[state] = states.get(state, 0) + 1
        is_bad = outcomes.is_bad(state) or (uncovered_is_bad and state == outcomes.UNCOVERED)
        if is_bad and host not in forgiven:
            bad.append({"host": host, "state": state, "code": record.code, "sentence": record.sentence})
    return Verdict(phase, budget, dict(sorted(states.items())), silent, bad)


def no_answer(record: HostRecord, phase: str) -> HostRecord:
    """The record with the reason of a host that is lost since it gave no answer in a phase."""
    return dataclasses.replace(
        record,
        code="no_word",
        sentence="The host was not heard of in this phase.",
        next_step=outcomes.next_step(outcomes.LOST, phase == REVERSE),
    )


def _answered(record: HostRecord, phase: str) -> bool:
    if phase == REVERSE:  # a host that failed before may stay failed, and still have answered
        return record.step == REVERSE and record.attempt is None
    return record.state in ANSWERS[phase]


def to_reverse(records: t.Mapping[str, HostRecord]) -> list[str]:
    """The hosts that going back has to visit: those on which replacement code may run."""
    return [
        host
        for host, record in records.items()
        if outcomes.may_be_live(record.state) and record.kernel_state not in outcomes.ORIGINAL_RUNS
    ]
