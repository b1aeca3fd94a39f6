# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A header's text as it is in the kernel's source, in pieces.

Nothing is expanded and no condition is evaluated: each piece carries the conditions that it stands under.  What only
assembler code reads is left out.  A text whose braces do not close within each branch of a condition has no pieces.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.declarations import is_function

_COMMENT = re.compile(rb'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|^[ \t]*#[^\n]*|[{}();]', re.MULTILINE)
_WORD = re.compile(rb"[A-Za-z_]\w*")
_DIRECTIVE = re.compile(rb"[ \t]*#[ \t]*(\w*)[ \t]*([^\n]*)")
_DEFINED = re.compile(rb"(\w+)(\([^)]*\))?(.*)", re.DOTALL)
_OPENING = {b"if", b"ifdef", b"ifndef"}
_BRANCH = {b"else", b"elif", b"elifdef", b"elifndef"}
# Conditions whose branch no C compiler reads, and those whose other branch it does not read.
_FOREIGN = re.compile(rb"(ifdef|if defined) *\(? *(__ASSEMBLY__|__cplusplus) *\)?")
_NOT_FOREIGN = re.compile(rb"(ifndef|if ! *defined) *\(? *(__ASSEMBLY__|__cplusplus) *\)?")


@dataclasses.dataclass(frozen=True)
class Item:
    """A directive (``kind`` is its word: ``define``, ``include``, ``if`` ...) or a declaration (``kind`` is empty).

    ``text`` is without comments; of a directive what follows its word.  ``conditions`` holds for each condition around
    it the branches up to its own.
    """

    kind: bytes
    text: bytes
    conditions: tuple[tuple[bytes, ...], ...]

    @property
    def words(self) -> set[bytes]:
        """The identifiers in it."""
        return set(_WORD.findall(self.text))


@dataclasses.dataclass
class _Condition:
    nesting: tuple[int, int]
    branches: list[bytes]

    @property
    def foreign(self) -> bool:
        """Whether no C compiler reads the branch."""
        if len(self.branches) == 1:
            return _FOREIGN.fullmatch(self.branches[0]) is not None
        return self.branches[1:] == [b"else"] and _NOT_FOREIGN.fullmatch(self.branches[0]) is not None


class _Unclear(Exception):
    pass


def without_comments(text: bytes) -> bytes:
    """A source without comments, and with its continued lines joined."""
    text = text.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ") if b"\\" in text else text
    return _COMMENT.sub(lambda m: m.group() if m.group()[:1] in b"\"'" else b" ", text)


def pieces(text: bytes) -> list[Item] | None:
    """The pieces of a source in their order; None if it cannot be told where one ends."""
    try:
        return list(_Splitter(without_comments(text)).split())
    except _Unclear:
        return None


class _Splitter:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self._start = 0
        self._braces = self._parentheses = 0
        self._head: bytes | None = None  # of the declaration: what is before its first brace
        self._kept: list[bytes] = []  # its text up to the last directive
        self._conditions: list[_Condition] = []

    def split(self) -> Iterator[Item]:
        for match in _TOKEN.finditer(self._text):
            first = match.group()[:1]
            if first in b"\"'":
                continue
            if first in b"# \t":
                yield from self._directive(match.group(), match.start(), match.end())
            elif not self._skipping and self._ends(first, match.start()):
                yield self._declaration(match.end())
        if self._conditions or self._braces or self._parentheses:
            raise _Unclear
        if self._pending(len(self._text)):
            yield self._declaration(len(self._text))

    @property
    def _skipping(self) -> bool:
        return any(condition.foreign for condition in self._conditions)

    def _ends(self, token: bytes, at: int) -> bool:
        """Whether a declaration ends behind the token."""
        if token == b"{":
            if self._head is None and not self._parentheses:
                self._head = self._pending(at)
            self._braces += 1
        elif token == b"}":
            self._braces -= 1
        elif token == b"(":
            self._parentheses += 1
        elif token == b")":
            self._parentheses -= 1
        if self._braces < 0 or self._parentheses < 0:
            raise _Unclear
        if self._braces or self._parentheses:
            return False
        return token == b";" or (token == b"}" and self._head is not None and is_function(self._head))

    def _declaration(self, end: int) -> Item:
        text = self._pending(end)
        self._start, self._head, self._kept = end, None, []
        return Item(b"", text, self._stack())

    def _pending(self, end: int) -> bytes:
        return (b"".join(self._kept) + self._text[self._start : end]).strip()

    def _stack(self) -> tuple[tuple[bytes, ...], ...]:
        return tuple(tuple(condition.branches) for condition in self._conditions)

    def _directive(self, line: bytes, start: int, end: int) -> Iterator[Item]:
        match = _DIRECTIVE.fullmatch(line)
        kind, text = (match[1], b" ".join(match[2].split())) if match else (b"?", line)
        skipped = self._skipping
        if not skipped:
            if not self._pending(start):
                self._kept = []
            elif kind == b"define":
                self._kept.append(self._text[self._start : start])
            else:
                self._kept += [self._text[self._start : end], b"\n"]
        self._start = end
        if kind in _OPENING:
            condition = b" ".join((kind, text))
            self._conditions.append(_Condition((self._braces, self._parentheses), [condition]))
        elif kind in _BRANCH or kind == b"endif":
            if not self._conditions or self._conditions[-1].nesting != (self._braces, self._parentheses):
                raise _Unclear
            if kind == b"endif":
                self._conditions.pop()
            else:
                self._conditions[-1].branches.append(b" ".join((kind, text)).strip())
        if not skipped and kind not in (b"else", b"endif"):
            yield Item(kind, text, self._stack())


def defined(piece: Item) -> tuple[bytes, bytes, bytes]:
    """Of a ``define``: the macro's name, its parameters in parentheses (empty if it has none), and its body."""
    match = _DEFINED.match(piece.text)
    if match is None:
        return b"", b"", piece.text
    return match[1], match[2] or b"", match[3]


DEFINE = re.compile(rb"^[ \t]*#[ \t]*define[ \t]+([^\n]*)", re.MULTILINE)


def definitions(text: bytes) -> Iterator[Item]:
    """The macros that a source defines, as pieces without conditions."""
    for match in DEFINE.finditer(without_comments(text)):
        yield Item(b"define", match[1], ())
