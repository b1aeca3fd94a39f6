# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which places may make a name by token pasting, ``##`` (token_pasting.py finds them)."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import AbstractSet as Set
from typing import Iterable, Iterator, Sequence

ANY = rb"\w*"
PART = rb"(\w*)"


@dataclasses.dataclass(frozen=True)
class Site:
    """A place that makes names that match ``pattern``: in ``path``, by ``macro`` (empty: outside of macros).

    The groups of ``pattern`` are words that the macro is given, or that are made, too.
    """

    path: str
    macro: bytes
    pattern: bytes

    def to_row(self) -> list[str]:
        """For ``from_row``."""
        return [self.path, self.macro.decode(), self.pattern.decode()]

    @classmethod
    def from_row(cls, row: Sequence[str]) -> Site:
        """The site that ``to_row`` described."""
        return cls(row[0], row[1].encode(), row[2].encode())

    def splits(self, name: bytes) -> Iterator[tuple[bytes, ...]]:
        """The parts that would have to be given to make ``name``, each way in which it can be made."""
        first, *literals = self._literals
        if not literals:
            if self._plain.fullmatch(name):
                yield ()
        elif name.startswith(first) and name.endswith(literals[-1]):
            yield from _splits(name[len(first) :], literals)

    def concerns(self, name: bytes) -> bool:
        """Whether ``name``, or a part of it, may be made here."""
        if len(self._literals) > 1:
            return all(literal in name for literal in self._literals)
        return self._plain.fullmatch(name) is not None

    @functools.cached_property
    def _literals(self) -> list[bytes]:
        return self.pattern.split(PART)

    @functools.cached_property
    def _plain(self) -> re.Pattern[bytes]:
        return re.compile(self.pattern)


def _splits(name: bytes, literals: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    """What stands before each of ``literals``, of which the last one ends ``name``."""
    literal, further = literals[0], literals[1:]
    if not further:
        if name.endswith(literal):
            yield (name.removesuffix(literal),)
        return
    at = name.find(literal)
    while at >= 0:
        for rest in _splits(name[at + len(literal) :], further):
            yield (name[:at], *rest)
        at = name.find(literal, at + 1)


class Makers:
    """Which of ``sites`` may make a name, of ``words`` and of what they make.

    What a source makes only counts for itself, if it is none of ``shared`` (those that others include).
    """

    def __init__(self, made: Iterable[Site], words: Set[bytes], shared: Set[str]) -> None:
        self._words = words
        self._everywhere: list[Site] = []
        self._own: dict[str, list[Site]] = {}
        for site in made:
            if site.path in shared:
                self._everywhere.append(site)
            else:
                self._own.setdefault(site.path, []).append(site)
        self._known: dict[tuple[bytes, str], bool] = {}

    def of(self, name: bytes) -> list[Site]:
        """The sites that may make ``name``; of a source that has to make a part of it first, that source."""
        sources = [path for path, own in self._own.items() if any(site.concerns(name) for site in own)]
        found = [site for path in sources for site in self._own[path] if self._makes(site, name, path)]
        for site in self._everywhere:
            if self._makes(site, name, ""):
                found.append(site)
            elif any(True for _parts in site.splits(name)):
                found += [Site(path, b"", site.pattern) for path in sources if self._makes(site, name, path)]
        return found

    def _makes(self, site: Site, name: bytes, path: str) -> bool:
        """Whether a site makes ``name`` of what there is in a source (none: everywhere)."""
        return any(all(self._given(part, path) for part in parts) for parts in site.splits(name))

    def _given(self, part: bytes, path: str) -> bool:
        """Whether a macro may be given ``part``: a word, or what is made in its turn, and so on."""
        if not part or part in self._words:
            return True
        key = (part, path)
        if key not in self._known:
            there = (*self._everywhere, *self._own.get(path, ()))
            # Each part is shorter than what is made of it, so this ends.
            self._known[key] = any(self._makes(site, part, path) for site in there)
        return self._known[key]
