# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts say of themselves, brought into shape: a host may be broken, hostile, or silent.

exposure/hosts/<host>.json   on the controller: the last answer of each host
    reachable, time, run, why     as those of the report (``report/sources.py``)
    kernel, modules, ...          as ``_target/exposure.py`` gathers them
    booted                        seconds since 1970, of the answer that first had this ``boot_id``
    seen                          update -> seconds since 1970, of the answer that first had it live since then
    last                          of a host that is silent: its last answer
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import reach
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.sources import last_heard
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import (
    mapping,
    number,
    rows,
    text,
    texts,
)

Answer = t.Dict[str, t.Any]
FOLDER = "exposure/hosts"
OF_HOST = ("kernel", "modules", "user_namespaces", "autoload", "line_disciplines", "clock")
LIVE = ("applied", "confirmed")
LONGEST_UPTIME = 100 * 366 * 86_400.0  # seconds


class Kernel(t.NamedTuple):
    """What tells one kernel from another one; all empty if the host does not say."""

    version: str
    release: str
    build_id: str


NONE = Kernel("", "", "")


class LiveUpdate(t.NamedTuple):
    """An update that a host says is live; ``cves`` are what it says that it fixes."""

    name: str
    version: str
    digest: str
    cves: list[str]


@dataclasses.dataclass(frozen=True)
class Host:
    """A host as it is now, or as it was when it answered last (``answered`` is False).

    ``booted`` is when its kernel was booted, ``seen`` when each update was seen live first, in seconds since 1970.
    """

    name: str
    answered: bool
    why: str = ""
    last_answer: str = ""
    kernel: Kernel = NONE
    booted: float | None = None
    seen: t.Mapping[str, float] = dataclasses.field(default_factory=dict)
    updates: t.Sequence[LiveUpdate] = ()
    user_namespaces: bool | None = None


def completed(answer: Answer, before: Answer, now: float) -> Answer:
    """An answer with ``booted`` and ``seen``, which are those of the answer ``before`` while they hold.

    A clock that is read anew each time would make each run another one.
    """
    kernel, last = mapping(answer.get("kernel")), mapping(last_heard(before))
    uptime = min(max(number(kernel.get("uptime")), 0.0), LONGEST_UPTIME)
    same_boot = bool(text(kernel.get("boot_id"))) and mapping(last.get("kernel")).get("boot_id") == kernel["boot_id"]
    booted = last.get("booted") if same_boot and last.get("booted") is not None else round(now - uptime)
    known = mapping(last.get("seen")) if same_boot else {}
    live = [text(row.get("name")) for row in rows(kernel.get("updates")) if row.get("state") in LIVE]
    return {**answer, "booted": booted, "seen": {name: known.get(name, round(now)) for name in live if name}}


def host(name: str, answer: Answer) -> Host:
    """The host that gave this answer, or none."""
    heard = bool(answer.get("reachable"))
    said = mapping(last_heard(answer))
    kernel = mapping(said.get("kernel"))
    allowed = said.get("user_namespaces")
    return Host(
        name=name,
        answered=heard,
        why="" if heard else text(answer.get("why"), 400) or "It was not asked in this run.",
        last_answer="" if heard else text(said.get("time"), 40),
        kernel=Kernel(*(text(kernel.get(key), 300) for key in Kernel._fields)),
        booted=number(said["booted"]) if number(said.get("booted")) else None,
        seen={text(key): number(value) for key, value in mapping(said.get("seen")).items() if number(value)},
        updates=[_update(row) for row in rows(kernel.get("updates")) if row.get("state") in LIVE],
        user_namespaces=allowed if isinstance(allowed, bool) else None,
    )


def _update(row: dict[str, t.Any]) -> LiveUpdate:
    name, version, digest = (text(row.get(key), 100) for key in ("name", "version", "digest"))
    return LiveUpdate(name, version, digest, texts(row.get("cves")))


class Modules(t.NamedTuple):
    """Places of a host's modules by name; ``others`` is that of all others."""

    places: dict[str, str]
    others: str


def modules(answer: Answer) -> Modules:
    """The modules that an answer names; of one that it names twice the nearest place counts."""
    said = mapping(mapping(last_heard(answer)).get("modules"))
    places: dict[str, str] = {}
    for place in reversed(reach.OF_MODULES):
        listed = said.get(place)
        for name in listed if isinstance(listed, list) else ():
            if isinstance(name, str):
                places[reach.module_name(name)] = place
    return Modules(places, reach.NEVER if said.get("complete") is True else reach.UNKNOWN)
