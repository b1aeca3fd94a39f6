# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that macros make of parts with ``##``, so that no file holds them.  Private to rebootless.splice.

What a macro makes is known as far as its definition says: ``bpf_lsm_##NAME`` makes names that begin so.  A macro that
says nothing (``a##b``) is looked at where it is used: one of the words given to it is a part of what it makes there; if
these are parameters of another macro, that is looked at in the same way.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Callable, Iterable, Iterator, Mapping, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.raw_source import (
    DEFINE,
    Piece,
    defined,
    definitions,
    without_comments,
)

_DEFINED = re.compile(rb"^[ \t]*#[ \t]*define[ \t]+(\w+)(?!\w|\()([^\n]*)", re.MULTILINE)
_SHORTEST = 2  # characters that a definition has to give for a name
_LONGEST = 20_000  # bytes of a macro's arguments
_CHAIN = re.compile(rb"\w*(?:\s*##\s*\w*)+")
_VARIADIC = re.compile(rb",\s*##")  # takes a comma away where nothing follows
_TELLING = re.compile(rb"[A-Za-z0-9]")


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


def sites(texts: Mapping[str, bytes], mentioning: Callable[[Iterable[bytes]], Iterable[str]]) -> list[Site]:
    """All places of the sources ``texts`` that make names.

    ``mentioning`` says which of the paths mention one of some words.
    """
    plain = _plain_macros(texts.values())
    found: dict[Site, None] = {}
    silent: dict[bytes, set[int]] = {}  # macros that say nothing -> which of their arguments they use
    for path, text in texts.items():
        if b"##" in text:
            for name, parameters, body in map(defined, definitions(text)):
                known = _parameters(parameters)
                for chain in _CHAIN.findall(_VARIADIC.sub(b",", body)) if b"##" in body else ():
                    parts = [part.strip() for part in chain.split(b"##")]
                    fixed = b"".join(part for part in parts if part not in known)
                    if len(fixed) >= _SHORTEST and _TELLING.search(fixed):
                        pattern = b"".join(rb"(\w*)" if not p or p in known else re.escape(p) for p in parts)
                        found[Site(path, name, pattern)] = None
                    else:
                        _use(silent, name, known, parts)
    direct = frozenset(silent)
    waiting = set(silent)
    while waiting:
        names, waiting = waiting, set()
        for path in mentioning(names):
            for outer, parameters, body in _bodies(without_comments(texts[path])):
                known = _parameters(parameters)
                for macro, arguments in _arguments(body, names, silent):
                    told = [
                        [word] if macro in direct else plain.get(word, [word])
                        for word in sorted(arguments, key=len)
                        if word not in known and re.fullmatch(rb"\w+", word) and _TELLING.search(word)
                    ]
                    if any(told):
                        longest = rb"|".join([words for words in told if words][-1])
                        found[Site(path, outer, rb"\w*(?:" + longest + rb")\w*")] = None
                    elif not outer or not known:
                        found[Site(path, outer, rb"\w*")] = None
                    elif _use(silent, outer, known, re.findall(rb"\w+", b" ".join(arguments))):
                        waiting.add(outer)
    return list(found)


def _plain_macros(texts: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    """Macros without parameters -> themselves and the words that they may be; nothing if they may be more."""
    found: dict[bytes, list[bytes]] = {}
    for text in texts:
        for name, body in _DEFINED.findall(text):
            word = body.strip()
            words = found.setdefault(name, [name])
            if words and word not in words:
                found[name] = [*words, word] if re.fullmatch(rb"\w+", word) else []
    # What they are may be a macro again.
    return {name: words if not any(w in found for w in words[1:]) else [] for name, words in found.items()}


def _parameters(parameters: bytes) -> list[bytes]:
    names = [name.strip() for name in parameters.strip(b"()").split(b",")]
    return [b"__VA_ARGS__" if name == b"..." else name.removesuffix(b"...").strip() for name in names if name]


def _use(silent: dict[bytes, set[int]], macro: bytes, known: list[bytes], words: Iterable[bytes]) -> bool:
    """Notes that a macro makes names of those of its parameters that are ``words``; whether that is news."""
    used = {index for index, name in enumerate(known) if name in set(words)}
    before = silent.get(macro, set())
    silent[macro] = before | used
    return not used <= before


def _bodies(text: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(macro, parameters, body) of what a source defines; then the rest of it, without a macro."""
    for match in DEFINE.finditer(text):
        yield defined(Piece(b"define", match[1], ()))
    yield b"", b"", DEFINE.sub(b"", text)


def _arguments(text: bytes, names: set[bytes], silent: Mapping[bytes, set[int]]) -> Iterator[tuple[bytes, list[bytes]]]:
    """Each use of one of the macros ``names``: which, and the arguments that it makes names of."""
    for match in re.finditer(rb"\b(?:" + b"|".join(names) + rb")\b\s*\(", text):
        name = match.group().rstrip(b"( \t\n")
        arguments, depth, start = [], 1, match.end()
        for mark in re.finditer(rb"[(),]", text[start : start + _LONGEST]):
            depth += {b"(": 1, b")": -1}.get(mark.group(), 0)
            if not depth or (depth == 1 and mark.group() == b","):
                arguments.append(text[start : match.end() + mark.start()])
                start = match.end() + mark.end()
            if not depth:
                break
        yield name, [argument.strip() for index, argument in enumerate(arguments) if index in silent[name]]
