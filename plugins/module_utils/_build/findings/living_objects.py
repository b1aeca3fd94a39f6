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
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding, finding
from ansible_collections.rebootless.splice.plugins.module_utils._build.members import calls, facts
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.facts import Fact, Member, Row
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.unit import Members
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import Layout

STATE_MISSING, MEANING_CHANGED, EXISTING = "state_missing", "meaning_changed", "existing_objects"
RENUMBERED = "constant_renumbered"
_BOUND, _OFFSET = re.compile(r"[<>]=? (_Literal .*|-?\d+[ul]*)"), re.compile(r"([-+]|<<|>>) \d+")
_Where = Dict[Fact, "dict[Tuple[str, str], Row]"]  # by unit and function


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
    settled = _settled(changes, members)
    for found in _Comparison(members).found():
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


def _settled(changes: Sequence[UnitChange], members: Mapping[str, Members]) -> Callable[[Member], bool]:
    """Says of a member that no living object has it, or that another finding tells that it is new."""
    types = [change.difference.types for change in changes if change.unit in members]
    stack = frozenset().union(*(unit.on_stack for unit in members.values()))
    inside = {
        m.type.partition(" [")[0] for pair in types for layout in pair[0].layouts.values() for m in layout.members
    }

    def settled(member: Member) -> bool:
        if not member.struct.startswith(("struct", "union")):
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


class _Comparison:
    """The facts of all units that an update changes."""

    def __init__(self, members: Mapping[str, Members]) -> None:
        self._before: _Where = collections.defaultdict(dict)
        self._gone: _Where = collections.defaultdict(dict)  # in functions that are not the same any more
        self._after: _Where = collections.defaultdict(dict)  # in these, now
        for unit, its in members.items():
            for where, functions in ((self._before, its.before), (self._gone, its.gone), (self._after, its.after)):
                for name, rows in functions.items():
                    for row in rows:
                        _note(where[row.fact], (unit, name), row)
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
        pairs = ((facts.SET, facts.TEST, _bits), (facts.STORE, facts.EQUAL, _numbers))
        for stored, asked, numbers in pairs:
            known = numbers(_of(self._known, member, (facts.SET, facts.TEST, facts.STORE, facts.EQUAL)))
            new = numbers(_of(self._members, member, (stored,))) - known - {0}
            asking = [f for f in _of(self._members, member, (asked,)) if numbers([f]) & new and self._living(f)]
            if not asking:
                continue
            wanted = sorted(set().union(*(numbers([f]) for f in asking)) & new)
            setting = [f for f in _of(self._members, member, (stored,)) if numbers([f]) & set(wanted)]
            refused = sorted({name for f in asking for (_u, name), row in self._after[f].items() if row.refused})
            words, is_flag = _and([*map(_number, wanted)]), stored == facts.SET
            what = (
                f"for the flag{'s' * (len(wanted) > 1)} {words} in {member}"
                if is_flag
                else f"whether {member} is {words}"
            )
            who, by = _who(self._functions(asking), "ask"), self._functions(setting)
            end = f", and {_who(refused, 'fail')} for them" if refused else ""
            return self._tell(
                member,
                STATE_MISSING,
                bool(refused),
                f"{who} {what}, which only the new {_who(by, 'set' if is_flag else 'store')} there: objects that "
                f"exist have {'it' if len(wanted) == 1 else 'them'} not{end}.",
                [*asking, *setting],
                [*map(_number, wanted)],
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
            f"{_who(self._functions(using), 'call')} {_and(dict.fromkeys(f.words for f in using))} with {member}, "
            f"which only the new {_who(self._functions(started), 'initialise')}: in objects that exist nothing has.",
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
        hard = [f for f in read if f.words in (facts.FOLLOWED, facts.INDEX)] if not asked else []
        end = f", and {_who(self._functions(hard), 'count')} on it" if hard else ""
        return self._tell(
            member,
            STATE_MISSING,
            bool(hard),
            f"{_who(self._functions(read), 'read')} {member}, which only the new "
            f"{_who(self._functions(stored), 'set')}: in objects that exist it is what they were made with{end}.",
            [*read, *stored],
            _values(stored),
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
                    f"In {member}, {_number(new)} takes the place of {_number(old)} "
                    f"({', '.join(self._functions(rows))}); existing objects hold the old number.",
                    rows,
                    [_number(old), _number(new)],
                )
        return None

    def _otherwise(self, member: Member) -> _Found | None:
        """Other values are stored in a member, and it is read in another way."""
        gone, new = [], []
        for kinds in ((facts.STORE,), (facts.READ, facts.EQUAL, facts.TEST)):
            gone.append([f for f in _of(self._lost, member, kinds) if f not in self._after and _tells(f)])
            new.append([f for f in _of(self._members, member, kinds) if f not in self._before and _tells(f)])
        if not all((*gone, *new)):
            return None
        return self._tell(
            member,
            MEANING_CHANGED,
            any(f.words == facts.INDEX for f in _of(self._members, member, (facts.READ,)))
            and _counted_otherwise(new[1]),
            f"{_who(self._functions(new[0]), 'store')} {_and(_values(new[0]))} in {member}, where it was "
            f"{_and(_values(gone[0]))}, and {_who(self._functions(new[1]), 'read')} it otherwise; objects that exist "
            "hold what the old code stored.",
            [*new[0], *new[1]],
            [*_values(gone[0]), *_values(new[0])],
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
            f"{_who(self._functions(rows), 'set')} {member} of objects that are made from now on; those that exist "
            "keep what they have.",
            rows,
            _values(rows),
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
    known = rows.get(where, row)
    rows[where] = Row(row.fact, known.living or row.living, known.refused or row.refused)


def _is_within(inner: Member, outer: Member) -> bool:
    return inner.struct == outer.struct and inner.path.startswith((f"{outer.path}.", f"{outer.path}->"))


def _bits(rows: Sequence[Fact]) -> set[int]:
    """Each bit of each mask, as a mask of its own."""
    masks = [fact.number for fact in rows if isinstance(fact.number, int) and fact.number > 0]
    return {1 << at for mask in masks for at in range(mask.bit_length()) if mask >> at & 1}


def _numbers(rows: Sequence[Fact]) -> set[int]:
    return {fact.number for fact in rows if isinstance(fact.number, int)}


def _number(number: int) -> str:
    return str(number) if -1 <= number < 10 else f"{number:#x}"


def _values(rows: Sequence[Fact]) -> list[str]:
    return list(dict.fromkeys(_number(f.number) if isinstance(f.number, int) else f.words for f in rows))


def _and(words: Sequence[str] | Mapping[str, object]) -> str:
    """``a, b and c``; of more than four, the first three and how many there are."""
    shown = list(words)
    *most, last = shown if len(shown) < 5 else [*shown[:3], f"{len(shown) - 3} more"]
    return f"{', '.join(most)} and {last}" if most else last


def _tells(fact: Fact) -> bool:
    """Whether a fact says what the values of a member mean: not that it is cleared, or that it is bounded."""
    return fact.number != 0 and not _BOUND.fullmatch(fact.words)


def _counted_otherwise(read: Sequence[Fact]) -> bool:
    """Whether code counts on from a value: ``place - 1``"""
    return any(_OFFSET.fullmatch(fact.words) for fact in read)


def _who(functions: Sequence[str], verb: str) -> str:
    """``f sets``, ``f and g set``"""
    return f"{_and(functions)} {verb}{'s' if len(functions) == 1 else ''}"
