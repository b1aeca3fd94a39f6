# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a run as its files hold them: the run itself, how far it came, and one for each host."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical, fields
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import (
    HOSTS,
    Batch,
    Budget,
    LeftOut,
    option,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import (
    ListOf,
    One,
    Record,
    Row,
    TableOf,
    holds,
)

FORMAT = 1
RUNNING, WAITING, STOPPED, FINISHED = "running", "waiting", "stopped", "finished"
ROLLOUT, REVERT = "rollout", "revert"  # goals of a run
APPLY, CONFIRM, REVERSE, PREFLIGHT = "apply", "confirm", "reverse", "preflight"  # steps on a host

GOAL = holds(fields.Value(fields.one_of(ROLLOUT, REVERT), "rollout or revert"))
STATUS = holds(fields.Value(fields.one_of(RUNNING, WAITING, STOPPED, FINISHED), "a status of a run"))
TEXT = holds(fields.A_TEXT)
FILLED = holds(fields.A_WORD)
COUNT = holds(fields.A_COUNT)
FLAG = holds(fields.A_FLAG)
DIGEST = holds(fields.A_SHA256)
NAMES = holds(HOSTS)
TEXTS = holds(fields.A_LIST)
MAYBE_TEXT = holds(fields.Value(fields.or_none(fields.text), "a string or null"))
MAYBE_COUNT = holds(fields.Value(fields.or_none(fields.whole(0)), "a whole number from 0, or null"))
MAYBE_TIME = holds(fields.NUMBER_OR_NULL)
COUNTS = holds(fields.Value(fields.list_of(fields.whole(0)), "a list of whole numbers"))
MAYBE_URL = option("store_url")
OPENINGS = holds(
    fields.Value(
        lambda value: isinstance(value, dict) and all(map(fields.or_none(fields.text), value.values())),
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
class RunBatch(Batch):
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
    freezes: list[Row] = field(default_factory=list, metadata=option("freezes"))
    uncovered_is_bad: bool = field(default=False, metadata=FLAG)
    left_out: dict[str, LeftOut] = field(default_factory=dict, metadata=holds(TableOf(LeftOut, "host {} (left out)")))
    task_files: list[str] = field(default_factory=list, metadata=TEXTS)

    @property
    def hosts(self) -> list[str]:
        """All hosts, in the order of their batches."""
        return [host for batch in self.batches for host in batch.hosts]


@dataclass(frozen=True)
class RevertPlan(Record):
    """The ``plan.json`` of a run that takes an update back from hosts that the operator named."""

    HEAD = {"format": FORMAT, "kind": REVERT}

    update: UpdateName = field(metadata=holds(One(UpdateName)))
    batches: list[Batch] = field(metadata=holds(ListOf(Batch, "batch {}")))
    checks: list[Row] = field(metadata=option("checks"))
    task_timeout: int = field(metadata=option("task_timeout"))
    concurrency: int = field(metadata=option("concurrency"))
    failure_budget: Budget = field(metadata=holds(One(Budget)))
    remove: bool = field(metadata=FLAG)

    @property
    def content(self) -> bytes:
        """The bytes of the plan's file."""
        return canonical.canonical(self.to_json())

    @property
    def hosts(self) -> list[str]:
        return [host for batch in self.batches for host in batch.hosts]


# ---- what a host gets


def for_module(metadata: Row, *steps: str) -> Row:
    """The metadata of a slice's field that the module rollout_host gets in ``steps``; as ``None`` it is left out."""
    return {**metadata, "steps": steps}


EVERY_STEP = (PREFLIGHT, APPLY, CONFIRM, REVERSE)
FORWARD = (PREFLIGHT, APPLY, CONFIRM)
TRYING = (PREFLIGHT, APPLY, REVERSE)


@dataclass(frozen=True)
class Slice(Record):
    """What one host gets of a plan."""

    name: str = field(metadata=for_module(FILLED, *EVERY_STEP))
    version: str = field(metadata=for_module(TEXT, *EVERY_STEP))
    task_timeout: int = field(metadata=option("task_timeout"))

    def options(self, step: str) -> Row:
        """What the module rollout_host gets in ``step``, without the package."""
        return {
            name: getattr(self, name)
            for name, own in self.__dataclass_fields__.items()
            if step in own.metadata.get("steps", ()) and getattr(self, name) is not None
        }


@dataclass(frozen=True)
class PlanSlice(Slice):
    """Of a plan: ``digest`` and ``size`` are those of the file ``package``, which the host fetches if ``url`` is set.

    ``retry`` marks a host that the operator asked to try again.
    """

    plan: str = field(metadata=for_module(DIGEST, *EVERY_STEP))
    build_id: str = field(metadata=for_module(holds(fields.HEX_DIGITS), *EVERY_STEP))
    digest: str = field(metadata=for_module(DIGEST, *EVERY_STEP))
    size: int = field(metadata=for_module(holds(fields.BYTES), PREFLIGHT, APPLY))
    package: str = field(metadata=FILLED)
    url: str | None = field(metadata=MAYBE_URL)
    checks: list[Row] = field(metadata=for_module(option("checks"), *EVERY_STEP))
    check_times: list[int] = field(metadata=for_module(option("check_times"), *FORWARD))
    deadline: int = field(metadata=for_module(option("deadline"), APPLY, CONFIRM))
    persist: bool = field(metadata=for_module(option("persist"), APPLY, CONFIRM))
    fixed_in: list[str] = field(metadata=for_module(TEXTS, *FORWARD))
    tries: int = field(metadata=for_module(option("tries"), *TRYING))
    metrics_directory: str | None = field(metadata=for_module(option("metrics_directory"), *EVERY_STEP))
    windows: list[Row] = field(metadata=option("windows"))
    freezes: list[Row] = field(metadata=option("freezes"))
    retry: bool = field(default=False, metadata={**FLAG, "omit": True})


@dataclass(frozen=True)
class RevertSlice(Slice):
    """Of a host from which an update is taken back by name; ``remove``: its package and records go, too."""

    checks: list[Row] = field(metadata=for_module(option("checks"), *EVERY_STEP))
    remove: bool = field(metadata=for_module(FLAG, REVERSE))


@dataclass(frozen=True)
class SurveySlice(Slice):
    """Of a host that is asked without a plan; ``manifest`` is the update's, in the directory ``place``."""

    manifest: str = field(metadata=FILLED)
    place: str = field(metadata=FILLED)
    fixed_in: list[str] = field(metadata=for_module(TEXTS, *FORWARD))


@dataclass(frozen=True)
class PlacedSlice(SurveySlice):
    """The same once the host has said which kernel it runs."""

    build_id: str = field(metadata=for_module(holds(fields.HEX_DIGITS), *EVERY_STEP))
    digest: str = field(metadata=for_module(DIGEST, *EVERY_STEP))
    size: int = field(metadata=for_module(holds(fields.BYTES), PREFLIGHT, APPLY))
    package: str = field(metadata=FILLED)
    url: str | None = field(default=None, metadata=MAYBE_URL)


class AnySlice(t.NamedTuple):
    """The kind of a field with a slice of any kind, which its fields tell."""

    def read(self, value: t.Any, name: str, where: str, code: str) -> Slice:
        row = fields.A_TABLE.read(value, name, where, code)
        kind: type[Slice] = SurveySlice if "manifest" in row else RevertSlice if "remove" in row else PlanSlice
        return kind.from_json(row, f"{where}, {name},", code)

    def write(self, value: Slice) -> Row:
        return value.to_json()


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


def new_host(host: str, batch: int | None, piece: Slice, run: Run) -> HostRecord:
    """The record of a host that ``run`` has not come to."""
    return HostRecord(host, piece, batch, goal=run.goal, by=run.by, plan=run.plan)


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
