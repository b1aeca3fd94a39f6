# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One edit of a source while it is made: the changes of its text, and what has to stand before the function."""

from __future__ import annotations

import random
import typing as t

from ansible_collections.rebootless.splice.tests.corpus.mutations import kinds
from ansible_collections.rebootless.splice.tests.corpus.mutations.source import Function, Node


class NotHere(Exception):
    """The function has no place for this edit."""


class Draft:
    """An edit of a source in one ``function``; ``name`` is one that nothing else has.

    ``module``: the source is of a module.
    """

    def __init__(self, path: str, function: Function, chance: random.Random, name: str, module: bool = False) -> None:
        self.module = module
        self.path, self.function, self.source = path, function, function.source
        self.random, self.name = chance, name
        self.changes: list[tuple[int, int, bytes]] = []
        self.start = function.start  # where what it needs is put
        self._before: dict[str, None] = {}
        self._headers: dict[str, None] = {}
        self._words = {"$F": chance.choice(kinds.NEVER), "$W": chance.choice(kinds.EFFECTS)}

    def put(self, code: str, before: str = "", *headers: str) -> None:
        """Puts a statement somewhere into the function."""
        place = self.choose(self.function.places)
        line = self.source.text[self.source.text.rfind(b"\n", 0, place) + 1 : place]
        indent = line if not line.strip() else b"\t"
        self.changes.append((place, place, self.filled(code, before, *headers).encode() + b"\n" + indent))

    def replace(self, node: Node, code: str, *headers: str, parenthesised: bool = False) -> None:
        """Replaces what stands at a node."""
        text = self.filled(code, "", *headers)
        self.changes.append((node.start_byte, node.end_byte, (f"({text})" if parenthesised else text).encode()))

    def filled(self, code: str, before: str = "", *headers: str) -> str:
        """``code`` with its words replaced; what they and it need is put before the function."""
        for word, (text, needs, headers_of_word) in self._words.items():
            if word in code or word in before:
                self._need(needs, headers_of_word)
                code, before = code.replace(word, text), before.replace(word, text)
        self._need(before, headers)
        return code.replace("$N", self.name)

    def _need(self, before: str, headers: t.Iterable[str]) -> None:
        self._headers.update(dict.fromkeys(headers))
        if before:
            self._before[before.replace("$N", self.name)] = None

    def choose(self, things: t.Sequence[t.Any]) -> t.Any:
        """One of them.  Raises ``NotHere`` if there is none."""
        if not things:
            raise NotHere
        return self.random.choice(things)

    def text(self, node: Node) -> str:
        """The source's own text of a node."""
        return self.source.of(node).decode(errors="replace")

    def result(self) -> bytes:
        """The source as edited."""
        needed = "".join(f"#include <{header}>\n" for header in self._headers) + "".join(self._before)
        changes = [*self.changes, (self.start, self.start, f"{needed}\n".encode() if needed else b"")]
        text = self.source.text
        for start, end, new in sorted(changes, key=lambda change: change[:2], reverse=True):
            text = text[:start] + new + text[end:]
        return text


def conditions(function: Function) -> list[Node]:
    """The conditions of its ``if`` and ``while``, with their parentheses."""
    found = []
    for node in function.nodes("if_statement", "while_statement", "do_statement"):
        condition = node.child_by_field_name("condition")
        if condition is not None and condition.type == "parenthesized_expression" and not condition.has_error:
            found.append(condition)
    return found
