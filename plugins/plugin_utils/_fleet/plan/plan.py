# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a rollout: what will happen, in one file whose digest names it.

docs/fleet.md (*The plan*) has the format.  A plan is read as strictly as it is written: what a rollout relies on is
checked here, once, so that no host is touched on account of half a plan.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ansible_collections.rebootless.splice.plugins.module_utils._common import checks, value_checks
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical, fields
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.options import BUDGET, OPTIONS
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.windows import (
    FREEZES,
    OWN_FREEZES,
    WINDOWS,
    Freeze,
    Window,
    zone,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import (
    FileRecord,
    ListOf,
    One,
    Record,
    Row,
    TableOf,
    holds,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import parse_time

FORMAT = 1
KIND = "rollout"
LEFT_OUT = ("uncovered", "not needed", "reboot needed", "unreachable")

VERSIONS = fields.Value(
    lambda value: isinstance(value, dict) and all(map(value_checks.list_of(value_checks.text), value.values())),
    "a table of source packages with their versions",
)
STATE = fields.Value(value_checks.one_of(*LEFT_OUT), f"one of {', '.join(LEFT_OUT)}")
HOSTS = fields.Value(value_checks.list_of(value_checks.filled), "a list of hosts")
AN_ABSOLUTE_PATH = fields.Value(lambda value: value_checks.filled(value) and os.path.isabs(value), "an absolute path")
A_TIME_OR_NULL = fields.Value(value_checks.or_none(value_checks.filled), "a time or null")


def option(name: str, **more: t.Any) -> Row:
    """The metadata of a record's field that holds an option as it was given."""
    return holds(OPTIONS[name].value, **more)


@dataclass(frozen=True)
class PlannedUpdate(Record):
    """What is rolled out; ``fixed_in`` has source packages with the versions from which on the fix is in."""

    name: str = field(metadata=holds(fields.A_NAME))
    version: str = field(metadata=holds(fields.A_VERSION))
    cves: list[str] = field(metadata=holds(fields.A_LIST))
    fixed_in: dict[str, list[str]] = field(metadata=holds(VERSIONS))
    manifest_sha256: str = field(metadata=holds(fields.A_SHA256))


@dataclass(frozen=True)
class PlanHost(Record):
    """A host of the rollout: its kernel, and the package for it.

    ``windows`` without any means always; ``freezes`` are those that the host has besides the plan's;
    ``isolated_cpus`` are those that it keeps free of interruptions, and that a switch stops, too.
    """

    release: str = field(metadata=holds(fields.A_WORD))
    build_id: str = field(metadata=holds(fields.HEX_DIGITS))
    arch: str = field(metadata=holds(fields.A_WORD))
    batch: int = field(metadata=holds(fields.A_COUNT))
    ring: str = field(metadata=holds(fields.A_WORD))
    package: str = field(metadata=holds(fields.A_PACKAGE))
    sha256: str = field(metadata=holds(fields.A_SHA256))
    size: int = field(metadata=holds(fields.BYTES))
    windows: list[Window] = field(metadata=WINDOWS)
    timezone: str = field(metadata=option("timezone"))
    freezes: list[Freeze] = field(default_factory=list, metadata=OWN_FREEZES)
    isolated_cpus: str = field(default="", metadata=holds(fields.A_TEXT, omit=True))


@dataclass(frozen=True)
class LeftOut(Record):
    """A host that the rollout does not touch, and why."""

    state: str = field(metadata=holds(STATE))
    code: str = field(metadata=holds(fields.A_WORD))
    sentence: str = field(metadata=holds(fields.A_WORD))
    next_step: str = field(metadata=holds(fields.A_TEXT))
    release: str = field(metadata=holds(fields.A_TEXT))
    build_id: str = field(metadata=holds(fields.A_TEXT))


@dataclass(frozen=True)
class PlannedBatch(Record):
    """Hosts that are worked on together, in the order in which they are begun."""

    name: str = field(metadata=holds(fields.A_WORD))
    hosts: list[str] = field(metadata=holds(HOSTS))


@dataclass(frozen=True)
class Budget(Record):
    """How many hosts of a batch may fail: a number, or a share of its hosts in percent; the larger one holds."""

    hosts: int = field(metadata=holds(BUDGET["hosts"].value))
    percent: int = field(metadata=holds(BUDGET["percent"].value))

    def of(self, hosts: int) -> int:
        """How many of these hosts may fail, the share rounded down."""
        return max(self.hosts, hosts * self.percent // 100)


@dataclass(frozen=True)
class Policy(Record):
    """What follows where hosts have no package: they are reported, or the rollout does not begin."""

    uncovered: str = field(metadata=option("uncovered"))


@dataclass(frozen=True)
class Approvals(Record):
    """How many approvals the plan needs."""

    required: int = field(metadata=option("approvals"))


@dataclass(frozen=True)
class Plan(FileRecord):
    """A checked plan; the fields are those of the file.  All times are in seconds, ``concurrency`` 0 is no limit."""

    HEAD = {"format": FORMAT, "kind": KIND}

    update: PlannedUpdate = field(metadata=holds(One(PlannedUpdate)))
    created: str = field(metadata=holds(fields.A_WORD))
    created_by: str = field(metadata=holds(fields.A_WORD))
    expires: str | None = field(metadata=holds(A_TIME_OR_NULL))
    store: str = field(metadata=holds(AN_ABSOLUTE_PATH))
    store_url: str | None = field(metadata=option("store_url"))
    hosts: dict[str, PlanHost] = field(metadata=holds(TableOf(PlanHost, "host {}")))
    left_out: dict[str, LeftOut] = field(metadata=holds(TableOf(LeftOut, "host {} (left out)")))
    batches: list[PlannedBatch] = field(metadata=holds(ListOf(PlannedBatch, "batch {}")))
    checks: list[Row] = field(metadata=option("checks"))
    check_times: list[int] = field(metadata=option("check_times"))
    deadline: int = field(metadata=option("deadline"))
    task_timeout: int = field(metadata=option("task_timeout"))
    failure_budget: Budget = field(metadata=holds(One(Budget)))
    revert_scope: str = field(metadata=option("revert_scope"))
    concurrency: int = field(metadata=option("concurrency"))
    persist: bool = field(metadata=option("persist"))
    windows: list[Window] = field(metadata=WINDOWS)
    freezes: list[Freeze] = field(metadata=FREEZES)
    policy: Policy = field(metadata=holds(One(Policy)))
    tries: int = field(metadata=option("tries"))
    metrics_directory: str | None = field(metadata=option("metrics_directory"))
    approvals: Approvals = field(metadata=holds(One(Approvals)))
    # What earlier releases did not know is not written as long as it is as they did it: their plans stay the same.
    blockers: str = field(default="wait", metadata=option("blockers", omit=True))
    isolated_cpus: str = field(default="refuse", metadata=option("isolated_cpus", omit=True))

    @property
    def content(self) -> bytes:
        """The bytes of the plan's file, which carries the plan's digest."""
        return canonical.sealed(self.to_json())

    def budget(self, batch: int) -> int:
        """How many hosts of a batch may fail."""
        return self.failure_budget.of(len(self.batches[batch].hosts))

    def check(self, where: str, code: str) -> None:
        """Raises ``RebootlessError``: also the codes of health checks, and ``timezone_unknown``."""
        _check_batches(self, where, code)
        _check_times(self, where, code)
        for windows in (self.windows, *(host.windows for host in self.hosts.values())):
            for window in windows:
                zone(window.timezone)


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """The plan in a file.

    Raises ``RebootlessError``: ``plan_missing``, ``plan_damaged`` (not the bytes that were written), ``bad_plan``, and
    the codes of the windows and checks in it.
    """
    data = canonical.read(path, "plan", seal=True)
    return parse_plan(data, f"The plan {os.fspath(path)}")


def parse_plan(data: t.Any, where: str = "The plan") -> Plan:
    """The plan that a table holds; errors as for :func:`read_plan`, ``where`` begins their sentences."""
    return Plan.from_json(data, where, "bad_plan")


def _check_batches(plan: Plan, where: str, code: str) -> None:
    """Every host is in exactly one batch, the one that it names, and no batch is empty."""
    seen: set[str] = set()
    for number, batch in enumerate(plan.batches):
        if not batch.hosts:
            raise fields.wrong(code, f"{where}, batch {number},", "has no hosts")
        for host in batch.hosts:
            if host not in plan.hosts or host in seen:
                raise fields.wrong(code, f"{where}, batch {number},", f"names {host}, which is unknown or named twice")
            if plan.hosts[host].batch != number:
                raise fields.wrong(code, f"{where}, host {host},", f"names another batch than {number}, which holds it")
            seen.add(host)
    for host in sorted(set(plan.hosts) - seen):
        raise fields.wrong(code, f"{where}, host {host},", "is in no batch")
    for host in sorted(set(plan.hosts) & set(plan.left_out)):
        raise fields.wrong(code, f"{where}, host {host},", "is left out, and is not")


def _check_times(plan: Plan, where: str, code: str) -> None:
    times = plan.check_times
    checks.normalise(plan.checks)
    if checks.normalise_times(times, plan.deadline, plan.checks) != times:
        raise fields.wrong(code, where, f"has check_times {times}, which do not begin at 0 and grow")
    for name, value in (("created", plan.created), ("expires", plan.expires)):
        if value is not None:
            parse_time(value, f"{where}, {name},", code)
