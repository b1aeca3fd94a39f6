# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fix begins to count: one function takes a reference, or counts up, and another one, later, undoes that.

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
    """``words`` name the pair of functions, ``sock_@`` for ``sock_hold`` and ``sock_put``.

    ``start`` are the numbers that the count began with and begins with, if that is what takes.
    """

    unit: str
    member: Member
    words: str
    taking: tuple[str, ...]
    giving: tuple[str, ...]
    start: tuple[int, int] | None = None


class _Counts:
    """How many more, or fewer, references functions take and give back now."""

    def __init__(self, members: Mapping[str, Members], names: Names) -> None:
        self.more: dict[str, dict[_Key, collections.Counter[_Where]]] = {facts.TAKE: {}, facts.GIVE: {}}
        self.starts: dict[Member, tuple[set[int], set[int]]] = {}  # by struct and its own member: before, and now
        self.starting: dict[Member, set[_Where]] = {}
        for unit, its in members.items():
            for sign, functions in ((1, its.after), (-1, its.gone)):
                for name, rows in functions.items():
                    for fact, living, _refused in rows:
                        if fact.what == facts.START and isinstance(fact.number, int):
                            whole = Member(names.struct(fact.member.struct), fact.member.path.split(".")[0])
                            self.starts.setdefault(whole, (set(), set()))[sign > 0].add(fact.number)
                            if sign > 0:
                                self.starting.setdefault(whole, set()).add((unit, name))
                        if fact.what in self.more and (living or fact.what == facts.TAKE):
                            counter = self.more[fact.what].setdefault(
                                (names.member(fact.member), fact.words), collections.Counter()
                            )
                            counter[unit, name] += sign


def begun_counts(members: Mapping[str, Members], names: Names) -> Iterator[Begun]:
    """The counts that begin, by what is counted."""
    more = _Counts(members, names).more
    known = {names.member(row.fact.member) for its in members.values() for rows in its.before.values() for row in rows}
    counted = {
        (names.member(row.fact.member), row.fact.words)
        for its in members.values()
        for rows in its.before.values()
        for row in rows
        if row.fact.what in (facts.TAKE, facts.GIVE)
    }
    for key in sorted(more[facts.TAKE].keys() & more[facts.GIVE].keys()):
        takes, gives = (more[kind][key] for kind in (facts.TAKE, facts.GIVE))
        if sum(takes.values()) <= 0 or sum(gives.values()) <= 0:
            continue  # moved to another function
        if calls.LINKS.fullmatch(key[1]) and key[0] in known:
            continue  # an entry of no list, which was initialised, can be taken out
        if key[1] == facts.PLAINLY and (key in counted or key[0] in known):
            continue  # objects that exist may have been counted, also by other units: ``skb->len``
        taking = {where for where, count in takes.items() if count > 0}
        giving = {where for where, count in gives.items() if count > 0 and takes[where] <= 0}
        giving = {where for where in giving if not _reaches(where, taking, members)}
        if giving:
            unit = min(giving)[0]
            yield Begun(unit, *key, _names(taking), _names(giving))


def begun_higher(members: Mapping[str, Members], names: Names) -> Iterator[Begun]:
    """The counts of objects that begin with more than before, for the sake of one more that is given back."""
    counts = _Counts(members, names)
    for whole, (before, now) in sorted(counts.starts.items()):
        if not before or not now or min(now) <= max(before):
            continue
        for key, gives in sorted(counts.more[facts.GIVE].items()):
            takes = counts.more[facts.TAKE].get(key, collections.Counter())
            giving = {where for where, count in gives.items() if count > 0 and where not in counts.starting[whole]}
            if not _is_of(key[0], whole) or sum(gives.values()) <= max(0, sum(takes.values())) or not giving:
                continue
            taking = counts.starting[whole]
            yield Begun(min(giving)[0], *key, _names(taking), _names(giving), (max(before), min(now)))
            break


def _names(there: set[_Where]) -> tuple[str, ...]:
    return tuple(sorted({name for _unit, name in there}))


def _is_of(member: Member, whole: Member) -> bool:
    """Whether what is given back is an object, or the count in it."""
    return member.struct == whole.struct and member.path.split(".")[0] in ("", whole.path)


def _reaches(where: _Where, taking: set[_Where], members: Mapping[str, Members]) -> bool:
    """Whether a function itself calls one that takes: what it gives back, it was given."""
    unit, name = where
    level = {name}
    for _step in range(_NESTED):
        level = {callee for caller in level for callee in members[unit].calls.get(caller, ())}
        if any((unit, callee) in taking for callee in level):
            return True
    return False
