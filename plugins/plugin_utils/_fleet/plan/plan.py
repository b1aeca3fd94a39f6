# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a rollout: what will happen, in one file whose digest names it.  Private to rebootless.splice.

docs/fleet.md (*The plan*) has the format.  A plan is read as strictly as it is written: whatever a rollout relies on is
checked here, once, so that no host is touched on account of half a plan.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import checks
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical, fields
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.windows import (
    Freeze,
    parse_freeze,
    parse_window,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import parse_time

FORMAT = 1
KIND = "rollout"
LEFT_OUT = ("uncovered", "not needed", "reboot needed", "unreachable")
REVERT_SCOPES = ("host", "batch", "rollout")

UPDATE = fields.Fields(
    {
        "name": fields.A_NAME,
        "version": fields.A_VERSION,
        "cves": fields.A_LIST,
        "fixed_in": (
            lambda value: isinstance(value, dict) and all(map(fields.list_of(fields.text), value.values())),
            "a table of source packages with their versions",
        ),
        "manifest_sha256": fields.A_SHA256,
    }
)
HOST = fields.Fields(
    {
        "release": fields.A_WORD,
        "build_id": (fields.matches(fields.HEX), "hex digits"),
        "arch": fields.A_WORD,
        "batch": fields.A_COUNT,
        "ring": fields.A_WORD,
        "package": fields.A_PACKAGE,
        "sha256": fields.A_SHA256,
        "size": (fields.whole(1), "a number of bytes"),
        "windows": (fields.list_of(fields.table), "a list of windows"),
        "timezone": fields.A_WORD,
        "freezes": (lambda value: fields.list_of(fields.table)(value) and value != [], "a list of freezes"),
    },
    optional=("freezes",),
)
LEFT_OUT_HOST = fields.Fields(
    {
        "state": (fields.one_of(*LEFT_OUT), f"one of {', '.join(LEFT_OUT)}"),
        "code": fields.A_WORD,
        "sentence": fields.A_WORD,
        "next_step": fields.A_TEXT,
        "release": fields.A_TEXT,
        "build_id": fields.A_TEXT,
    }
)
BATCH = fields.Fields({"name": fields.A_WORD, "hosts": (fields.list_of(fields.filled), "a list of hosts")})
BUDGET = fields.Fields({"hosts": fields.A_COUNT, "percent": (fields.whole(0, 100), "a whole number from 0 to 100")})
POLICY = fields.Fields({"uncovered": (fields.one_of("report", "stop"), "report or stop")})
APPROVALS = fields.Fields({"required": fields.A_COUNT})
TABLE = (fields.table, "a table")
ROWS = (fields.list_of(fields.table), "a list of tables")
PLAN = fields.Fields(
    {
        "format": (fields.one_of(FORMAT), f"{FORMAT}"),
        "kind": (fields.one_of(KIND), KIND),
        "update": TABLE,
        "created": fields.A_WORD,
        "created_by": fields.A_WORD,
        "expires": (fields.or_none(fields.filled), "a time or null"),
        "store": (lambda value: fields.filled(value) and os.path.isabs(value), "an absolute path"),
        "store_url": (
            fields.or_none(lambda value: fields.filled(value) and value.startswith(("http://", "https://", "file://"))),
            "a URL or null",
        ),
        "hosts": TABLE,
        "left_out": TABLE,
        "batches": ROWS,
        "checks": ROWS,
        "check_times": (fields.list_of(fields.whole(0)), "a list of seconds"),
        "deadline": (fields.whole(1), "a number of seconds"),
        "task_timeout": (fields.whole(1), "a number of seconds"),
        "failure_budget": TABLE,
        "revert_scope": (fields.one_of(*REVERT_SCOPES), f"one of {', '.join(REVERT_SCOPES)}"),
        "concurrency": fields.A_COUNT,
        "persist": fields.A_FLAG,
        "windows": ROWS,
        "freezes": ROWS,
        "policy": TABLE,
        "tries": (fields.whole(1, 1000), "a whole number from 1 to 1000"),
        "metrics_directory": (fields.or_none(fields.filled), "a path or null"),
        "approvals": TABLE,
    }
)
PARTS = (("update", UPDATE), ("failure_budget", BUDGET), ("policy", POLICY), ("approvals", APPROVALS))

Row = t.Dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Update:
    """What is rolled out; ``fixed_in`` has source packages with the versions from which on the fix is in."""

    name: str
    version: str
    cves: list[str]
    fixed_in: dict[str, list[str]]
    manifest_sha256: str


@dataclasses.dataclass(frozen=True)
class PlanHost:
    """A host of the rollout: its kernel, and the package for it.

    ``windows`` without any means always; ``freezes`` are those that the host has besides the plan's.
    """

    release: str
    build_id: str
    arch: str
    batch: int
    ring: str
    package: str
    sha256: str
    size: int
    windows: list[Row]
    timezone: str
    freezes: list[Row] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A host that the rollout does not touch, and why."""

    state: str
    code: str
    sentence: str
    next_step: str
    release: str
    build_id: str


@dataclasses.dataclass(frozen=True)
class Batch:
    name: str
    hosts: list[str]


@dataclasses.dataclass(frozen=True)
class Plan:
    """A checked plan; the fields are those of the file.  All times are in seconds, ``concurrency`` 0 is no limit."""

    update: Update
    created: str
    created_by: str
    expires: str | None
    store: str
    store_url: str | None
    hosts: dict[str, PlanHost]
    left_out: dict[str, LeftOut]
    batches: list[Batch]
    checks: list[Row]
    check_times: list[int]
    deadline: int
    task_timeout: int
    failure_budget: dict[str, int]
    revert_scope: str
    concurrency: int
    persist: bool
    windows: list[Row]
    freezes: list[Row]
    policy: dict[str, str]
    tries: int
    metrics_directory: str | None
    approvals: dict[str, int]

    @property
    def content(self) -> bytes:
        """The bytes of the plan's file."""
        data = {"format": FORMAT, "kind": KIND, **dataclasses.asdict(self)}
        for row in data["hosts"].values():
            if not row["freezes"]:
                del row["freezes"]
        return canonical.canonical(data)

    @functools.cached_property
    def digest(self) -> str:
        """Names the plan: SHA-256 of its file's bytes."""
        return canonical.sha256(self.content)

    def budget(self, batch: int) -> int:
        """How many hosts of a batch may fail: the larger of the two limits, percent rounded down."""
        share = len(self.batches[batch].hosts) * self.failure_budget["percent"] // 100
        return max(self.failure_budget["hosts"], share)

    def freezes_of(self, host: str) -> tuple[Freeze, ...]:
        """When the host may not be worked on: the plan's freezes and its own."""
        rows = [*self.freezes, *self.hosts[host].freezes]
        return tuple(parse_freeze(row, f"A freeze of {host}") for row in rows)


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """The plan in a file.

    Raises ``RebootlessError``: ``plan_missing``, ``plan_damaged`` (not the bytes that were written), ``bad_plan``, and
    the codes of the windows and checks in it.
    """
    data, _digest = canonical.read(path, "plan")
    return parse_plan(data, f"The plan {os.fspath(path)}")


def parse_plan(data: t.Any, where: str = "The plan") -> Plan:
    """The plan that a table holds; errors as for :func:`read_plan`, ``where`` begins their sentences."""
    code = "bad_plan"
    PLAN.check(data, where, code)
    for name, part in PARTS:
        part.check(data[name], f"{where}, {name},", code)
    for name, row in data["hosts"].items():
        HOST.check(row, f"{where}, host {name},", code)
        _check_windows(row["windows"], f"host {name}")
        for freeze in row.get("freezes", []):
            parse_freeze(freeze, f"A freeze of the host {name}")
    for name, row in data["left_out"].items():
        LEFT_OUT_HOST.check(row, f"{where}, host {name} (left out),", code)
    for number, row in enumerate(data["batches"]):
        BATCH.check(row, f"{where}, batch {number},", code)
    _check_batches(data, where, code)
    _check_times(data, where, code)
    _check_windows(data["windows"], "the plan")
    for row in data["freezes"]:
        parse_freeze(row, "A freeze of the plan")
    values = {name: value for name, value in data.items() if name not in ("format", "kind")}
    values.update(
        update=Update(**data["update"]),
        hosts={name: PlanHost(**row) for name, row in data["hosts"].items()},
        left_out={name: LeftOut(**row) for name, row in data["left_out"].items()},
        batches=[Batch(**row) for row in data["batches"]],
    )
    return Plan(**values)


def _check_batches(data: Row, where: str, code: str) -> None:
    """Every host is in exactly one batch, the one that it names, and no batch is empty."""
    seen: set[str] = set()
    for number, batch in enumerate(data["batches"]):
        if not batch["hosts"]:
            raise fields.wrong(code, f"{where}, batch {number},", "has no hosts")
        for host in batch["hosts"]:
            if host not in data["hosts"] or host in seen:
                raise fields.wrong(code, f"{where}, batch {number},", f"names {host}, which is unknown or named twice")
            if data["hosts"][host]["batch"] != number:
                raise fields.wrong(code, f"{where}, host {host},", f"names another batch than {number}, which holds it")
            seen.add(host)
    for host in sorted(set(data["hosts"]) - seen):
        raise fields.wrong(code, f"{where}, host {host},", "is in no batch")
    for host in sorted(set(data["hosts"]) & set(data["left_out"])):
        raise fields.wrong(code, f"{where}, host {host},", "is left out, and is not")


def _check_times(data: Row, where: str, code: str) -> None:
    times = data["check_times"]
    checks.normalise(data["checks"])
    if checks.normalise_times(times, data["deadline"], data["checks"]) != times:
        raise fields.wrong(code, where, f"has check_times {times}, which do not begin at 0 and grow")
    for name in ("created", "expires"):
        if data[name] is not None:
            parse_time(data[name], f"{name} of {where}", code)


def _check_windows(rows: list[Row], where: str) -> None:
    for row in rows:
        parse_window(row, f"A window of {where}")
