# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that macros make of parts with ``##``, so that no file holds them.

What a macro makes is known as far as its definition says: ``bpf_lsm_##NAME`` makes names that begin so.  A macro that
says nothing (``a##b``) is looked at where it is used: one of the words given to it is a part of what it makes there; if
these are parameters of another macro, that is looked at in the same way.  Where nothing can be said of what is given to
it, any name may be made.
"""

from __future__ import annotations

import dataclasses
import re
from typing import AbstractSet as Set
from typing import Callable, Iterable, Iterator, Mapping, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.macro_text import (
    OPENING,
    is_no_call,
    macro_bodies,
    macro_parameters,
    plain_macros,
    split_arguments,
    without_commas,
    without_literals,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.pasted_names import (
    ANY,
    PART,
    Makers,
    Site,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.source_items import (
    defined,
    definitions,
    without_comments,
)

_SHORTEST = 2  # characters that a definition has to give for a name
_CHAIN = re.compile(rb"\w*(?:\s*##\s*\w*)+")
_TELLING = re.compile(rb"[A-Za-z0-9]")
_WORD = re.compile(rb"\w+")
_WORDS = re.compile(rb"[\w\s*]*\w[\w\s*]*")
_CALL = re.compile(rb"(\w+)\s*\(")
# What the preprocessor replaces without a definition in a source, and what the makefiles define.
_BUILT_IN = re.compile(rb"__(?:LINE|COUNTER|INCLUDE_LEVEL)__|_*KBUILD_\w+")


@dataclasses.dataclass(frozen=True)
class _Chain:
    """A name that a macro makes of nothing but its arguments, by their numbers, in their order.

    ``first``: the name begins with the first of them; ``last``: it ends with the last.  ``literal``: it is made of them
    as they are written, not of what they are if they are macros.
    """

    arguments: tuple[int, ...]
    first: bool
    last: bool
    literal: bool


def sites(
    texts: Mapping[str, bytes], mentioning: Callable[[Iterable[bytes]], Iterable[str]], words: Set[bytes]
) -> list[Site]:
    """All places of the sources ``texts``, whose words are ``words``, that make names.

    ``mentioning`` says which of the paths mention one of some words.
    """
    return _Search(texts, mentioning, words).run()


class _Search:
    """``silent`` macros say nothing of the names that they make; ``impure`` ones are more than one such name."""

    def __init__(
        self, texts: Mapping[str, bytes], mentioning: Callable[[Iterable[bytes]], Iterable[str]], words: Set[bytes]
    ) -> None:
        self._texts = texts
        self._mentioning = mentioning
        self._words = words
        self._plain = plain_macros(texts.values())
        self._found: dict[Site, None] = {}
        # The sites whose names may be called -> what the macro there has for parameters, and what follows.
        self._called: dict[Site, list[tuple[Mapping[bytes, int], bytes]]] = {}
        self._silent: dict[bytes, set[_Chain]] = {}
        self._impure: set[bytes] = set()

    def run(self) -> list[Site]:
        """The places."""
        macros: dict[str, list[tuple[bytes, Mapping[bytes, int], bytes]]] = {}
        for path, text in self._texts.items():
            if b"##" in text:
                for name, listed, body in map(defined, definitions(text)):
                    if b"##" in body:
                        self._definition(path, name, macro_parameters(listed), without_commas(body))
        before, kept, called = -1, dict(self._found), dict(self._called)
        plain: dict[str, bytes] = {}
        while before != (before := self._known()):
            self._found, self._called = dict(kept), dict(called)
            for path in self._mentioning(self._silent):
                if path not in macros:
                    macros[path], plain[path] = macro_bodies(without_literals(without_comments(self._texts[path])))
            wanted = re.compile(rb"\b(?:" + b"|".join(self._silent) + rb")\b")
            for path, bodies in macros.items():
                for outer, parameters, body in bodies:
                    self._body(path, outer, parameters, body, wanted)
        for path, body in plain.items():
            self._body(path, b"", {}, body, wanted)
        # A name that is made may be that of such a macro.
        makers = Makers(list(self._found), self._words, self._texts.keys())
        ending: set[bytes] = set()
        for name in self._silent:
            for site in makers.of(name):
                for known, rest in self._called.get(site, ()) if name != site.macro else ():
                    if not rest.strip():
                        ending.add(site.macro)
                    self._found.update((Site(site.path, site.macro, m), None) for m in self._call(name, known, rest))
        self._ended(ending)
        return list(self._found)

    def _ended(self, macros: Set[bytes]) -> None:
        """Where the name that one of ``macros`` makes is followed by arguments, any name may be made."""
        wanted = re.compile(rb"\b(?:" + b"|".join(macros) + rb")\b")
        for path in self._mentioning(macros) if macros else ():
            found, rest = macro_bodies(without_comments(self._texts[path]))
            for outer, body in [*((outer, body) for outer, _parameters_there, body in found), (b"", rest)]:
                for match in wanted.finditer(body):
                    _arguments, end = split_arguments(body, match.end())
                    after = body[end or match.end() :]
                    if OPENING.match(after) or (outer and not after.strip()):
                        self._found[Site(path, outer, ANY)] = None

    def _known(self) -> int:
        """Grows with what is known of macros."""
        return len(self._impure) + sum(map(len, self._silent.values()))

    def _definition(self, path: str, name: bytes, known: Mapping[bytes, int], body: bytes) -> None:
        for match in _CHAIN.finditer(body):
            parts = [part.strip() for part in match.group().split(b"##")]
            fixed = b"".join(part for part in parts if part not in known)
            if len(fixed) >= _SHORTEST and _TELLING.search(fixed):
                pattern = b"".join(PART if not p or p in known else re.escape(p) for p in parts)
                self._add(path, name, pattern, known, body[match.end() :])
            elif any(part in known for part in parts):
                numbers = tuple(known[part] for part in parts if part in known)
                self._note(name, _Chain(numbers, parts[0] in known, parts[-1] in known, True))

    def _body(
        self, path: str, outer: bytes, known: Mapping[bytes, int], body: bytes, wanted: re.Pattern[bytes]
    ) -> None:
        """Looks at what is made in a macro's body, or outside of macros."""
        chain = _CHAIN.fullmatch(body) if outer else None
        pure = chain is not None and all(part.strip() in known for part in body.split(b"##"))
        for match in wanted.finditer(body):
            macro = match.group()
            if macro in known or macro == outer:
                continue  # a parameter of that name; no macro is expanded in its own body
            if is_no_call(body, match.end()):
                continue
            arguments, end = split_arguments(body, match.end())
            if not end and outer and not known and body == macro:
                for same in list(self._silent[macro]):
                    self._note(outer, same)
            elif not end:
                self._found[Site(path, outer, ANY)] = None
            for each in list(self._silent[macro]) if end else ():
                pattern, carried = self._made(each, arguments, known)
                if pattern:
                    self._add(path, outer, pattern, known, body[end:] if macro not in self._impure else b";")
                elif carried:
                    self._note(outer, carried)
                    pure = pure or (not match.start() and end == len(body) and macro not in self._impure)
        if outer in self._silent and not pure:
            self._impure.add(outer)

    def _add(self, path: str, macro: bytes, pattern: bytes, known: Mapping[bytes, int], rest: bytes) -> None:
        """Adds a site; ``rest`` is what follows what is made there."""
        site = Site(path, macro, pattern)
        self._found[site] = None
        if OPENING.match(rest) or (macro and not rest.strip()):
            self._called[site] = [*self._called.get(site, ()), (known, rest)]

    def _call(self, macro: bytes, known: Mapping[bytes, int], rest: bytes) -> Iterator[bytes]:
        """The patterns of what ``macro`` makes of the arguments that follow its name."""
        arguments, _end = split_arguments(rest, 0)
        for chain in self._silent[macro]:
            pattern, carried = self._made(chain, arguments, known)
            if pattern or carried:
                yield pattern or ANY

    def _made(
        self, chain: _Chain, arguments: Sequence[bytes], known: Mapping[bytes, int]
    ) -> tuple[bytes, _Chain | None]:
        """The pattern of what is made; if it is made of parameters alone no pattern, but how."""
        if any(number >= len(arguments) for number in chain.arguments):
            return b"", None  # no call of this macro
        every = [_argument(arguments, number) for number in chain.arguments]
        given = [argument for argument in every if argument]
        # Where one is empty, something else of the macro may be at that end.
        first, last = chain.first and every[0] != b"", chain.last and every[-1] != b""
        if not given or (first and given[0][:1].isdigit()):
            return b"", None  # nothing, or a number
        told: list[list[bytes]] = []
        carried: list[int] = []
        head = tail = None
        for number, argument in enumerate(given):
            before = len(told)
            self._tell(argument, chain.literal, known, told, carried)
            if _WORD.fullmatch(argument) and len(told) > before:
                head = told[before] if not number and first else head
                tail = told[before] if number == len(given) - 1 and last else tail
        longest = max(told, key=_least, default=[])
        if longest and (_least(longest) >= _SHORTEST or not carried):
            words = b"(?:" + b"|".join(longest) + b")"
            whole = len(every) == 1  # else there is more than this
            return (
                (b"" if longest is head else ANY)
                + words
                + (b"" if longest is tail and (whole or tail is not head) else ANY)
            ), None
        if carried:
            ends = first and given[0] in known, last and given[-1] in known
            return b"", _Chain(tuple(carried), *ends, False)
        return ANY, None

    def _tell(
        self, argument: bytes, literal: bool, known: Mapping[bytes, int], told: list[list[bytes]], carried: list[int]
    ) -> None:
        """Adds what is certain to be a part of the name: the words that ``argument`` may be, or a parameter."""
        if argument in known:
            carried.append(known[argument])
        elif _CHAIN.fullmatch(argument):
            parts = [part.strip() for part in argument.split(b"##")]
            carried += [known[part] for part in parts if part in known]
            told += [[part] for part in parts if part not in known and _TELLING.search(part)]
        elif _WORDS.fullmatch(argument):
            # One of them becomes a part of the name: the one beside the ##.
            found = [self._expanded(word, literal) for word in _WORD.findall(argument) if word not in known]
            if all(found) and known.keys().isdisjoint(_WORD.findall(argument)):
                told.append(sorted(set().union(*found)))
        elif not literal and (call := _CALL.match(argument)) and call[1] not in self._impure:
            chains = self._silent.get(call[1], set())
            arguments, end = split_arguments(argument, call.end(1))
            if len(chains) == 1 and end == len(argument):
                [inner] = chains
                for number in inner.arguments:
                    self._tell(_argument(arguments, number), inner.literal, known, told, carried)

    def _expanded(self, word: bytes, literal: bool) -> list[bytes]:
        """What a word that a macro is given may be; nothing if that is not known."""
        words = [word]
        if not literal:
            words = [] if _BUILT_IN.fullmatch(word) else self._plain.get(word, words)
        return words if all(map(_TELLING.search, words)) else []

    def _note(self, macro: bytes, chain: _Chain) -> None:
        self._silent.setdefault(macro, set()).add(chain)


def _least(words: Sequence[bytes]) -> int:
    return min(map(len, words))


def _argument(arguments: Sequence[bytes], number: int) -> bytes:
    if number < 0:  # all that follows
        return b",".join(arguments[-number - 1 :]).strip()
    return arguments[number] if number < len(arguments) else b""
