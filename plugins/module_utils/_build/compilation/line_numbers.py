# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping ``__LINE__`` of unchanged code the same in a patched source.

``WARN()``, ``BUG()`` and many a macro put the number of their line into the object.  Behind every change of a patch a
``#line`` directive sets the number back to what it was, so that only what the patch really changes differs.  (C11
6.10.4; what may not stand inside a macro's arguments: 6.10.3p11.)
"""

from __future__ import annotations

import dataclasses
import re
from typing import Iterable, Iterator

_LINE = "#line "
_TOKEN = re.compile(r'/\*|//|"|\'|[()]')
_DIRECTIVE = re.compile(r"\s*#\s*(\w+)")
_END_OF_LITERAL = {'"': re.compile(r'(?:[^"\\]|\\.)*"'), "'": re.compile(r"(?:[^'\\]|\\.)*'")}


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a patched source, without its end, and its number in the unpatched one (None if it is new)."""

    text: str
    origin: int | None


@dataclasses.dataclass
class _Conditional:
    depth: int  # of parentheses where the #if stands: each branch begins with it
    renumbered: bool = False  # a #line stands in a branch, which the compiler may or may not read


class _Scanner:
    """Follows a source line by line, just closely enough to know where a directive may stand."""

    def __init__(self, assembler: bool) -> None:
        self._assembler = assembler  # its comments may hold lone parentheses, and it has no multi-line calls
        self._comment = False
        self._line_comment = False
        self._literal = ""
        self._continued = False
        self._in_directive = False
        self._depth = 0
        self.conditionals: list[_Conditional] = []

    @property
    def safe(self) -> bool:
        """Whether a directive may stand before the next line."""
        return not (self._comment or self._continued or self._depth)

    def feed(self, line: str) -> bool:
        """Goes over one line.  True if it ends a branch of a conditional that holds a ``#line``."""
        directive = None
        if not self._continued:
            self._line_comment, self._literal = False, ""
            match = None if self._comment else _DIRECTIVE.match(line)
            self._in_directive = match is not None
            directive = match.group(1) if match else None
            if line.startswith("}"):
                self._depth = 0  # the end of a function, also if macros left a brace open before it
        self._characters(line)
        self._continued = line.rstrip().endswith("\\")
        return self._branch(directive)

    def _branch(self, directive: str | None) -> bool:
        if directive in ("if", "ifdef", "ifndef"):
            self.conditionals.append(_Conditional(self._depth))
        elif directive in ("else", "elif") and self.conditionals:
            self._depth = self.conditionals[-1].depth
            return self.conditionals[-1].renumbered
        elif directive == "endif" and self.conditionals:
            return self.conditionals.pop().renumbered
        return False

    def _characters(self, line: str) -> None:
        at = 0
        while at < len(line) and not self._line_comment:
            if self._comment:
                end = line.find("*/", at)
                self._comment = end < 0
                at = len(line) if end < 0 else end + 2
            elif self._literal:
                match = _END_OF_LITERAL[self._literal].match(line, at)
                if match:
                    self._literal = ""
                at = match.end() if match else len(line)
            else:
                match = _TOKEN.search(line, at)
                if match is None:
                    break
                at = match.end()
                self._token(match.group())

    def _token(self, token: str) -> None:
        if token == "/*":
            self._comment = True
        elif token == "//":
            self._line_comment = True
        elif token in _END_OF_LITERAL:
            self._literal = token
        elif not self._in_directive and not self._assembler:
            self._depth = max(0, self._depth + (1 if token == "(" else -1))


def renumber(lines: Iterable[Line], assembler: bool = False) -> list[str]:
    """The text of ``lines`` with a ``#line`` directive wherever an unchanged line would have got another number.

    A directive waits for the next line before which it may stand: not inside a comment, a continued line or
    parentheses.  Behind a conditional that holds one it is repeated, as the compiler may have skipped it.
    """
    return [text for text, _moved in _numbered(lines, assembler)]


def mark_moved(lines: Iterable[Line], mark: str, assembler: bool = False) -> list[str]:
    """The text of ``lines`` without directives; ``mark`` is before unchanged lines of code that get another number."""
    numbered = ((text, moved) for text, moved in _numbered(lines, assembler) if not text.startswith(_LINE))
    return [f"{mark} {text}" if moved and not _DIRECTIVE.match(text) else text for text, moved in numbered]


def _numbered(lines: Iterable[Line], assembler: bool) -> Iterator[tuple[str, bool]]:
    """The output of ``renumber``, and whether a line of it is unchanged and yet may have another number than before."""
    scanner = _Scanner(assembler)
    presumed: int | None = 1  # the number that the compiler gives to the next line; None if that depends
    for line in lines:
        if line.origin is not None and line.origin != presumed and scanner.safe:
            yield f"{_LINE}{line.origin}", False
            presumed = line.origin
            for conditional in scanner.conditionals:
                conditional.renumbered = True
        yield line.text, line.origin is not None and line.origin != presumed
        presumed = None if presumed is None else presumed + 1
        if scanner.feed(line.text):
            presumed = None
