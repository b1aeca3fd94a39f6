# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one host gets of a plan: its slice, which says itself what the module rollout_host gets in which step."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import fields
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import option
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.windows import (
    FREEZES,
    WINDOWS,
    Freeze,
    Window,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Record, Row, holds

APPLY, CONFIRM, REVERSE, PREFLIGHT = "apply", "confirm", "reverse", "preflight"  # steps on a host


def for_module(metadata: Row, *steps: str) -> Row:
    """The metadata of a slice's field that the module rollout_host gets in ``steps``; as ``None`` it is left out."""
    return {**metadata, "steps": steps}


EVERY_STEP = (PREFLIGHT, APPLY, CONFIRM, REVERSE)
FORWARD = (PREFLIGHT, APPLY, CONFIRM)
TRYING = (PREFLIGHT, APPLY, REVERSE)
SWITCHING = (PREFLIGHT, APPLY)


@dataclass(frozen=True)
class Slice(Record):
    """What one host gets of a plan."""

    name: str = field(metadata=for_module(holds(fields.A_WORD), *EVERY_STEP))
    version: str = field(metadata=for_module(holds(fields.A_TEXT), *EVERY_STEP))
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

    plan: str = field(metadata=for_module(holds(fields.A_SHA256), *EVERY_STEP))
    build_id: str = field(metadata=for_module(holds(fields.HEX_DIGITS), *EVERY_STEP))
    digest: str = field(metadata=for_module(holds(fields.A_SHA256), *EVERY_STEP))
    size: int = field(metadata=for_module(holds(fields.BYTES), PREFLIGHT, APPLY))
    package: str = field(metadata=holds(fields.A_WORD))
    url: str | None = field(metadata=option("store_url"))
    checks: list[Row] = field(metadata=for_module(option("checks"), *EVERY_STEP))
    check_times: list[int] = field(metadata=for_module(option("check_times"), *FORWARD))
    deadline: int = field(metadata=for_module(option("deadline"), APPLY, CONFIRM))
    persist: bool = field(metadata=for_module(option("persist"), APPLY, CONFIRM))
    fixed_in: list[str] = field(metadata=for_module(holds(fields.A_LIST), *FORWARD))
    tries: int = field(metadata=for_module(option("tries"), *TRYING))
    metrics_directory: str | None = field(metadata=for_module(option("metrics_directory"), *EVERY_STEP))
    windows: list[Window] = field(metadata=WINDOWS)
    freezes: list[Freeze] = field(metadata=FREEZES)
    retry: bool = field(default=False, metadata=holds(fields.A_FLAG, omit=True))
    blockers: str = field(default="wait", metadata=for_module(option("blockers", omit=True), *TRYING))
    isolated_cpus: str = field(default="refuse", metadata=for_module(option("isolated_cpus", omit=True), *SWITCHING))


@dataclass(frozen=True)
class RevertSlice(Slice):
    """Of a host from which an update is taken back by name; ``remove``: its package and records go, too."""

    checks: list[Row] = field(metadata=for_module(option("checks"), *EVERY_STEP))
    remove: bool = field(metadata=for_module(holds(fields.A_FLAG), REVERSE))


@dataclass(frozen=True)
class SurveySlice(Slice):
    """Of a host that is asked without a plan; ``manifest`` is the update's, in the directory ``place``."""

    manifest: str = field(metadata=holds(fields.A_WORD))
    place: str = field(metadata=holds(fields.A_WORD))
    fixed_in: list[str] = field(metadata=for_module(holds(fields.A_LIST), *FORWARD))


@dataclass(frozen=True)
class PlacedSlice(SurveySlice):
    """The same once the host has said which kernel it runs."""

    build_id: str = field(metadata=for_module(holds(fields.HEX_DIGITS), *EVERY_STEP))
    digest: str = field(metadata=for_module(holds(fields.A_SHA256), *EVERY_STEP))
    size: int = field(metadata=for_module(holds(fields.BYTES), PREFLIGHT, APPLY))
    package: str = field(metadata=holds(fields.A_WORD))
    url: str | None = field(default=None, metadata=option("store_url"))


class AnySlice(t.NamedTuple):
    """The kind of a field with a slice of any kind, which its fields tell."""

    def read(self, value: t.Any, name: str, where: str, code: str) -> Slice:
        row = fields.A_TABLE.read(value, name, where, code)
        kind: type[Slice] = SurveySlice if "manifest" in row else RevertSlice if "remove" in row else PlanSlice
        return kind.from_json(row, f"{where}, {name},", code)

    def write(self, value: Slice) -> Row:
        return value.to_json()
