# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a run as its files hold them: the run itself, how far it came, and one for each host."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes, value_checks
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import fields
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import (
    HOSTS,
    Budget,
    LeftOut,
    PlannedBatch,
    option,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.windows import FREEZES, Freeze
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import (
    FileRecord,
    ListOf,
    One,
    Record,
    Row,
    TableOf,
    holds,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.host_slice import AnySlice, Slice

FORMAT = 1
RUNNING, WAITING, STOPPED, FINISHED = "running", "waiting", "stopped", "finished"
ROLLOUT, REVERT = "rollout", "revert"  # goals of a run

GOAL = holds(fields.Value(value_checks.one_of(ROLLOUT, REVERT), "rollout or revert"))
STATUS = holds(fields.Value(value_checks.one_of(RUNNING, WAITING, STOPPED, FINISHED), "a status of a run"))
TEXT = holds(fields.A_TEXT)
FILLED = holds(fields.A_WORD)
COUNT = holds(fields.A_COUNT)
FLAG = holds(fields.A_FLAG)
DIGEST = holds(fields.A_SHA256)
NAMES = holds(HOSTS)
TEXTS = holds(fields.A_LIST)
MAYBE_TEXT = holds(fields.Value(value_checks.or_none(value_checks.text), "a string or null"))
MAYBE_COUNT = holds(fields.Value(value_checks.or_none(value_checks.whole(0)), "a whole number from 0, or null"))
MAYBE_TIME = holds(fields.NUMBER_OR_NULL)
COUNTS = holds(fields.Value(value_checks.list_of(value_checks.whole(0)), "a list of whole numbers"))
OPENINGS = holds(
    fields.Value(
        lambda value: isinstance(value, dict) and all(map(value_checks.or_none(value_checks.text), value.values())),
        "a table of hosts with the times at which they may be worked on",
    )
)


# ---- the run


@dataclass(frozen=True)
class UpdateName(Record):
    """Which update a run is about; ``version`` is empty where any version is taken back."""

    name: str = field(metadata=FILLED)
    version: str = field(metadata=TEXT)


@dataclass(frozen=True)
class RunBatch(PlannedBatch):
    """A batch, and how many of its hosts may fail."""

    budget: int = field(metadata=COUNT)


@dataclass(frozen=True)
class Run(Record):
    """What the gates need of a plan: ``run.json``, written once.  ``deadline`` is 0 in a run that applies nothing.

    ``plan`` is the digest of ``plan.json``; ``by`` is who started the run; ``seconds_needed`` is what a batch may take
    of which all hosts are worked on at once: applying, soaking, confirming.
    """

    HEAD = {"format": FORMAT}

    goal: str = field(metadata=GOAL)
    plan: str = field(metadata=DIGEST)
    update: UpdateName = field(metadata=holds(One(UpdateName)))
    by: str = field(metadata=TEXT)
    batches: list[RunBatch] = field(metadata=holds(ListOf(RunBatch, "batch {}")))
    task_timeout: int = field(metadata=option("task_timeout"))
    concurrency: int = field(metadata=option("concurrency"))
    seconds_needed: int = field(metadata=COUNT)
    check_times: list[int] = field(default_factory=lambda: [0], metadata=option("check_times"))
    deadline: int = field(default=0, metadata=COUNT)
    revert_scope: str | None = field(default=None, metadata=MAYBE_TEXT)
    freezes: list[Freeze] = field(default_factory=list, metadata=FREEZES)
    uncovered_is_bad: bool = field(default=False, metadata=FLAG)
    left_out: dict[str, LeftOut] = field(default_factory=dict, metadata=holds(TableOf(LeftOut, "host {} (left out)")))
    task_files: list[str] = field(default_factory=list, metadata=TEXTS)

    @property
    def hosts(self) -> list[str]:
        """All hosts, in the order of their batches."""
        return [host for batch in self.batches for host in batch.hosts]


@dataclass(frozen=True)
class RevertPlan(FileRecord):
    """The ``plan.json`` of a run that takes an update back from hosts that the operator named."""

    HEAD = {"format": FORMAT, "kind": REVERT}

    update: UpdateName = field(metadata=holds(One(UpdateName)))
    batches: list[PlannedBatch] = field(metadata=holds(ListOf(PlannedBatch, "batch {}")))
    checks: list[Row] = field(metadata=option("checks"))
    task_timeout: int = field(metadata=option("task_timeout"))
    concurrency: int = field(metadata=option("concurrency"))
    failure_budget: Budget = field(metadata=holds(One(Budget)))
    remove: bool = field(metadata=FLAG)

    @property
    def hosts(self) -> list[str]:
        return [host for batch in self.batches for host in batch.hosts]


# ---- what became of a host


@dataclass(frozen=True)
class HostRecord(Record):
    """One host of a run; each step writes all of it anew.

    ``kernel_state`` is what the helper module says, ``None`` if that is not known; ``attempt`` names the process whose
    answer is awaited, and ``before`` the state before it began; ``applied_at`` is when apply returned, by the
    controller's clock.  ``slice`` is ``None`` only of a host whose file is damaged.
    """

    host: str = field(metadata=FILLED)
    slice: Slice | None = field(metadata=holds(AnySlice()))
    batch: int | None = field(default=None, metadata=MAYBE_COUNT)
    goal: str = field(default=ROLLOUT, metadata=GOAL)
    by: str = field(default="", metadata=TEXT)
    plan: str = field(default="", metadata=TEXT)
    state: str = field(default=outcomes.PENDING, metadata=FILLED)
    step: str | None = field(default=None, metadata=MAYBE_TEXT)
    code: str = field(default="", metadata=TEXT)
    sentence: str = field(default="", metadata=TEXT)
    next_step: str = field(default="", metadata=TEXT)
    kernel_state: str | None = field(default=None, metadata=MAYBE_TEXT)
    boot_id: str | None = field(default=None, metadata=MAYBE_TEXT)
    attempt: str | None = field(default=None, metadata=MAYBE_TEXT)
    before: str | None = field(default=None, metadata={**MAYBE_TEXT, "omit": True})
    applied_at: float | None = field(default=None, metadata=MAYBE_TIME)
    updated: float | None = field(default=None, metadata=MAYBE_TIME)


def new_host(host: str, batch: int | None, planned: Slice, run: Run) -> HostRecord:
    """The record of a host that ``run`` has not come to."""
    return HostRecord(host, planned, batch, goal=run.goal, by=run.by, plan=run.plan)


# ---- how far the run came


@dataclass(frozen=True)
class Stop(Record):
    """Why a run was stopped: in which batch, after which phase, by which ``bad`` hosts; ``scope`` goes back."""

    batch: int = field(metadata=COUNT)
    phase: str = field(metadata=FILLED)
    code: str = field(metadata=FILLED)
    sentence: str = field(metadata=TEXT)
    bad: list[str] = field(metadata=NAMES)
    scope: str | None = field(metadata=MAYBE_TEXT)


@dataclass(frozen=True)
class Waiting(Record):
    """Why a run waits: ``hosts`` with the times at which each may be worked on, and ``opens``, when all may be."""

    code: str = field(metadata=FILLED)
    sentence: str = field(metadata=TEXT)
    batch: int = field(metadata=COUNT)
    hosts: dict[str, str | None] = field(metadata=OPENINGS)
    opens: str = field(metadata=TEXT)


@dataclass(frozen=True)
class Outcome(Record):
    """How a run came out, as operators were told."""

    outcome: str = field(metadata=FILLED)
    finished: bool = field(metadata=FLAG)
    code: str = field(metadata=TEXT)
    sentence: str = field(metadata=TEXT)
    next_step: str = field(metadata=TEXT)


@dataclass(frozen=True)
class Status(Record):
    """How far a run came: ``status.json``.

    ``reverting`` are the hosts that go back, in their order; ``forgiven`` those that failed before the operator said to
    go on; ``judged`` the numbers of the batches that came to their last gate.
    """

    status: str = field(default=RUNNING, metadata=STATUS)
    goal: str = field(default=ROLLOUT, metadata=GOAL)
    stop: Stop | None = field(default=None, metadata=holds(One(Stop, nullable=True)))
    waiting: Waiting | None = field(default=None, metadata=holds(One(Waiting, nullable=True)))
    reverting: list[str] = field(default_factory=list, metadata=NAMES)
    forgiven: list[str] = field(default_factory=list, metadata=NAMES)
    judged: list[int] = field(default_factory=list, metadata=COUNTS)
    outcome: Outcome | None = field(default=None, metadata=holds(One(Outcome, nullable=True), omit=True))
    updated: float | None = field(default=None, metadata=MAYBE_TIME)
