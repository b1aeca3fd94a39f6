# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions as gcc understands them: what ``-fdump-tree-ssa-gimple`` prints.

Every statement has one operation, every value one name (``_9 = _8 & 64ul;``), and every name a declared type, so that
``p_2(D)->flags`` is a member of a known struct.  Nothing has been inlined yet: ``set_bit (5l, _7)`` is still a call.
Source: gcc/gimple-pretty-print.cc and gcc/c/gimple-parser.cc of gcc 12.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_HEADER = re.compile(
    r"^(?P<type>.*) __GIMPLE \(ssa[^\n]*\)\n(?P<name>[\w.]+) \((?P<parameters>.*)\)\n\{\n", re.MULTILINE
)
_MARK = "__GIMPLE ("
_BLOCK = re.compile(r"^  __BB\((?P<number>\d+)[^\n]*\):$", re.MULTILINE)
_DECLARED = re.compile(r"^  (?:static |register |const )*(?P<type>[^;=]*?)\s*(?P<name>[A-Za-z_]\w*)(?:\[[^\n]*)?;$")
_SSA = re.compile(r"(?P<variable>[A-Za-z]\w*?|)_(?P<version>\d+)(?:\(D\))?$")
_ANONYMOUS = re.compile(r"\bD_\d+\b")
_LABEL = re.compile(r"^(?P<label>\w+):$", re.MULTILINE)
_GOTO = re.compile(r"goto __BB(\d+)")


@dataclasses.dataclass(frozen=True)
class Function:
    """``parameters`` are names, ``types`` those of all names; ``blocks`` has the statements of each basic block.

    ``returns`` is a type; ``labels`` has the block of each label that a ``switch`` jumps to.
    """

    name: str
    parameters: tuple[str, ...]
    types: dict[str, str]
    blocks: dict[int, tuple[str, ...]]
    text: str
    returns: str
    labels: dict[str, int]

    @property
    def statements(self) -> Iterator[str]:
        """All statements, each in one line."""
        for rows in self.blocks.values():
            yield from rows

    def type_of(self, name: str) -> str:
        """The type of a value or variable, ``struct foo *``; "" if it is not declared here."""
        if name in self.types:
            return self.types[name]
        found = _SSA.fullmatch(name)
        return self.types.get(found["variable"], "") if found else ""

    @functools.cached_property
    def _blocks_of(self) -> dict[str, int]:
        return {row.partition(" = ")[0]: number for number, rows in self.blocks.items() for row in rows if " = " in row}

    def block_of(self, name: str) -> int:
        """The block in which a value gets its name; 0 if none does."""
        return self._blocks_of.get(name, 0)

    def parameter(self, name: str) -> int | None:
        """Which parameter a value is, from 0."""
        found = _SSA.fullmatch(name) if name.endswith("(D)") else None
        variable = found["variable"] if found else ""
        return self.parameters.index(variable) if variable in self.parameters else None


def read_dump(text: str) -> dict[str, Function]:
    """The functions of a dump, by name; gcc prints those that the unit's code may call.

    Raises ``RebootlessError`` (``dump_not_read``) if one of them is not in that form.
    """
    heads = list(_HEADER.finditer(text))
    if len(heads) != text.count(_MARK) or (text.strip() and not heads):
        raise RebootlessError(
            "dump_not_read",
            f"Of {text.count(_MARK)} functions that the compiler describes, {len(heads)} are understood.",
            "Report it, with the compiler's version.",
        )
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return {head["name"]: _function(head, text[head.end() : end]) for head, end in zip(heads, ends)}


def _function(head: re.Match[str], body: str) -> Function:
    marks = list(_BLOCK.finditer(body))
    types: dict[str, str] = {}
    for line in body[: marks[0].start() if marks else len(body)].splitlines():
        found = _DECLARED.match(line)
        if found:
            _declare(types, found["name"], found["type"])
    parameters = [_parameter(words) for words in _split(head["parameters"])]
    for name, its_type in parameters:
        _declare(types, name, its_type)
    stops = [*(mark.start() for mark in marks[1:]), len(body)]
    parts = {int(mark["number"]): body[mark.end() : stop] for mark, stop in zip(marks, stops)}
    blocks = {number: tuple(_statements(part)) for number, part in parts.items()}
    labels = {found["label"]: number for number, part in parts.items() for found in _LABEL.finditer(part)}
    names = tuple(name for name, _type in parameters)
    return Function(head["name"], names, types, blocks, _ANONYMOUS.sub("D", body), head["type"], labels)


def _declare(types: dict[str, str], name: str, its_type: str) -> None:
    """Two variables of one name, in two scopes of a function, have no known type if theirs differ."""
    words = " ".join(word for word in its_type.split() if word not in ("const", "volatile"))
    types[name] = words if types.get(name, words) == words else ""


def _parameter(words: str) -> tuple[str, str]:
    before, _blank, name = words.rpartition(" ")
    return name, before


def _split(words: str) -> Iterator[str]:
    """The parts between commas that stand in no parentheses."""
    depth, start = 0, 0
    for at, character in enumerate(words):
        depth += (character in "(<{[") - (character in ")>}]")
        if character == "," and depth == 0:
            yield words[start:at].strip()
            start = at + 1
    if words[start:].strip():
        yield words[start:].strip()


def _statements(block: str) -> Iterator[str]:
    """The statements of a block.  Assembler code, which gcc prints with its ends of lines, is one statement."""
    lines = iter(block.splitlines())
    for line in lines:
        words = line.strip()
        if words.startswith("__asm__"):
            while not words.endswith(");"):
                more = next(lines, None)
                if more is None:
                    break
                words += more.rstrip()
        elif words.startswith("if ("):
            words = " ".join([words, *(next(lines, "").strip() for _line in range(3))])
        if words and not words.startswith("//") and not words.endswith(":") and words != "}":
            yield words.removesuffix(";")


def arguments(words: str) -> list[str]:
    """The arguments of a call, from what stands between its parentheses."""
    return list(_split(words))


def targets(statement: str) -> list[int]:
    """The blocks that a jump, or the two branches of a condition, lead to, in their order."""
    return [int(number) for number in _GOTO.findall(statement)]
