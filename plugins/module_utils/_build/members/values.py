# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a value in a function is: a constant, what a member holds, a member's address, or a shape made of these."""

from __future__ import annotations

import re
from typing import NamedTuple, Union

from ansible_collections.rebootless.splice.plugins.module_utils._build.members import calls
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.dump import Function, arguments

_CONSTANT = re.compile(r"(?:_Literal \((?P<type>[^()]*)\) )?(?P<number>-?\d+)(?P<suffix>[ul]*)")
_TRUTH = re.compile(r"_Bool|:1>")
_NAME = r"[A-Za-z_]\w*(?:\(D\))?"
_PATH = r"(?:(?:->|\.)\w+|\[[^\]\n]*\])+"
_REFERENCE = re.compile(rf"(?P<base>{_NAME})(?P<path>{_PATH})")
_MEMORY = re.compile(r"__MEM <[^()]*?> \((?P<address>.*)\)(?P<path>" + _PATH + ")?")
_BITS = re.compile(r"__BIT_FIELD_REF <[^()]*?> \((?P<of>.*), (?P<size>\d+)u?, (?P<at>\d+)u?\)")
_CAST = re.compile(rf"\([^()]*(?:\([^()]*\)[^()]*)*\) ?(?P<operand>&?{_NAME}(?:{_PATH})?)")
_BINARY = re.compile(rf"(?P<left>{_NAME}|\d+[ul]*) (?P<operation>[-+*/%&|^]|<<|>>|[<>=!]=?) (?P<right>\S.*)")
_CALL = re.compile(rf"(?P<called>{_NAME}) \((?P<arguments>.*)\)")
_PHI = re.compile(r"__PHI \((?P<values>.*)\)")
_ASSIGNED = re.compile(rf"(?P<name>{_NAME}) =(?:\{{v\}})? (?P<value>.*)")
_ANONYMOUS = re.compile(r"(?:->|\.)D_\d+\b")
ANONYMOUS = "<anonymous>"  # the path of a struct without a name in a struct
VARIABLE = "the variable "  # and its name, in the place of a struct's
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_]\w*)(?:\[[^\]\n]*\])*")
_TEMPORARY = re.compile(r"_\d+")
_WAYS = 5  # meetings of ways through a function that are looked back through
_DEEP = 60  # steps from a value back to what it is made of


class Member(NamedTuple):
    """``path`` within ``struct``, with a dot before each further member; members without a name are left out."""

    struct: str
    path: str

    def __str__(self) -> str:
        return f"{self.struct}.{self.path}" if self.path else self.struct


class Constant(NamedTuple):
    """A number; ``bits`` is the width of its type, 32 if that is not said; ``is_truth``: it is 0 or 1 for its type."""

    number: int
    bits: int
    is_truth: bool = False


class Parameter(NamedTuple):
    """What the caller gives, by its place among the arguments."""

    place: int


class Held(NamedTuple):
    """What a member holds, ``mask``ed (None: all of it)."""

    member: Member
    mask: Constant | None = None


class Bits(NamedTuple):
    """What lies in a struct, or a member that is one, from bit ``at``, ``mask``ed: of several bit-fields, mostly."""

    member: Member
    at: int
    mask: int | None = None


class Address(NamedTuple):
    """Where a member lies."""

    member: Member


class Changed(NamedTuple):
    """What a member holds, with bits set (``|``) or cleared (``&``, see ``Held``)."""

    member: Member
    bits: Constant


class Called(NamedTuple):
    """What a function returns."""

    function: str
    arguments: tuple[str, ...]


class Either(NamedTuple):
    """One of several values, depending on the way through the function."""

    names: tuple[str, ...]


class Made(NamedTuple):
    """Anything else: an operation and its operands."""

    operation: str
    left: str
    right: str


Value = Union[Constant, Parameter, Held, Bits, Address, Changed, Called, Either, Made, None]


def constant(words: str) -> Constant | None:
    """A literal."""
    found = _CONSTANT.fullmatch(words.strip())
    if not found:
        return None
    wide = "l" in found["suffix"] or "long" in (found["type"] or "") or "*" in (found["type"] or "")
    return Constant(int(found["number"]), 64 if wide else 32, bool(_TRUTH.search(found["type"] or "")))


def assignment(statement: str) -> tuple[str, str] | None:
    """The name and the value of a statement that gives a value its name."""
    found = _ASSIGNED.fullmatch(statement)
    return (found["name"].removesuffix("(D)"), found["value"]) if found else None


def call(words: str) -> Called | None:
    """A call of a named function."""
    found = _CALL.fullmatch(words)
    if not found or found["called"].startswith("__MEM") or found["called"] in ("switch", "if"):
        return None
    return Called(found["called"], tuple(arguments(found["arguments"])))


