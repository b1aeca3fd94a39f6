# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with what they lack, where hosts that lack the same share it."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import reach
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.accounts import Account
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.answers import Host
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.join import (
    DUE,
    EXCEPTED,
    LATE,
    STANDINGS,
    UNDATED,
    Exposure,
)


@dataclasses.dataclass
class Placed:
    """A host with the account of its kernel, None if that is not known (``code`` and ``sentence`` say why), with its
    profile, and with what updates fix on it, each with the time since when."""

    host: Host
    account: Account | None
    code: str = ""
    sentence: str = ""
    profile: int | None = None
    live: dict[str, float] = dataclasses.field(default_factory=dict)


class Profiles:
    """The lists of exposures of hosts, each once; ``exposures`` has what is in them, ``lists`` places in it."""

    def __init__(self) -> None:
        self.exposures: list[Exposure] = []
        self.lists: list[list[int]] = []
        self._places: dict[Exposure, int] = {}
        self._known: dict[t.Any, int] = {}
        self._counts: dict[int | None, dict[str, t.Any]] = {}

    def place(self, key: t.Any, make: t.Callable[[], list[Exposure]]) -> int:
        """The place of the list with this key, which is made if it is new."""
        if key not in self._known:
            self._known[key] = len(self.lists)
            self.lists.append([self._of(row) for row in make()])
        return self._known[key]

    def _of(self, row: Exposure) -> int:
        if row not in self._places:
            self._places[row] = len(self.exposures)
            self.exposures.append(row)
        return self._places[row]

    def rows(self, profile: int | None) -> list[Exposure]:
        """The exposures of a profile, the most urgent first; None has none."""
        return [] if profile is None else [self.exposures[place] for place in self.lists[profile]]

    def leaves(self, profile: int) -> set[int | None]:
        """The exceptions that hold in a profile, by their places in the policy."""
        return {row.leave for row in self.rows(profile)}

    def has_undated(self) -> bool:
        return any(row.standing == UNDATED for row in self.exposures)

    def counts(self, profile: int | None) -> dict[str, t.Any]:
        """How many CVEs are open in a profile, by their standings and places, the first day, and the worst of them."""
        if profile not in self._counts:
            self._counts[profile] = self._counted(profile)
        return self._counts[profile]

    def _counted(self, profile: int | None) -> dict[str, t.Any]:
        rows = self.rows(profile)
        standings = [row.standing for row in rows]
        places = [row.reach for row in rows]
        days = [row.due for row in rows if row.due is not None and row.standing in (LATE, DUE)]
        return {
            "open": len(rows),
            **{standing: standings.count(standing) for standing in STANDINGS},
            "exploited": sum(row.exploited for row in rows),
            "reach": {place: places.count(place) for place in reach.ORDER},
            "first_due": min(days, default=None),
            "worst": [row.cve for row in rows if row.standing != EXCEPTED][:3],
        }
