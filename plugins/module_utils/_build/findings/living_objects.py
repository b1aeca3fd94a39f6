# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fix asks of objects that were made before it, though it leaves their layout as it is.

A flag that only the new code sets, and asks for; a lock, list or counter that only the new code initialises; a member
in which other values are stored than before.  What is done with a member is told by the compiler (``members``), in
every function of the units that change; what other units do with it is not looked at.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Dict, NamedTuple, Tuple

from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.claims import handled
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.begun_counts import (
    Begun,
    begun_counts,
    begun_higher,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding, finding
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.inner_members import Names
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.member_words import (
    and_words,
    bits,
    counted_otherwise,
    number_words,
    numbers,
    tells,
    values_words,
    who,
    within,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.members import calls, facts
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.facts import Fact, Member, Row
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.unit import Members
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.values import VARIABLE
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import Layout

STATE_MISSING, MEANING_CHANGED, EXISTING = "state_missing", "meaning_changed", "existing_objects"
RENUMBERED = "constant_renumbered"
_Where = Dict[Fact, Dict[Tuple[str, str], Row]]  # by unit and function


@dataclasses.dataclass(frozen=True)
class LivingObjects:
    """By ``id()`` of a unit's change: what stops a build, and what is only told."""

    findings: Mapping[int, list[Finding]]
    remarks: Mapping[int, list[Finding]]

    def told(self, change: UnitChange) -> list[Finding]:
        """The remarks about a unit that its custom code does not take care of."""
        rows = self.remarks.get(id(change), [])
        claims = set(handled(change.difference.correlation.post.object)) if rows else set()
        return [row for row in rows if (row.code, row.thing) not in claims]


NOTHING_LIVING = LivingObjects({}, {})


class _Found(NamedTuple):
    unit: str
    code: str
    is_finding: bool
    member: Member
    sentence: str
    functions: tuple[str, ...]
    values: tuple[str, ...]


def living_objects(changes: Sequence[UnitChange], members: Mapping[str, Members]) -> LivingObjects:
    """What ``changes``, with ``members`` by unit, ask of objects that exist."""
    rows: tuple[dict[int, list[Finding]], dict[int, list[Finding]]] = ({}, {})
    # Not what functions of headers do that are called for the first time: of a lock, they know the innermost part.
    theirs = (unit.after[name] for unit in members.values() for name in unit.gone)
    direct = {row.fact.member.struct for rows in theirs for row in rows}
    names = Names((change.difference.types[1] for change in changes if change.unit in members), direct)
    settled = _settled(changes, members, names)
    counts = [*map(_begun, (*begun_counts(members, names), *begun_higher(members, names)))]
    told = {(found.code, found.member) for found in counts}  # of what is counted, that says more
    for found in (*(f for f in _Comparison(members, names).found() if (f.code, f.member) not in told), *counts):
        if settled(found.member):
            continue
        for change in changes:
            if change.unit == found.unit:
                row = finding(
                    change,
                    found.code,
                    found.sentence,
                    member=str(found.member),
                    functions=list(found.functions),
                    values=list(found.values),
                )
                rows[0 if found.is_finding else 1].setdefault(id(change), []).append(row)
    return LivingObjects(*rows)


def _settled(changes: Sequence[UnitChange], members: Mapping[str, Members], names: Names) -> Callable[[Member], bool]:
    """Says of a member that no living object has it, or that another finding tells that it is new."""
    types = [change.difference.types for change in changes if change.unit in members]
    stack = {names.struct(kind) for unit in members.values() for kind in unit.on_stack}
    inside = {
        m.type.partition(" [")[0] for pair in types for layout in pair[0].layouts.values() for m in layout.members
    }

    def settled(member: Member) -> bool:
        if member.struct.startswith(VARIABLE) or not member.path:
            return False
        before = [layout for pre, _post in types if (layout := pre.layouts.get(member.struct))]
        if not any(_has(layout, member) for layout in before):
            return True
        return member.struct in stack and member.struct not in inside and f"{member.struct} *" not in inside

    return settled


def _has(layout: Layout, member: Member) -> bool:
    """Whether a struct had a member of that name, be it in a struct without a name."""
    name = re.split(r"[.\[-]", member.path)[0]
    return any(m.name == name or (not m.name and re.search(rf"\b{name}\b", m.type)) for m in layout.members)


def _begun(count: Begun) -> _Found:
    taken = "references to" if not count.member.path else "in"
    thing = str(count.member)
    words = count.words.replace("@", "*")
    if count.start:
        old, new = count.start
        sentence = (
            f"{who(count.giving, 'give')} back {taken} {thing} ({words}) once more than before, and the new "
            f"{who(count.taking, 'start')} the count with {new} instead of {old}: objects that exist began with {old}."
        )
    elif count.words == facts.PLAINLY:
        sentence = (
            f"{who(count.giving, 'count')} {thing} down, which only the new {who(count.taking, 'count')} up: for "
            "objects that exist it was not."
        )
    else:
        sentence = (
            f"{who(count.giving, 'give')} back {taken} {thing} ({words}) what only the new "
            f"{who(count.taking, 'take')}: for objects that exist nothing was taken."
        )
    functions = (*count.giving, *count.taking)
    return _Found(count.unit, STATE_MISSING, True, count.member, sentence, functions, (words,))


class _Comparison:
    """The facts of all units that an update changes."""

    def __init__(self, members: Mapping[str, Members], names: Names) -> None:
        self._before: _Where = collections.defaultdict(dict)
        self._gone: _Where = collections.defaultdict(dict)  # in functions that are not the same any more
        self._after: _Where = collections.defaultdict(dict)  # in these, now
        for unit, its in members.items():
            for where, functions in ((self._before, its.before), (self._gone, its.gone), (self._after, its.after)):
                for name, rows in functions.items():
                    for row in rows:
                        if row.fact.what in facts.COUNTED:
                            continue
                        fact = row.fact._replace(member=names.member(row.fact.member))
                        _note(where[fact], (unit, name), row._replace(fact=fact))
        self._members, self._known, self._lost = map(_by_member, (self._after, self._before, self._gone))

    def found(self) -> Iterator[_Found]:
        """All that is found, member by member."""
        started: list[Member] = []
        for member in sorted(self._members):
            if any(m.struct == member.struct and member.path.startswith(f"{m.path}.") for m in started):
                continue  # a part of a lock or list
            of_it = self._initialised(member) or self._renumbered(member) or self._asked(member)
            of_it = of_it or self._filled(member) or self._otherwise(member) or self._made(member)
            if of_it:
                started.append(member)
                yield of_it

    # ---- kinds

    def _asked(self, member: Member) -> _Found | None:
        """A flag or a value that only the new code sets, and that it asks for."""
        found = self._asked_as(member, facts.SET, facts.TEST, bits)
        return found or self._asked_as(member, facts.STORE, facts.EQUAL, numbers) or self._asked_beyond(member)

    def _asked_as(
        self, member: Member, stored: str, asked: str, of: Callable[[Sequence[Fact]], set[int]]
    ) -> _Found | None:
        known = of(_of(self._known, member, (facts.SET, facts.TEST, facts.STORE, facts.EQUAL)))
        kinds = (stored, facts.STORE)  # flags = OLD | NEW
        new = of(_of(self._members, member, kinds)) - known - {0}
        asking = [f for f in _of(self._members, member, (asked,)) if of([f]) & new and self._living(f)]
        if not asking:
            return None
        wanted = sorted(set().union(*(of([f]) for f in asking)) & new)
        setting = [f for f in _of(self._members, member, kinds) if of([f]) & set(wanted)]
        refused = {f: [where for where, row in self._after[f].items() if row.refused] for f in asking}
        failing = sorted({w[1] for f, there in refused.items() for w in there if not self._does_without(f, w, known)})
        words, is_flag = and_words([*map(number_words, wanted)]), stored == facts.SET
        what = (
            f"for the flag{'s' * (len(wanted) > 1)} {words} in {member}" if is_flag else f"whether {member} is {words}"
        )
        by, verb = self._functions(setting), "set" if is_flag else "store"
        end = f", and {who(failing, 'fail')} for them" if failing else ""
        return self._tell(
            member,
            STATE_MISSING,
            bool(failing),
            f"{who(self._functions(asking), 'ask')} {what}, which only the new {who(by, verb)} there: objects that "
            f"exist have {'it' if len(wanted) == 1 else 'them'} not{end}.",
            [*asking, *setting],
            [*map(number_words, wanted)],
        )

    def _does_without(self, fact: Fact, where: tuple[str, str], known: set[int]) -> bool:
        """Whether a function that asks for what is new takes what objects have had before as well."""
        if fact.what == facts.TEST:
            return fact.words == facts.ANY and bool(bits([fact]) & known)
        old = numbers(_of(self._known, fact.member, (facts.STORE,)))
        there = numbers([f for f in _of(self._members, fact.member, (facts.EQUAL,)) if where in self._after[f]])
        return bool(old) and old <= there

    def _asked_beyond(self, member: Member) -> _Found | None:
        """Values beyond a bound that the old code stored none of: ``state < READY``"""
        old = numbers(_of(self._known, member, (facts.STORE,)))
        stored = [f for f in _of(self._members, member, (facts.STORE,)) if f.number not in old]
        for fact in _of(self._members, member, (facts.BOUND,)) if old else ():
            beyond = [f for f in stored if isinstance(f.number, int) and not within(f.number, fact)]
            if not beyond or fact in self._before or not self._living(fact) or not all(within(n, fact) for n in old):
                continue
            failing = sorted({name for (_unit, name), row in self._after[fact].items() if row.refused})
            end = f", and {who(failing, 'fail')} for them" if failing else ""
            return self._tell(
                member,
                STATE_MISSING,
                bool(failing),
                f"{who(self._functions([fact]), 'ask')} whether {member} is {fact.words} {fact.number}, as all is that "
                f"the old code stored there; only the new {who(self._functions(beyond), 'store')} others{end}.",
                [fact, *beyond],
                values_words(beyond),
            )
        return None

    def _initialised(self, member: Member) -> _Found | None:
        """A lock, list, counter, timer or work that starts with the new code."""
        started = _of(self._members, member, (facts.INIT,))
        if not started or self._was_touched(member):
            return None
        using = [f for f in _of(self._members, member, (facts.USE,)) if self._living(f)]
        using += [f for f in self._after if f.what == facts.USE and _is_within(f.member, member) and self._living(f)]
        if set(self._functions(using)) <= set(self._functions(started)):
            return None  # what uses it initialises it first
        hard = any(f.number != 0 for f in started) and any(calls.NEEDS_START.fullmatch(f.words) for f in using)
        return self._tell(
            member,
            STATE_MISSING,
            hard,
            f"{who(self._functions(using), 'call')} {and_words(dict.fromkeys(f.words for f in using))} with {member}, "
            f"which only the new {who(self._functions(started), 'initialise')}: in objects that exist nothing has.",
            [*using, *started],
            [f.words for f in started],
        )

    def _filled(self, member: Member) -> _Found | None:
        """A member that no code used, and that the new code fills and reads."""
        if self._was_touched(member):
            return None
        stored = [f for f in _of(self._members, member, (facts.STORE, facts.SET)) if f.number != 0]
        read = [f for f in _of(self._members, member, (facts.READ, facts.EQUAL, facts.TEST)) if self._living(f)]
        if not stored or not read or len({*self._functions(stored), *self._functions(read)}) == 1:
            return None
        asked = any(f.number == 0 for f in read if f.what == facts.EQUAL)
        refusing = [f for f in read if any(row.refused for row in self._after[f].values())]
        hard = [f for f in read if f.words in (facts.FOLLOWED, facts.INDEX) or f in refusing] if not asked else []
        end = f", and {who(self._functions(hard), 'count')} on it" if hard else ""
        return self._tell(
            member,
            STATE_MISSING,
            bool(hard),
            f"{who(self._functions(read), 'read')} {member}, which only the new "
            f"{who(self._functions(stored), 'set')}: in objects that exist it is what they were made with{end}.",
            [*read, *stored],
            values_words(stored),
        )

    def _renumbered(self, member: Member) -> _Found | None:
        """A number that is stored and asked for in the place of another one."""
        for stored, asked in ((facts.SET, facts.TEST), (facts.STORE, facts.EQUAL), (facts.SET, facts.CLEAR)):
            moved = self._exchanged(member, stored) & self._exchanged(member, asked)
            if moved:
                old, new = min(moved)
                rows = [f for f in _of(self._members, member, (stored, asked)) if f.number == new]
                return self._tell(
                    member,
                    RENUMBERED,
                    True,
                    f"In {member}, {number_words(new)} takes the place of {number_words(old)} "
                    f"({', '.join(self._functions(rows))}); existing objects hold the old number.",
                    rows,
                    [number_words(old), number_words(new)],
                )
        return None

    def _otherwise(self, member: Member) -> _Found | None:
        """Other values are stored in a member, and it is read in another way."""
        gone, new = [], []
        for kinds in ((facts.STORE,), (facts.READ, facts.EQUAL, facts.TEST)):
            gone.append([f for f in _of(self._lost, member, kinds) if f not in self._after and tells(f)])
            new.append([f for f in _of(self._members, member, kinds) if f not in self._before and tells(f)])
        if not all((*gone, *new)):
            return None
        return self._tell(
            member,
            MEANING_CHANGED,
            any(f.words == facts.INDEX for f in _of(self._members, member, (facts.READ,)))
            and counted_otherwise(new[1]),
            f"{who(self._functions(new[0]), 'store')} {and_words(values_words(new[0]))} in {member}, where it was "
            f"{and_words(values_words(gone[0]))}, and {who(self._functions(new[1]), 'read')} it otherwise; objects "
            "that exist hold what the old code stored.",
            [*new[0], *new[1]],
            [*values_words(gone[0]), *values_words(new[0])],
        )

    def _made(self, member: Member) -> _Found | None:
        """What new objects get from now on by the function that makes them."""
        rows = [f for f in _of(self._members, member, (facts.MADE,)) if f not in self._before]
        known = _of(self._known, member, (facts.MADE, facts.STORE, facts.SET))
        if not rows or known:
            return None
        return self._tell(
            member,
            EXISTING,
            False,
            f"{who(self._functions(rows), 'set')} {member} of objects that are made from now on; those that exist "
            "keep what they have.",
            rows,
            values_words(rows),
        )

    # ---- facts

    def _living(self, fact: Fact) -> bool:
        return any(row.living for row in self._after[fact].values())

    def _was_touched(self, member: Member) -> bool:
        return any(m == member or _is_within(m, member) or _is_within(member, m) for m in self._known)

    def _exchanged(self, member: Member, what: str) -> set[tuple[int, int]]:
        """Pairs of a number and the one that a function has in its place."""
        found: set[tuple[int, int]] = set()
        for function in {where for fact in self._members[member] for where in self._after[fact]}:
            before, after = (
                {f.number for f in _of(rows, member, (what,)) if function in side[f] and isinstance(f.number, int)}
                for side, rows in ((self._gone, self._lost), (self._after, self._members))
            )
            if len(before - after) == len(after - before) == 1:
                found.add((min(before - after), min(after - before)))
        return found

    def _functions(self, rows: Sequence[Fact]) -> list[str]:
        return list(dict.fromkeys(name for fact in rows for _unit, name in self._after[fact]))

    def _tell(
        self, member: Member, code: str, hard: bool, sentence: str, rows: Sequence[Fact], values: Sequence[str]
    ) -> _Found:
        unit = next(unit for fact in rows for unit, _name in self._after[fact])
        return _Found(unit, code, hard, member, sentence, tuple(self._functions(rows)), tuple(values))


def _by_member(where: _Where) -> dict[Member, list[Fact]]:
    found: dict[Member, list[Fact]] = {}
    for fact in where:
        found.setdefault(fact.member, []).append(fact)
    return found


def _of(rows: Mapping[Member, list[Fact]], member: Member, kinds: Sequence[str]) -> list[Fact]:
    return [fact for fact in rows.get(member, ()) if fact.what in kinds]


def _note(rows: dict[tuple[str, str], Row], where: tuple[str, str], row: Row) -> None:
    known = rows.get(where, Row(row.fact, False))
    rows[where] = Row(row.fact, known.living or row.living, known.refused or (row.refused and row.living))


def _is_within(inner: Member, outer: Member) -> bool:
    return inner.struct == outer.struct and inner.path.startswith((f"{outer.path}.", f"{outer.path}->"))
