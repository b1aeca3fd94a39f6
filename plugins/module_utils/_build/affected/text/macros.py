# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the macros of a kernel's headers can do to a text that has not been expanded."""

from __future__ import annotations

import dataclasses
import re
from typing import Iterable, Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.declarations import (
    TRACE,
    without_attributes,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.source_items import (
    defined,
    definitions,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.graphs import closure
from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json

_WORD = re.compile(rb"[A-Za-z_]\w*")
_QUALIFIERS = frozenset(b"inline __inline __inline__ const __const__ volatile __extension__ __restrict".split())
_CALL = re.compile(rb"\b([A-Za-z_]\w*)\s*\([^()]*\)")
_NOT_WORDS = re.compile(rb"[^\w\s]|\b[0-9]")
_STATEMENT = re.compile(rb"[;{}=]")
_TAG = re.compile(rb"\b(?:struct|union|enum)\b")


@dataclasses.dataclass(frozen=True)
class MacroTable:
    """Names of macros, by what one of their definitions does, through other macros, too.

    ``transparent`` ones are attributes and nothing else; ``emitting`` ones may end a declaration, define something or
    leave a trace in the object that no name leads to; ``callable`` ones have parameters and are no wrapper of a
    function of the same name; ``tagging`` ones define a type.
    """

    transparent: frozenset[bytes]
    emitting: frozenset[bytes]
    callable: frozenset[bytes]
    tagging: frozenset[bytes]

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> MacroTable:
        """The table of the macros that sources define."""
        bodies: dict[bytes, set[bytes]] = {}
        called: set[bytes] = set()
        for text in texts:
            for piece in definitions(text):
                name, parameters, body = defined(piece)
                bodies.setdefault(name, set()).add(body)
                if parameters and name not in _WORD.findall(body):
                    called.add(name)
        words = {name: set().union(*map(_WORD.findall, found)) for name, found in bodies.items()}
        emitting = _closed({n for n, found in bodies.items() if any(map(_emits, found))}, words)
        tagging = _closed({n for n, found in bodies.items() if any(map(_defines_type, found))}, words)
        plain = {n: [_CALL.sub(rb"\1", without_attributes(body)) for body in found] for n, found in bodies.items()}
        left = {name: set().union(*map(_WORD.findall, found)) for name, found in plain.items()}
        kept = {name for name, found in plain.items() if not any(map(_NOT_WORDS.search, found))} - emitting
        known = kept | _QUALIFIERS
        kept -= _closed({name for name in bodies if name not in kept or not left[name] <= known}, left) - _QUALIFIERS
        return cls(frozenset(kept), frozenset(emitting), frozenset(called - kept), frozenset(tagging))

    def extended(self, text: bytes) -> MacroTable:
        """The table with the macros that one more source defines."""
        transparent, emitting = set(self.transparent), set(self.emitting)
        called, tagging = set(self.callable), set(self.tagging)
        for piece in definitions(text):
            name, parameters, body = defined(piece)
            words = set(_WORD.findall(body))
            if _emits(body) or words & emitting:
                emitting.add(name)
                transparent.discard(name)
            if parameters and name not in words and name not in transparent:
                called.add(name)
            if _defines_type(body) or words & tagging:
                tagging.add(name)
        return MacroTable(*map(frozenset, (transparent, emitting, called, tagging)))

    def to_json(self) -> str:
        """The table as JSON, for ``from_json``."""
        return strict_json.exact(
            {k: sorted(n.decode() for n in v) for k, v in dataclasses.asdict(self).items()}
        ).decode()

    @classmethod
    def from_json(cls, text: str) -> MacroTable:
        """The table that ``to_json`` wrote."""
        return cls(
            **{
                key: frozenset(name.encode() for name in names)
                for key, names in strict_json.parse(text.encode()).items()
            }
        )


def _emits(body: bytes) -> bool:
    return TRACE.search(body) is not None or _STATEMENT.search(without_attributes(body)) is not None


def _defines_type(body: bytes) -> bool:
    return b"{" in body and _TAG.search(body) is not None


def _closed(names: set[bytes], words: Mapping[bytes, set[bytes]]) -> set[bytes]:
    """``names``, and the macros that mention one of them, in their turn."""
    users: dict[bytes, list[bytes]] = {}
    for name, found in words.items():
        for word in found & words.keys():
            users.setdefault(word, []).append(name)
    return closure(names, users)
