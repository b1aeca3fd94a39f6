# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Until when a CVE has to be fixed on a host: an operator's rules, and exceptions from them.

Of several rules the first one that matches counts, as in a firewall.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t
from dataclasses import field

from ansible_collections.rebootless.splice.plugins.module_utils._common import reach, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.value_checks import (
    list_of,
    matches,
    one_of,
    or_none,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import fields
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.fields import Value
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Record, holds
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import parse_time

DAY = 86_400  # seconds
PUBLISHED, EXPLOITED, FIX = "published", "exploited", "fix"  # what a deadline counts from
CVE = re.compile(r"CVE-\d{4}-\d{4,19}")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
BAD_DEADLINES, BAD_EXCEPTIONS = "bad_deadlines", "bad_exceptions"
HOW = "Correct it; docs/service.md has the format."

_DAYS = Value(lambda value: strict_json.is_number(value) and 0 <= value <= 36_500, "a number of days")
_SCORE = Value(or_none(lambda value: strict_json.is_number(value) and 0 <= value <= 10), "a score from 0 to 10")
_FLAG_OR_NULL = Value(or_none(lambda value: isinstance(value, bool)), "true, false or null")
_REACH = Value(list_of(one_of(*reach.ORDER)), f"a list of {', '.join(reach.ORDER)}")
_SINCE = Value(one_of(PUBLISHED, EXPLOITED, FIX), f"{PUBLISHED}, {EXPLOITED} or {FIX}")
_CVES = Value(lambda value: list_of(matches(CVE))(value) and bool(value), "a list of CVEs such as CVE-2026-52928")


@dataclasses.dataclass(frozen=True)
class Rule(Record):
    """Within how many ``days`` a CVE is to be fixed, from the day that ``since`` names on.

    ``exploited`` is whether it is in KEV, ``score`` the least score, ``unscored`` whether CVEs without one count as
    such, ``reach`` and ``groups`` where the code and the host have to be; what is not given matches all.
    """

    BY_OPERATOR = True

    name: str = field(metadata=holds(fields.A_WORD))
    days: float = field(metadata=holds(_DAYS))
    exploited: bool | None = field(default=None, metadata=holds(_FLAG_OR_NULL))
    score: float | None = field(default=None, metadata=holds(_SCORE))
    unscored: bool = field(default=False, metadata=holds(fields.A_FLAG))
    reach: list[str] = field(default_factory=list, metadata=holds(_REACH))
    groups: list[str] = field(default_factory=list, metadata=holds(fields.A_LIST))
    since: str = field(default=PUBLISHED, metadata=holds(_SINCE))

    def matches(self, exploited: bool, score: float | None, place: str, groups: t.Collection[str]) -> bool:
        return (
            self.exploited in (None, exploited)
            and (self.score is None or (self.unscored if score is None else score >= self.score))
            and (not self.reach or place in self.reach)
            and (not self.groups or any(group in groups for group in self.groups))
        )


@dataclasses.dataclass(frozen=True)
class Leave(Record):
    """An exception: these CVEs may stay open until a day, on some hosts or all; who says so (``name``), and why."""

    BY_OPERATOR = True

    cves: list[str] = field(metadata=holds(_CVES))
    name: str = field(metadata=holds(fields.A_WORD))
    reason: str = field(metadata=holds(fields.A_WORD))
    end: str = field(metadata=holds(fields.A_WORD))
    hosts: list[str] = field(default_factory=list, metadata=holds(fields.A_LIST))
    groups: list[str] = field(default_factory=list, metadata=holds(fields.A_LIST))

    def check(self, where: str, code: str) -> None:
        self.ends(where, code)

    def ends(self, where: str = "", code: str = BAD_EXCEPTIONS) -> float:
        """When it ends, in seconds since 1970: a day ends with its last second in UTC."""
        if DATE.fullmatch(self.end):
            return parse_time(f"{self.end}T00:00:00Z", where, code).timestamp() + DAY
        return parse_time(self.end, where, code).timestamp()

    def is_for(self, host: str, groups: t.Collection[str]) -> bool:
        of_all = not self.hosts and not self.groups
        return of_all or host in self.hosts or any(group in groups for group in self.groups)


# Bands that others have, as examples.  The records do not say whether exploitation can be automated, so that the
# directive's shortest time stands for all that is exploited, but for hosts of a group that its users have to name.
BANDS: dict[str, list[dict[str, t.Any]]] = {
    "bod_26_04": [
        {"name": "exploited, internal", "exploited": True, "groups": ["internal"], "days": 14, "since": EXPLOITED},
        {"name": "exploited", "exploited": True, "days": 3, "since": EXPLOITED},
        {"name": "all others", "days": 60},
    ],
    "pci_dss_4": [
        {"name": "critical", "score": 9.0, "unscored": True, "days": 30, "since": FIX},
        {"name": "all others", "days": 90, "since": FIX},
    ],
}
DEFAULT = "bod_26_04"


@dataclasses.dataclass(frozen=True)
class Policy:
    """``title`` is the name of bands that ship, empty for an operator's own rules."""

    title: str
    rules: list[Rule]
    leaves: list[Leave]

    @property
    def groups(self) -> set[str]:
        """The groups of hosts that make a difference."""
        of_rules, of_leaves = (rule.groups for rule in self.rules), (leave.groups for leave in self.leaves)
        return {group for groups in (*of_rules, *of_leaves) for group in groups}

    def rule(self, exploited: bool, score: float | None, place: str, groups: t.Collection[str]) -> Rule | None:
        return next((rule for rule in self.rules if rule.matches(exploited, score, place, groups)), None)


def read_policy(
    deadlines: t.Any, exceptions: t.Any, groups: t.Mapping[str, t.Collection[str]], hosts: t.Collection[str]
) -> Policy:
    """The policy of the variables ``rebootless_deadlines`` and ``rebootless_exceptions``.

    ``groups`` are those of the inventory, ``hosts`` all of its hosts: a name that neither has is a mistake, by which
    hosts would have another deadline than is thought.  Raises ``RebootlessError``: ``bad_deadlines``,
    ``bad_exceptions``.
    """
    title = deadlines if isinstance(deadlines, str) else ""
    if title and title not in BANDS:
        sentence = f"rebootless_deadlines is {title!r}, which is none of {', '.join(BANDS)}, and no list of rules."
        raise RebootlessError(BAD_DEADLINES, sentence, HOW)
    rules = _records(Rule, BANDS[title] if title else deadlines, "rebootless_deadlines", BAD_DEADLINES)
    if not rules:
        raise RebootlessError(BAD_DEADLINES, "rebootless_deadlines has no rule.", HOW)
    leaves = _records(Leave, exceptions, "rebootless_exceptions", BAD_EXCEPTIONS)
    for code, records in ((BAD_DEADLINES, () if title else rules), (BAD_EXCEPTIONS, leaves)):
        for record in records:
            _demand_known(code, record, "group", record.groups, groups)
            _demand_known(code, record, "host", getattr(record, "hosts", ()), hosts)
    return Policy(title, rules, leaves)


def _records(kind: type[t.Any], given: t.Any, what: str, code: str) -> list[t.Any]:
    try:
        rows = fields.A_LIST_OF_TABLES.read(given, "rows", f"The variable {what}", code)
        return [kind.from_json(_plain(row), f"The variable {what}, row {n}", code) for n, row in enumerate(rows, 1)]
    except RebootlessError as error:
        raise RebootlessError(error.code, error.sentence, HOW, **error.details) from error


def _plain(row: dict[str, t.Any]) -> dict[str, t.Any]:
    """YAML has days of its own; one CVE, host or group may stand alone."""
    found = {key: value.isoformat() if isinstance(value, datetime.date) else value for key, value in row.items()}
    for key in {"cves", "hosts", "groups", "reach"} & found.keys():
        found[key] = [found[key]] if isinstance(found[key], str) else found[key]
    return found


def _demand_known(code: str, record: t.Any, what: str, names: t.Iterable[str], known: t.Collection[str]) -> None:
    for name in names:
        if name not in known:
            sentence = f"The inventory has no {what} {name!r}, which {record.name!r} is for."
            raise RebootlessError(code, sentence, f"Correct its name, or add the {what} to the inventory.")
