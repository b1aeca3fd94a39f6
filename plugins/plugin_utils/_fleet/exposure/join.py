# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host joined with the account of its kernel: its open CVEs, ranked, each with its deadline.

The rank: exploited, then how near the code is to users of this host, then score and vector, then age.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import reach
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure import policy
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.accounts import (
    OF_CVE,
    Account,
    Row,
    exploited_since,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.answers import Modules
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.policy import DAY, Policy
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.history import seconds
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import mapping, number

# How an open CVE stands with its deadline; the worst first.
LATE, DUE, UNDATED, EXCEPTED = "late", "due", "undated", "excepted"
STANDINGS = (LATE, DUE, UNDATED, EXCEPTED)
# From where a fault can be reached, as CVSS has it; the farthest first.
VECTORS = ("N", "A", "L", "P")
VECTOR = re.compile(r"/AV:([NALP])(/|$)")


class Exposure(t.NamedTuple):
    """An open CVE of a host: its number, where its code is there, until when it has to be fixed (seconds since 1970,
    None where nothing says when), how it stands with that, by which rule, whether it is exploited, and which exception
    holds (by its place in the policy, None for none)."""

    cve: str
    reach: str
    due: float | None
    standing: str
    rule: str
    exploited: bool
    leave: int | None = None


@dataclasses.dataclass(frozen=True)
class Known:
    """What is published of a CVE, for all kernels, and its times in seconds since 1970."""

    cve: str
    score: float | None
    vector: str
    exploited: float | None
    published: float | None
    is_exploited: bool

    @property
    def rank(self) -> tuple[float, int, float, str]:
        """The order among CVEs that are as near as each other; those without a score come after those with one."""
        found = VECTOR.search(self.vector)
        score = -1.0 if self.score is None else self.score
        way = VECTORS.index(found[1]) if found else len(VECTORS)
        return -score, way, self.published if self.published is not None else 0.0, self.cve


def known(cve: str, row: Row) -> Known:
    """What a row of an account says of its CVE."""
    score = row.get("score")
    said = {name: row.get(name) for name in OF_CVE}
    return Known(
        cve,
        number(score) if score is not None else None,
        str(said["vector"] or ""),
        exploited_since(row),
        seconds(said["published"]),
        bool(mapping(said["exploited"])),
    )


class Joiner:
    """Joins hosts with accounts by one policy, at one time; what several hosts have in common is worked out once."""

    def __init__(self, rules: Policy, now: float) -> None:
        self._policy = rules
        self._now = now
        self._known: dict[str, Known] = {}
        self._order: dict[int, list[str]] = {}  # by the account
        self._rows: dict[tuple[t.Any, ...], Exposure] = {}

    def known(self, cve: str, account: Account) -> Known:
        if cve not in self._known:
            self._known[cve] = known(cve, account.lacks[cve])
        return self._known[cve]

    def rank(self, cve: str) -> tuple[t.Any, ...]:
        """The rank of a CVE that some kernel lacks the fix of, among those that are as near."""
        return self._known[cve].rank

    def ranked(self, account: Account) -> list[str]:
        """The CVEs that the kernel lacks fixes of, by their own rank."""
        if id(account) not in self._order:
            found = sorted(account.lacks, key=lambda cve: self.known(cve, account).rank)
            self._order[id(account)] = found
        return self._order[id(account)]

    def places(self, account: Account, modules: Modules) -> tuple[str, ...]:
        """Where each of the account's ``parts`` is on a host."""
        return tuple(reach.of_objects(part, modules.places, modules.others) for part in account.parts)

    def leaves(self, host: str, groups: t.Collection[str]) -> tuple[int, ...]:
        """The exceptions that are made for a host and have not ended, by their places in the policy."""
        rows = enumerate(self._policy.leaves)
        return tuple(place for place, leave in rows if leave.ends() > self._now and leave.is_for(host, groups))

    def join(
        self,
        account: Account,
        places: t.Sequence[str],
        live: t.Collection[str] = (),
        groups: frozenset[str] = frozenset(),
        leaves: tuple[int, ...] = (),
    ) -> list[Exposure]:
        """The open CVEs of a host, the most urgent first; ``places`` are those of its code, ``live`` the fixed ones."""
        of_part = dict(zip(account.parts, places))
        found = [(cve, of_part[account.objects[cve]]) for cve in self.ranked(account) if cve not in live]
        found.sort(key=lambda row: (not self._known[row[0]].is_exploited, reach.RANK[row[1]]))
        return [self._exposure(account, cve, place, groups, leaves) for cve, place in found]

    def _exposure(
        self, account: Account, cve: str, place: str, groups: frozenset[str], leaves: tuple[int, ...]
    ) -> Exposure:
        leave = next((number for number in leaves if cve in self._policy.leaves[number].cves), None)
        key = (id(account), cve, place, groups, leave)
        if key not in self._rows:
            self._rows[key] = self._judged(account, cve, place, groups, leave)
        return self._rows[key]

    def _judged(self, account: Account, cve: str, place: str, groups: frozenset[str], leave: int | None) -> Exposure:
        one = self.known(cve, account)
        rule = self._policy.rule(one.is_exploited, one.score, place, groups)
        begin = None
        if rule is not None:
            fix = mapping(account.lacks[cve].get("fix")).get("time")
            begin = {
                policy.PUBLISHED: one.published,
                policy.EXPLOITED: one.exploited,
                policy.FIX: seconds(fix) if fix else None,
            }[rule.since]
        due = None if begin is None or rule is None else begin + rule.days * DAY
        standing = UNDATED if due is None else LATE if due < self._now else DUE
        return Exposure(
            cve, place, due, standing if leave is None else EXCEPTED, rule.name if rule else "", one.is_exploited, leave
        )
