# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what one function does to the members of objects, from its statements."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.members import calls
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.dump import Function
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.facts import (
    ANY,
    BOUND,
    CLEAR,
    EQUAL,
    FOLLOWED,
    GIVE,
    INDEX,
    INIT,
    MADE,
    PLAINLY,
    READ,
    SET,
    START,
    STORE,
    TAKE,
    TEST,
    USE,
    BitFields,
    Fact,
    Row,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.refusals import (
    CASE,
    CONDITION,
    SWITCH,
    Refusals,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.values import (
    ANONYMOUS,
    Address,
    Bits,
    Called,
    Changed,
    Constant,
    Either,
    Held,
    Made,
    Member,
    Parameter,
    Values,
    assignment,
    call,
    constant,
)

_LOCK = re.compile(r"\.?(rlock\.)?raw_lock\.(val\.)?counter$|\.?(rlock\.)?raw_lock\.val$")
_PLACE = re.compile(r"(?P<place>[^=]*?(?:->|\.|\]|__MEM)[^=]*?) =(?:\{v\})? (?P<value>.*)")
_COUNTED = re.compile(r"(?P<place>[^=]+?) =(?:\{v\})? (?P<value>\w+)")
_INDEX = re.compile(r"\[[^\]]*\]")  # each element of an array has a name of its own for its number
_BASE = re.compile(r"[A-Za-z_]\w*(?:\(D\))?")
_FOLLOWS = re.compile(r"(?P<base>[A-Za-z_]\w*)->")
_INDEXES = re.compile(r"\[(?P<index>[A-Za-z_]\w*)\]")
_OPERAND = re.compile(
    r'"(?P<kind>=?[^"]*m[^"]*)" (?P<place>__MEM <[^()]*> \(\w+(?:\(D\))?\)[\w.]*|\w+(?:\(D\))?->[\w.>-]+)'
)
_MANY = 40  # values of which a stored one may be any
_OPPOSITE = {"<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_NO_OBJECT = ("if ", "switch ", "__asm__", "goto ", "return")


def bit(number: int) -> int:
    """The mask of a bit that is named by its number."""
    return 1 << number if 0 <= number < 4096 else 0


class Reader:
    """Reads the rows of one function.

    ``calls`` are what it calls, ``called_as`` with the names of what comes back; ``answers`` the names of what it
    returns the truth of, and ``answered`` what it asks for in these.
    """

    def __init__(self, function: Function, bit_fields: BitFields) -> None:
        self._function, self._values, self._bit_fields = function, Values(function), bit_fields
        self._kept: set[str] = set()  # values that go back to the member they are from
        self.calls: list[Called] = []
        self.called_as: list[tuple[Called, str]] = []  # with the name of what the call returns
        self.refusals = Refusals(function, self._values)
        self.answers = self.refusals.answers()
        self.answered: list[Fact] = []  # what is asked for in what the function returns

    def rows(self) -> Iterator[Row]:
        for statement in self._function.statements:
            yield from self._stores(statement)
            yield from self._counts(statement)
        for statement in self._function.statements:
            yield from self._asks(statement)
            yield from self._reads(statement)
            yield from self._called(statement)
            if statement.startswith("__asm__"):
                yield from self._assembled(statement)

    # ---- what is stored

    def _stores(self, statement: str) -> Iterator[Row]:
        found = None if statement.startswith(_NO_OBJECT) else _PLACE.fullmatch(statement)
        member = self._values.member(found["place"].strip()) if found else None
        if found is None or member is None:
            return
        living = self._living(found["place"])
        for fact in self._stored(member, found["value"], set()):
            yield Row(fact, living)
            if not living and fact.what in (STORE, SET):
                path = self._values.access(found["place"].strip()) or member
                if fact.number != 0 or self._values.made_unclean(found["place"].strip()):
                    yield Row(fact._replace(what=MADE, member=path), living)

    def _counts(self, statement: str) -> Iterator[Row]:
        """``users++``, ``o->used -= size``: of a variable, or a member of an object."""
        found = None if statement.startswith(_NO_OBJECT) else _COUNTED.fullmatch(statement)
        member = self._values.counter(found["place"]) if found else None
        value = self._values.value(found["value"]) if found and member is not None else None
        if found is None or member is None or not isinstance(value, Made) or value.operation not in ("+", "-"):
            return
        for one, other in ((value.left, value.right), (value.right, value.left)):
            if _INDEX.sub("[]", self._values.read_from(one)) == _INDEX.sub("[]", found["place"]):
                number = constant(other)
                down = (value.operation == "-") != (number is not None and _is_negative(number))
                living = not member.path or self._living(found["place"])
                yield Row(Fact(GIVE if down else TAKE, member, None, PLAINLY), living)
                return
            if value.operation == "-":
                return

    def _stored(self, member: Member, words: str, seen: set[str]) -> Iterator[Fact]:
        seen.add(words)
        value = self._values.value(words)
        if isinstance(value, Constant):
            if value.number == 0 and _LOCK.search(member.path):
                yield Fact(INIT, Member(member.struct, _LOCK.sub("", member.path)), 0, "spin_lock_init")
            if value.is_truth:
                yield Fact(SET if value.number else CLEAR, member, 1)
            else:
                yield Fact(STORE, member, value.number)
        elif isinstance(value, Parameter):
            yield Fact(STORE, member, value, "number")
            yield Fact(STORE, member, None, self._shape(words))
        elif isinstance(value, Changed) and value.member == member:
            self._keep(words)
            yield Fact(SET, member, value.bits.number)
        elif isinstance(value, Held) and value.member == member and value.mask is not None:
            self._keep(words)
            yield Fact(CLEAR, member, _inverted(value.mask))
        elif isinstance(value, Either):
            for name in value.names:
                yield from self._stored(member, name, seen) if name not in seen and len(seen) < _MANY else ()
        elif isinstance(value, Made) and value.operation == "|":
            yield from self._together(member, words, value)
        else:
            yield Fact(STORE, member, None, self._shape(words))

    def _together(self, member: Member, words: str, value: Made) -> Iterator[Fact]:
        """``flags = (flags & ~OLD) | NEW``"""
        left, number = self._values.value(value.left), constant(value.right)
        if isinstance(left, Held) and left.member == member and left.mask is not None and number is not None:
            self._keep(value.left)
            yield Fact(CLEAR, member, _inverted(left.mask) & ~number.number)
            yield Fact(SET, member, number.number)
            return
        if number is not None:  # flags = given | NEW
            yield Fact(SET, member, number.number)
        for one, other in ((value.left, value.right), (value.right, value.left)):
            given = self._given(one)
            if given and self._values.value(other) == Held(member):
                self._keep(other)
                yield Fact(SET, member, *given)
        yield Fact(STORE, member, None, self._shape(words))

    def _given(self, words: str) -> tuple[Parameter, str] | None:
        """A mask, or the number of a bit, that the function is given: ``flag``, ``1 << flag``."""
        value = self._values.value(words)
        if isinstance(value, Made) and value.operation == "<<" and constant(value.left) is not None:
            return self._shift(value.right)
        return (value, "number") if isinstance(value, Parameter) else None

    def _shift(self, words: str) -> tuple[Parameter, str] | None:
        value = self._values.value(words)
        return (value, "bit") if isinstance(value, Parameter) else None

    def _keep(self, words: str) -> None:
        """These values are stored again, and not asked for."""
        while words and words not in self._kept:
            self._kept.add(words)
            words = self._values.definition(words).rpartition(") ")[2]

    # ---- what is asked for

    def refuses(self, called: Called) -> bool:
        """Whether the function fails where a called one says no."""
        return any(self.refusals.refused(name, 0) for name in self._values.names_of(called))

    def is_living(self, called: Called) -> bool:
        """Whether a function is called with an object that may have existed before."""
        return not any(self._values.made_here(words) for words in called.arguments)

    def _asks(self, statement: str) -> Iterator[Row]:
        named = assignment(statement)
        if named and named[0] not in self._kept:
            for row in self._asks_value(*named):
                if named[0] in self.answers and not isinstance(row.fact.number, Parameter):
                    self.answered.append(row.fact)
                yield row
        found = CONDITION.match(statement)
        if found and found["operation"] in ("==", "!="):
            yield from self._compared(found["left"], found["right"])
        elif found:
            yield from self._bounded(found, statement)
        switch = SWITCH.match(statement)
        for case in CASE.finditer(switch["cases"]) if switch else ():
            yield from self._compared(switch["value"] if switch else "", case["number"])

    def _bounded(self, found: re.Match[str], statement: str) -> Iterator[Row]:
        """``state < 4``, and what an object comes to that is, or is not, below."""
        number = constant(found["right"])
        if number is None:
            return
        for holds, operation in enumerate((_OPPOSITE[found["operation"]], found["operation"])):
            refused = self.refusals.fails_at(statement, bool(holds))
            for member in sorted(self._values.held(found["left"])):
                fact = Fact(BOUND, member, number.number, operation)
                yield Row(fact, self._living_value(found["left"]), refused)

    def _asks_value(self, name: str, words: str) -> Iterator[Row]:
        value = self._values.value(words)
        if isinstance(value, Held) and value.mask is not None and " & " in words:
            number = value.mask.number
            one_of = number & (number - 1) and not self.refusals.compared_whole(name)
            fact = Fact(TEST, value.member, number, ANY if one_of else "")
            yield Row(fact, self._living_value(words), self.refusals.refused(name))
        elif isinstance(value, Bits) and value.mask is not None and " & " in words:
            for path, number in self._bit_fields(value.member, value.at, value.mask or 0):
                member = Member(value.member.struct, _below(value.member.path, path))
                yield Row(Fact(TEST, member, number), self._living_value(words), self.refusals.refused(name))
        elif isinstance(value, Made) and value.operation in ("==", "!="):
            yield from self._compared(value.left, value.right)
        elif isinstance(value, Made) and value.operation == "&":
            for one, other in ((value.left, value.right), (value.right, value.left)):
                given, held = self._given(one), self._values.value(other)
                if isinstance(held, Made) and held.operation == ">>" and constant(one) is not None:
                    given, held = self._shift(held.right), self._values.value(held.left)  # flags >> flag & 1
                if given and isinstance(held, Held) and held.mask is None:
                    yield Row(Fact(TEST, held.member, *given), self._living_value(other))

    def _compared(self, words: str, with_words: str) -> Iterator[Row]:
        number, living = constant(with_words), self._living_value(words)
        for one, other in ((words, with_words), (with_words, words)) if number is None else ():
            given = self._values.value(other)
            if isinstance(given, Parameter):
                for member in sorted(self._values.held(one)):
                    yield Row(Fact(EQUAL, member, given, "number"), self._living_value(one))
        for member in sorted(self._values.held(words)) if number is not None else ():
            if number is not None and number.is_truth:
                yield Row(Fact(TEST, member, 1), living, self.refusals.refused(words, number.number))
            elif number is not None:
                refused = bool(number.number) and self.refusals.refused(words, number.number)
                yield Row(Fact(EQUAL, member, number.number), living, refused)

    # ---- what else becomes of a value

    def _reads(self, statement: str) -> Iterator[Row]:
        for pattern, good_for in ((_FOLLOWS, FOLLOWED), (_INDEXES, INDEX)):
            for found in pattern.finditer(statement):
                value = self._values.value(found[1]) if good_for == INDEX else None
                yield from self._read(value.left if isinstance(value, Made) else found[1], good_for)
        named, condition = assignment(statement), CONDITION.match(statement)
        if condition and constant(condition["right"]) is None:
            sides = (condition["left"], condition["right"])
            for one, other in (sides, sides[::-1]):
                refused = self._refuses_cleared(statement, condition["operation"], one == sides[0])
                yield from self._read(one, f"{condition['operation']} {self._shape(other)}", refused)
        elif condition and condition["operation"] not in ("==", "!="):
            yield from self._read(condition["left"], f"{condition['operation']} {condition['right']}")
        value = self._values.value(named[1]) if named and named[0] not in self._kept else None
        if isinstance(value, Made) and value.operation not in ("==", "!="):
            yield from self._read(value.left, f"{value.operation} {self._shape(value.right)}")
            yield from self._read(value.right, f"{value.operation} {self._shape(value.left)}")

    def _read(self, words: str, good_for: str, refused: bool = False) -> Iterator[Row]:
        for member in sorted(self._values.held(words)):
            yield Row(Fact(READ, member, None, good_for), self._living_value(words), refused)

    def _refuses_cleared(self, statement: str, operation: str, is_left: bool) -> bool:
        """Whether a function fails where the member that it compares with another value was never set."""
        holds = operation == "!=" or (operation in ("<", "<=") if is_left else operation in (">", ">="))
        return self.refusals.fails_at(statement, holds)

    def _called(self, statement: str) -> Iterator[Row]:
        named = assignment(statement)
        called = None if statement.startswith(_NO_OBJECT) else call(named[1] if named else statement)
        if called is None or calls.NO_USE.fullmatch(called.function):
            return
        self.calls.append(called)
        if named:
            self.called_as.append((called, named[0]))
        yield from self._counted(called)
        for words in called.arguments:
            value = self._values.value(words)
            if isinstance(value, Address):
                living = self._living_value(words)
                for fact in self._use(called, value.member):
                    if (
                        fact.what == TEST
                        and named
                        and named[0] in self.answers
                        and not isinstance(fact.number, Parameter)
                    ):
                        self.answered.append(fact)
                    yield Row(fact, living, fact.what == TEST and named is not None and self.refusals.refused(named[0]))
            else:
                yield from self._read(words, f"{called.function}()")

    def _assembled(self, statement: str) -> Iterator[Row]:
        """The operands in memory of assembler code: ``this_cpu_add (object->count, 1)``."""
        for found in _OPERAND.finditer(statement):
            member = self._values.member(found["place"])
            if member is not None:
                kind = STORE if found["kind"].startswith("=") else READ
                yield Row(Fact(kind, member, None, "assembler code"), self._living(found["place"]))

    def _counted(self, called: Called) -> Iterator[Row]:
        for kind, words in ((TAKE, calls.takes(called.function)), (GIVE, calls.gives(called.function))):
            for argument in called.arguments if words else ():
                value, variable = self._values.value(argument), self._values.variable(argument.removeprefix("&"))
                kept = self._function.type_of(argument).removesuffix("*").strip()
                if isinstance(value, Address):
                    yield Row(Fact(kind, value.member, None, words), self._living_value(argument))
                elif variable is not None and argument.startswith("&"):
                    yield Row(Fact(kind, variable, None, words), True)
                elif kept.startswith(("struct", "union")):
                    yield Row(Fact(kind, Member(kept, ""), None, words), not self._values.made_here(argument))

    def _use(self, called: Called, member: Member) -> Iterator[Fact]:
        first, name = self._values.value(called.arguments[0]), called.function
        masks = [kind for kind, pattern in _MASK_CALLS if pattern.fullmatch(name)]
        if masks:
            yield from (Fact(kind, member, first.number) for kind in masks if isinstance(first, Constant))
            return
        if calls.STORES.fullmatch(name) and len(called.arguments) > 1:
            second = self._values.value(called.arguments[1])
            if isinstance(second, Constant):
                yield Fact(STORE, member, second.number)
                yield Fact(START, member, second.number)
        if calls.STARTS_WITH_ONE.fullmatch(name):
            yield Fact(START, member, 1)
        kinds = [kind for kind, pattern in _BIT_CALLS if pattern.fullmatch(name)]
        for kind in kinds:
            if isinstance(first, Constant):
                yield Fact(kind, member, bit(first.number))
            elif isinstance(first, Parameter):
                yield Fact(kind, member, first, "bit")
        if not kinds and calls.INITIALISES.fullmatch(name):
            yield Fact(INIT, member, 0 if self._starts_with_zeros(called) else None, name)
        elif not kinds:
            yield Fact(USE, member, None, name)

    def _starts_with_zeros(self, called: Called) -> bool:
        if calls.ZEROS.fullmatch(called.function):
            return True
        second = self._values.value(called.arguments[1]) if len(called.arguments) > 1 else None
        return called.function.endswith("_set") and isinstance(second, Constant) and second.number == 0

    # ---- helpers

    def _living(self, place: str) -> bool:
        base = _BASE.match(place.strip())
        if place.startswith("__MEM"):
            return True
        return not (base and self._values.made_here(base[0]))

    def _living_value(self, words: str, depth: int = 8) -> bool:
        """Whether the member that a value comes from may be of an object that existed before."""
        words = words.strip()
        if "->" in words:
            return self._living(words.lstrip("&"))
        made = self._values.definition(words.partition(" & ")[0].strip())
        return self._living_value(made.rpartition(") ")[2] or made, depth - 1) if made and depth else True

    def _shape(self, words: str, depth: int = 4) -> str:
        """A value in words that do not depend on the names of variables."""
        value = self._values.value(words)
        if isinstance(value, Constant):
            return str(value.number)
        if isinstance(value, Held):
            return f"{value.member}{f' & {value.mask.number}' if value.mask else ''}"
        if isinstance(value, Address):
            return f"&{value.member}"
        if isinstance(value, Changed):
            return f"{value.member} | {value.bits.number}"
        if isinstance(value, Called):
            return f"{value.function}()"
        if isinstance(value, Made) and depth:
            return f"({self._shape(value.left, depth - 1)} {value.operation} {self._shape(value.right, depth - 1)})"
        return words if words.startswith("&") else self._function.type_of(words) or "?"


_BIT_CALLS = ((SET, calls.BIT_SETS), (CLEAR, calls.BIT_CLEARS), (TEST, calls.BIT_TESTS))
_MASK_CALLS = ((SET, calls.MASK_SETS), (CLEAR, calls.MASK_CLEARS))


def _is_negative(number: Constant) -> bool:
    """Whether a number that is added to another one makes it smaller: ``users + 4294967295u``."""
    is_ones = number.number >= 0xFF and number.number & (number.number + 1) == 0  # of 8 or 16 bits, too
    return number.number < 0 or is_ones or number.number >> (number.bits - 1) != 0


def _below(path: str, name: str) -> str:
    return name if path in ("", ANONYMOUS) else f"{path}.{name}"


def _inverted(mask: Constant) -> int:
    return ~mask.number & ((1 << mask.bits) - 1)
