# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""References that a fix begins to count: one function takes one, and another one, later, gives it back.

For objects that were set up by the old code nothing was taken: the new code gives back what others have taken, and the
object is freed while it is in use.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Tuple

from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.inner_members import Names
from ansible_collections.rebootless.splice.plugins.module_utils._build.members import calls, facts
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.facts import Member
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.unit import Members

_Key = Tuple[Member, str]
_Where = Tuple[str, str]  # unit and function
_NESTED = 3  # calls between a function that gives back and the one that has taken


class Begun(NamedTuple):
    """``words`` name the pair of functions, ``sock_@`` for ``sock_hold`` and ``sock_put``."""

    unit: str
    member: Member
    words: str
    taking: tuple[str, ...]
    giving: tuple[str, ...]


class _Counts:
    """How many more, or fewer, references functions take and give back now."""

    def __init__(self, members: Mapping[str, Members], names: Names) -> None:
        self.more: dict[str, dict[_Key, collections.Counter[_Where]]] = {facts.TAKE: {}, facts.GIVE: {}}
        for unit, its in members.items():
            for sign, functions in ((1, its.after), (-1, its.gone)):
                for name, rows in functions.items():
                    for fact, living, _refused in rows:
                        if fact.what in self.more and (living or fact.what == facts.TAKE):
                            counter = self.more[fact.what].setdefault(
                                (names.member(fact.member), fact.words), collections.Counter()
                            )
                            counter[unit, name] += sign


def begun_counts(members: Mapping[str, Members], names: Names) -> Iterator[Begun]:
    """The counts that begin, by what is counted."""
    more = _Counts(members, names).more
    known = {names.member(row.fact.member) for its in members.values() for rows in its.before.values() for row in rows}
    for key in sorted(more[facts.TAKE].keys() & more[facts.GIVE].keys()):
        takes, gives = (more[kind][key] for kind in (facts.TAKE, facts.GIVE))
        if sum(takes.values()) <= 0 or sum(gives.values()) <= 0:
            continue  # moved to another function
        if calls.LINKS.fullmatch(key[1]) and key[0] in known:
            continue  # an entry of no list, which was initialised, can be taken out
        taking = {where for where, count in takes.items() if count > 0}
        giving = {where for where, count in gives.items() if count > 0 and takes[where] <= 0}
        giving = {where for where in giving if not _reaches(where, taking, members)}
        if giving:
            unit = min(giving)[0]
            yield Begun(unit, *key, *(tuple(sorted({n for _unit, n in there})) for there in (taking, giving)))


def _reaches(where: _Where, taking: set[_Where], members: Mapping[str, Members]) -> bool:
    """Whether a function itself calls one that takes: what it gives back, it was given."""
    unit, name = where
    level = {name}
    for _step in range(_NESTED):
        level = {callee for caller in level for callee in members[unit].calls.get(caller, ())}
        if any((unit, callee) in taking for callee in level):
            return True
    return False
