# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which conditions of a function decide that it fails: on all ways from there it returns an error, or warns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ansible_collections.rebootless.splice.plugins.module_utils._build.members import calls
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.dump import Function, arguments, targets
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.values import (
    Constant,
    Values,
    assignment,
    call,
    constant,
)

CONDITION = re.compile(r"if \((?P<left>\S+) (?P<operation>[<>=!]=?) (?P<right>.*?)\) goto")
SWITCH = re.compile(r"switch \((?P<value>[^ ]+)\) \{(?P<cases>.*)\}")
CASE = re.compile(r"case (?P<number>[^:]*?)(?: \.\.\. [^:]*)?:")
_DEFAULT = re.compile(r"default: (?P<label>\w+);")
_PHI = re.compile(r"__PHI \((?P<values>.*)\)")
_CAST = re.compile(r"\([^()]*\) ?(?P<operand>_?\w+(?:\(D\))?)")
_SAME_TRUTH = re.compile(
    r"(?P<not>~)?(?:\([^()]*\) ?)?(?P<of>_?\w+)(?: (?P<is>[!=]=) (?:_Literal \([^()]*\) )?0[ul]*)?"
)
_EXPECTED = re.compile(r"__builtin_expect \((?P<of>_?\w+), .*\)")  # likely(), unlikely()
_COMPARED = re.compile(r"(?P<of>_?\w+) (?P<is>[!=]=) (?P<number>.+)")
_NESTED = 8  # names from a condition back to the value that it is about
_FAR = 200  # blocks that are looked at behind a condition


class Way(NamedTuple):
    """From one block to the next."""

    source: int
    target: int


class Refusals:
    """What becomes of the ways of one function."""

    def __init__(self, function: Function, values: Values) -> None:
        self._function, self._values = function, values
        # By a condition's value: the number that it is compared with, and where an object comes that has it not.
        self._against: dict[str, list[tuple[int, Way]]] = {}
        self._known: dict[Way, bool] = {}
        for number, statements in function.blocks.items():
            for statement in statements:
                self._condition(number, statement)
                self._switch(number, statement)

    def _condition(self, block: int, statement: str) -> None:
        found = CONDITION.match(statement)
        number = constant(found["right"]) if found else None
        if found and number is not None and found["operation"] in ("==", "!="):
            there = [Way(block, target) for target in targets(statement)]
            equal, other = (there[0], there[-1]) if found["operation"] == "==" else (there[-1], there[0])
            if number.number == 0:
                self._depends(found["left"], equal, other)
            else:
                self._against.setdefault(found["left"], []).append((number.number, other))

    def _depends(self, name: str, without: Way, has_it: Way) -> None:
        """Two ways depend on whether a value is 0; so they do on what the value is made of: ``_8 = ~_7``."""
        for _step in range(_NESTED):
            self._against.setdefault(name, []).append((0, without))
            definition = self._definition(name)
            made, compared = _SAME_TRUTH.fullmatch(definition), _COMPARED.fullmatch(definition)
            if not made:
                number = constant(compared["number"]) if compared else None
                if compared and number is not None:
                    other = without if compared["is"] == "==" else has_it
                    self._against.setdefault(compared["of"], []).append((number.number, other))
                return
            name = made["of"]
            if made["not"] or made["is"] == "==":
                without, has_it = has_it, without

    def _definition(self, name: str) -> str:
        """What a value is made of, behind what the source says of how likely it is."""
        words = self._values.definition(name)
        expected = _EXPECTED.fullmatch(words)
        return expected["of"] if expected else words

    def _switch(self, block: int, statement: str) -> None:
        found, otherwise = SWITCH.match(statement), _DEFAULT.search(statement)
        target = self._function.labels.get(otherwise["label"]) if otherwise else None
        for case in CASE.finditer(found["cases"]) if found and target is not None else ():
            number = constant(case["number"])
            if found and number is not None and target is not None:
                self._against.setdefault(found["value"], []).append((number.number, Way(block, target)))

    def answers(self) -> set[str]:
        """The names of the values whose truth the function returns."""
        found: set[str] = set()
        for statement in self._function.statements:
            name = statement.removeprefix("return ") if statement.startswith("return ") else ""
            for _step in range(_NESTED):
                found.add(name)
                made = _SAME_TRUTH.fullmatch(self._definition(name))
                if not made or made["not"] or made["is"] == "==":
                    break
                name = made["of"]
        return found

    def refused(self, name: str, number: int | None = None) -> bool:
        """Whether the function fails where a value is 0 or another one than ``number``, which it is compared with."""
        there = self._against.get(name, ())
        return any(self.fails(way) for against, way in there if number is None or number == against)

    def compared_whole(self, name: str) -> bool:
        """Whether a value is compared with a number other than 0: ``(flags & (A | B)) == (A | B)``."""
        return any(number for number, _way in self._against.get(name, ()))

    def fails_at(self, condition: str, holds: bool) -> bool:
        """Whether the function fails behind a condition that holds, or does not."""
        there = targets(condition)
        block = next((number for number, rows in self._function.blocks.items() if condition in rows), None)
        return block is not None and bool(there) and self.fails(Way(block, there[0 if holds else -1]))

    # ---- ways

    def fails(self, way: Way) -> bool:
        """Whether all ways that go on from ``way`` fail."""
        if way not in self._known:
            ends = self._ends(way)
            self._known[way] = bool(ends) and all(ends)
        return self._known[way]

    def _ends(self, way: Way) -> list[bool]:
        """Of each way that goes on from ``way``, whether it fails; not longer than what is looked at."""
        ends: list[bool] = []
        waiting: list[dict[int, int]] = [{way.target: way.source}]  # by block, whence it was reached; in this order
        for _step in range(_FAR):
            if not waiting:
                return ends
            passed = waiting.pop()
            block = next(reversed(passed))
            rows = self._function.blocks.get(block, ())
            if any(self._is_failure(statement) for statement in rows):
                ends.append(True)
            elif rows and rows[-1].startswith("return"):
                ends.append(self._is_error(self._returned(rows[-1].removeprefix("return").strip(), passed)))
            else:
                waiting += [{**passed, to: block} for to in self._next(rows) if to not in passed]
            if ends and not ends[-1]:
                return ends
        return [False]

    def _next(self, rows: tuple[str, ...]) -> Iterator[int]:
        for statement in rows[-1:]:
            yield from dict.fromkeys(targets(statement))
            found = SWITCH.match(statement)
            for label in re.findall(r": (\w+);", found["cases"]) if found else ():
                if label in self._function.labels:
                    yield self._function.labels[label]

    def _returned(self, name: str, passed: dict[int, int]) -> Constant | None:
        """What a value is at the end of a way."""
        for _step in range(_FAR):
            number = constant(name)
            if number is not None:
                return number
            made = self._values.definition(name)
            phi, cast = _PHI.fullmatch(made), _CAST.fullmatch(made)
            if phi:
                block = self._function.block_of(name)
                came = [part.partition(": ") for part in arguments(phi["values"])]
                made = next((of for label, _colon, of in came if label == f"__BB{passed.get(block, 0)}"), "")
            if not made or made == name:
                return None
            name = cast["operand"] if cast else made
        return None

    def _is_error(self, number: Constant | None) -> bool:
        if number is None:
            return False
        return -4096 < number.number < 0 or (number.number == 0 and "*" in self._function.returns)

    def _is_failure(self, statement: str) -> bool:
        if statement.startswith("__asm__"):
            return "__bug_table" in statement
        named = assignment(statement)
        called = call(named[1] if named else statement)
        return called is not None and calls.FAILS.fullmatch(called.function) is not None