class Values:
    """The values of one function."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self._made: dict[str, str] = {}
        for statement in function.statements:
            found = assignment(statement)
            if found:
                self._made[found[0]] = found[1]
        self._known: dict[str, Value] = {}
        self._makers: dict[tuple[str, str], bool] = {}
        self._stored: dict[Member, list[str]] = {}
        for statement in function.statements:
            place, equals, words = statement.partition(" = ")
            member = self.member(place) if equals and "->" in place else None
            if member is not None:
                self._stored.setdefault(member, []).append(words)

    def definition(self, name: str) -> str:
        """The words that a name stands for; "" for parameters and what is in memory."""
        return self._made.get(name, "")

    def value(self, words: str, depth: int = _DEEP) -> Value:
        """What the operand ``words`` is."""
        words = words.strip()
        if words in self._known:
            return self._known[words]
        if not depth:
            return None
        self._known[words] = None  # where it comes to itself again, in a loop
        self._known[words] = self._value(words, depth)
        return self._known[words]

    def _value(self, words: str, depth: int) -> Value:
        literal = constant(words)
        if literal is not None:
            return literal
        if words in self._made:
            return self.value(self._made[words], depth - 1)
        index = self.function.parameter(words)
        if index is not None:
            return Parameter(index)
        if words.startswith("&"):
            member = self.member(words[1:], depth)
            return Address(member) if member else None
        member = self.member(words, depth)
        if member is not None:
            return Held(member)
        return self._operation(words, depth)

    def _operation(self, words: str, depth: int) -> Value:
        cast = _CAST.fullmatch(words)
        if cast:
            return self.value(cast["operand"], depth - 1)
        bits = _BITS.fullmatch(words)
        if bits:
            whole = self.whole(bits["of"], depth)
            return Bits(whole, int(bits["at"])) if whole else None
        phi = _PHI.fullmatch(words)
        if phi:
            return Either(tuple(part.partition(": ")[2] for part in arguments(phi["values"])))
        binary = _BINARY.fullmatch(words)
        if binary:
            return self._binary(binary["left"], binary["operation"], binary["right"], depth)
        called = call(words)
        if called and called.arguments and calls.READS.fullmatch(called.function):
            address = self.value(called.arguments[0], depth - 1)
            return Held(address.member) if isinstance(address, Address) else called
        return called

    def _binary(self, left: str, operation: str, right: str, depth: int) -> Value:
        number, of = constant(right), self.value(left, depth - 1)
        if number is None and operation in "|&":
            number = self._constants(right, depth) if operation == "|" else self._constant(right, depth)
            if number is None and operation == "|":  # either side may be the member
                number, of = self._constants(left, depth), self.value(right, depth - 1)
        if number is not None and isinstance(of, Held) and of.mask is None:
            if operation == "&":
                return Held(of.member, number)
            if operation == "|":
                return Changed(of.member, number)
        if number is not None and isinstance(of, Bits) and of.mask is None and operation == "&":
            return of._replace(mask=number.number)
        return Made(operation, left, right)

    def _constant(self, words: str, depth: int) -> Constant | None:
        value = self.value(words, depth - 1)
        return value if isinstance(value, Constant) else None

    def _constants(self, words: str, depth: int) -> Constant | None:
        """All bits that a value may have, if it is one of several constants: ``flags |= b ? ONE : TWO``."""
        value, found = self.value(words, depth - 1), 0
        if not isinstance(value, Either):
            return self._constant(words, depth)
        for name in value.names:
            number = self._constant(name, depth)
            if number is None or number.number < 0:
                return None
            found |= number.number
        return Constant(found, 64)

    def whole(self, words: str, depth: int = _DEEP) -> Member | None:
        """The same as ``member``, also of an object itself (``path`` is "" then)."""
        memory = _MEMORY.fullmatch(words)
        if memory and not memory["path"]:
            struct = self.function.type_of(memory["address"]).removesuffix("*").strip()
            return Member(struct, "") if struct else None
        found = _REFERENCE.fullmatch(words)
        if found and found["path"].startswith("->") and not _path(found["path"]):
            return Member(self.function.type_of(found["base"]).removesuffix("*").strip(), ANONYMOUS)
        return self.member(words, depth)

    def member(self, words: str, depth: int = _DEEP) -> Member | None:
        """The member of an object in memory that a reference is to; None for what is on the stack, or unknown."""
        memory = _MEMORY.fullmatch(words)
        if memory:
            address = self.value(memory["address"], depth - 1) if depth else None
            if not isinstance(address, Address):
                return None
            return Member(address.member.struct, _path(f".{address.member.path}{memory['path'] or ''}"))
        found = _REFERENCE.fullmatch(words)
        if not found:
            return None
        base, path = found["base"], found["path"]
        if path.startswith("->"):
            struct = self.function.type_of(base).removesuffix("*").strip()
            return Member(struct, _path(path)) if struct.startswith(("struct", "union")) else None
        if self.function.type_of(base) or base.startswith("__"):
            return None  # a variable of the function
        return Member(f"{VARIABLE}{base}", _path(path)) if path.startswith(".") else None

    def variable(self, words: str) -> Member | None:
        """A variable of the unit, as a whole, or an element of one that is an array."""
        found = _VARIABLE.fullmatch(words)
        if not found or self.function.type_of(found["name"]) or found["name"].startswith("__"):
            return None
        return Member(f"{VARIABLE}{found['name']}", "")

    def counter(self, place: str) -> Member | None:
        """What a place that is counted in is: a member, or a variable."""
        return self.member(place) or self.variable(place)

    def read_from(self, words: str) -> str:
        """The place in memory that a value was read from, as the dump has it; "" if it is made of something else."""
        for _step in range(_DEEP):
            made = self._made.get(words, "")
            cast = _CAST.fullmatch(made)
            words = cast["operand"] if cast else made
            if not cast and not _TEMPORARY.fullmatch(words):
                return words
        return ""

    def held(self, words: str) -> set[Member]:
        """The members that a value, as a whole, may be from, depending on the way through the function."""
        found: set[Member] = set()
        level, seen = [words], {words}
        for _step in range(_WAYS):
            values = [self.value(name) for name in level]
            found |= {value.member for value in values if isinstance(value, Held) and value.mask is None}
            names = [name for value in values if isinstance(value, Either) for name in value.names]
            level = list(dict.fromkeys(name for name in names if name not in seen))
            seen |= set(level)
        return found

    def names_of(self, called: Called) -> list[str]:
        """The values that a call returns."""
        return [name for name, words in self._made.items() if call(words) == called]

    def access(self, place: str) -> Member | None:
        """How a function comes to a place, if that is through a pointer in another object: ``calg->key_len`` of it."""
        found = _REFERENCE.fullmatch(place)
        through = self.value(found["base"]) if found else None
        if found is None or not isinstance(through, Held):
            return None
        return Member(through.member.struct, f"{through.member.path}->{_path(found['path'])}")

    def made_unclean(self, place: str) -> bool:
        """Whether a place is in memory that the function has got as it was left by others."""
        found = _REFERENCE.fullmatch(place)
        return found is not None and self._made_by(found["base"], calls.UNCLEAN, _DEEP)

    def made_here(self, pointer: str) -> bool:
        """Whether a pointer is to an object that the function itself has made, or that lies on its stack."""
        return self._made_by(pointer, calls.MAKES, _DEEP)

    def _made_by(self, words: str, makers: re.Pattern[str], depth: int) -> bool:
        key = (words.strip(), makers.pattern)
        if key not in self._makers:
            self._makers[key] = True  # in a loop, what comes from outside decides
            self._makers[key] = depth > 0 and self._is_made(key[0], makers, depth - 1)
        return self._makers[key]

    def _is_made(self, words: str, makers: re.Pattern[str], depth: int) -> bool:
        made = self._made.get(words)
        if words.startswith("&"):
            found = _REFERENCE.fullmatch(words[1:])
            if found and "->" in found["path"]:
                return self._made_by(found["base"], makers, depth)
            return bool(self.function.type_of(found["base"] if found else words[1:]))
        if made is None:
            return False
        value = self._operation(made, _DEEP)
        if isinstance(value, Called):
            if calls.SAME_OBJECT.fullmatch(value.function) and value.arguments:
                return self._made_by(value.arguments[0], makers, depth)
            return bool(makers.fullmatch(value.function))
        if isinstance(value, Either):
            ways = [name for name in value.names if constant(name) is None and name != words]
            return bool(ways) and all(self._made_by(name, makers, depth) for name in ways)
        if isinstance(value, Made):
            return value.operation in "+-" and self._made_by(value.left, makers, depth)
        cast = _CAST.fullmatch(made)
        member = self.member(made)
        if member is not None:  # read again from where it was just stored
            return any(self._made_by(name, makers, depth) for name in self._stored.get(member, ()))
        return self._made_by(cast["operand"] if cast else made, makers, depth)


def _path(words: str) -> str:
    words = re.sub(r"\[(?!\d+\])[^\]]*\]", "[]", _ANONYMOUS.sub("", words))
    return words.replace("->", ".").lstrip(".")
