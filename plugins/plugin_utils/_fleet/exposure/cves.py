# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The open CVEs of a fleet: how near each is, how many hosts lack its fix, and how far that fix has come."""

from __future__ import annotations

import collections
import dataclasses
import math
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import reach
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.accounts import OF_CVE, Account
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.answers import Kernel
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.join import (
    DUE,
    LATE,
    STANDINGS,
    Exposure,
    Joiner,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.placed import Placed, Profiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.updates import Updates, milestones
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.history import seconds
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import mapping, number, text, texts


@dataclasses.dataclass
class Spread:
    """What the hosts of a fleet have of one CVE: places and standings with numbers of hosts, and the first day."""

    places: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    standings: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    due: float | None = None

    def add(self, row: Exposure, hosts: int) -> None:
        self.places[row.reach] += hosts
        self.standings[row.standing] += hosts
        if row.due is not None and row.standing in (LATE, DUE):
            self.due = row.due if self.due is None else min(self.due, row.due)


class Hosts:
    """The hosts of each kernel, and since when they have what."""

    def __init__(self, table: t.Iterable[Placed]) -> None:
        self.of: collections.Counter[Kernel] = collections.Counter()
        self.not_known = 0
        self.live: dict[str, list[float]] = collections.defaultdict(list)
        self._booted: dict[Kernel, list[float]] = collections.defaultdict(list)
        for row in table:
            if row.account is None:
                self.not_known += 1
                continue
            self.of[row.account.kernel] += 1
            # What a silent host had last is no proof of what it has.
            if row.host.answered:
                booted = row.host.booted
                self._booted[row.account.kernel].append(math.inf if booted is None else booted)
                for cve in row.live.keys() & row.account.lacks.keys():
                    self.live[cve].append(row.live[cve])

    def times(self, cve: str, accounts: t.Iterable[Account]) -> list[float]:
        """When each host that has the fix got it: by an update, or by booting a kernel that has it."""
        booted = [self._booted[one.kernel] for one in accounts if cve in one.fixed]
        return [time for times in (self.live.get(cve, []), *booted) for time in times]

    def concerned(self, cve: str, accounts: t.Iterable[Account]) -> int:
        """How many hosts need the fix or have it; those of which it is not known are among them."""
        return self.not_known + sum(self.of[one.kernel] for one in accounts if cve in one.lacks or cve in one.fixed)


def tables(
    table: t.Sequence[Placed],
    profiles: Profiles,
    joiner: Joiner,
    known: t.Mapping[Kernel, Account],
    updates: Updates,
) -> dict[str, t.Any]:
    """``cves`` by their rank in the fleet, ``exposures`` with the places of their CVEs in it, and ``profiles``."""
    there = [account for account in known.values() if account.known]
    hosts = Hosts(table)
    spreads: dict[str, Spread] = collections.defaultdict(Spread)
    sizes = collections.Counter(row.profile for row in table if row.profile is not None)
    for place, total in _hosts_of_exposures(profiles, sizes).items():
        spreads[profiles.exposures[place].cve].add(profiles.exposures[place], total)
    for cve in hosts.live:
        spreads[cve]  # of what is fixed live on all hosts there is no exposure
    rows = [_row(cve, spread, there, hosts, joiner, updates) for cve, spread in spreads.items()]
    rows.sort(key=lambda row: (not row["exploited"], reach.RANK[row["nearest"]], joiner.rank(row["cve"])))
    places = {row["cve"]: place for place, row in enumerate(rows)}
    return {
        "cves": rows,
        "exposures": [{**row._asdict(), "cve": places[row.cve]} for row in profiles.exposures],
        "profiles": profiles.lists,
    }


def _hosts_of_exposures(profiles: Profiles, sizes: t.Mapping[int, int]) -> collections.Counter[int]:
    found: collections.Counter[int] = collections.Counter()
    for profile, size in sizes.items():
        for place in profiles.lists[profile]:
            found[place] += size
    return found


def _row(
    cve: str, spread: Spread, there: t.Sequence[Account], hosts: Hosts, joiner: Joiner, updates: Updates
) -> dict[str, t.Any]:
    lacking = [account for account in there if cve in account.lacks]
    said = lacking[0].lacks[cve]
    published = {key: said.get(key) for key in OF_CVE}
    steps = updates.steps(cve)
    reached = milestones(hosts.concerned(cve, there), hosts.times(cve, there))
    fixes = {account.series: _fix(account.lacks[cve]) for account in lacking}
    return {
        "cve": cve,
        **{key: text(published[key], 400) for key in ("title", "vector", "severity")},
        "score": None if published["score"] is None else number(published["score"]),
        "exploited": mapping(published["exploited"]) or None,
        "likely": None if published["likely"] is None else number(published["likely"]),
        "files": texts(said.get("files"))[:20],
        "objects": sorted({name for account in lacking for name in account.objects[cve]}),
        "nearest": reach.nearest(spread.places),
        "reach": {place: spread.places[place] for place in reach.ORDER},
        "open": sum(spread.standings.values()),
        **{standing: spread.standings[standing] for standing in STANDINGS},
        "first_due": spread.due,
        "why": next((text(account.lacks[cve].get("why")) for account in lacking if account.lacks[cve].get("why")), ""),
        "fixes": {series: fix for series, fix in fixes.items() if fix},
        "no_fix": sorted(series for series, fix in fixes.items() if not fix),
        "updates": updates.fixing.get(cve, []),
        "timeline": {
            "published": seconds(published["published"]),
            "fix": min((fix["time"] for fix in fixes.values() if fix and fix["time"]), default=None),
            "built": steps.built,
            "approved": steps.approved,
            "approved_by": steps.by,
            **reached._asdict(),
        },
    }


def _fix(row: dict[str, t.Any]) -> dict[str, t.Any] | None:
    """The fix of a series, and the version of the distribution's package that ships it, if there is one."""
    fix = mapping(row.get("fix"))
    if not fix:
        return None
    shipped = text(mapping(row.get("shipped")).get("version"))
    said = {key: text(fix.get(key), 100) for key in ("commit", "version")}
    return {**said, "time": seconds(fix.get("time")), "shipped": shipped}
