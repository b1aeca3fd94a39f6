# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which names a piece of an unexpanded source is used, and which names a change of it goes by.

The counterpart of declarations.py for what no preprocessor has gone over.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from typing import AbstractSet as Set
from typing import NamedTuple, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.declarations import (
    INLINE,
    names_of,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.macros import MacroTable
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.source_items import (
    Item,
    defined,
    pieces,
)

_WORD = re.compile(rb"[A-Za-z_]\w*")
_CONDITIONS = {b"if", b"ifdef", b"ifndef", b"elif"}
_WITHOUT_EFFECT = {b"error", b"warning", b"undef"}  # a macro that goes away is used by its name or not at all
_INNER = re.compile(rb"^[ \t]*#[ \t]*(\w*)[^\n]*\n?", re.MULTILINE)
_INNER_ALLOWED = {*_CONDITIONS, b"else", b"endif"}
_FORWARD = re.compile(rb"(?:struct|union)\s+\w+\s*;")
# What stands inside of functions, where a header may be included.
_STATEMENT = re.compile(rb"\s*(return|goto|case|else|do|if|for|while|switch|break|continue|default)\b")
_ENUM = re.compile(rb"\benum\b[^{};]*\{([^{}]*)\}")
_VALUE = re.compile(rb"=[^,{}]*")
_ENUMERATOR = re.compile(rb"\s*[A-Za-z_]\w*\s*(=.*)?", re.DOTALL)
# Macros that only declare -> the argument with the name.
_DECLARING = re.compile(
    rb"DECLARE_(?:(?P<last>STATIC_KEY_(?:TRUE|FALSE)|PER_CPU(?:_READ_MOSTLY|_ALIGNED|_SHARED_ALIGNED)?)|"
    rb"(?P<first>STATIC_CALL))\s*\((?P<arguments>[^()]*)\)\s*;"
)
# The compiler uses these without being told to.
_IMPLICIT = {b"memcpy", b"memset", b"memmove", b"memcmp", b"strlen", b"bcmp", b"strcmp", b"abort"}


def names(piece: Item, table: MacroTable) -> frozenset[bytes] | None:
    """By what a source has to use ``piece`` if it is to make a difference to its object.

    None if nothing like that is known; empty if it cannot make a difference.
    """
    if piece.kind in _WITHOUT_EFFECT:
        return frozenset()
    if piece.kind:
        return frozenset({defined(piece)[0]}) if piece.kind == b"define" else None
    head, brace, body = piece.text.partition(b"{")
    if b"#" in head.replace(b"##", b"") or _STATEMENT.match(head) or _FORWARD.fullmatch(piece.text):
        return frozenset() if _FORWARD.fullmatch(piece.text) else None
    if any(match[1] not in _INNER_ALLOWED for match in _INNER.finditer(body)):
        return None
    declaring = _DECLARING.fullmatch(piece.text)
    if declaring:
        arguments = declaring["arguments"].split(b",")
        return frozenset(_WORD.findall(arguments[0 if declaring["first"] else -1]))
    text = _stripped(head, table) + brace + _stripped(_INNER.sub(b"\n", body), table)
    if not table.emitting.isdisjoint(_WORD.findall(text.partition(b"{")[0])) or not _whole(text, table):
        return None
    found = names_of(_ENUM.sub(lambda match: _VALUE.sub(b"", _outer(match.group())), text))
    return None if found is None or not table.callable.isdisjoint(found) else frozenset(found)


def _stripped(text: bytes, table: MacroTable) -> bytes:
    """``text`` without macros that are attributes."""
    gone = table.transparent.intersection(_WORD.findall(text)) - INLINE
    if not gone:
        return text
    return re.sub(rb"\b(?:" + b"|".join(sorted(gone)) + rb")\b(?:\s*\([^()]*\))?(?!\s*\()", b" ", text)


def _whole(text: bytes, table: MacroTable) -> bool:
    """Whether a type's definition shows all the names that it defines."""
    if not text.rstrip().endswith(b";") or b"{" not in text:
        return True
    if not table.tagging.isdisjoint(_WORD.findall(text)):
        return False
    return all(
        _ENUMERATOR.fullmatch(entry) and table.callable.isdisjoint(_WORD.findall(entry.partition(b"=")[0]))
        for entries in _ENUM.findall(text)
        for entry in _outer(entries).split(b",")
        if entry.strip()
    )


def _outer(text: bytes) -> bytes:
    """``text`` without what stands in parentheses."""
    while True:
        shorter = re.sub(rb"\([^()]*\)", b" ", text)
        if shorter == text:
            return text
        text = shorter


@dataclasses.dataclass(frozen=True)
class HeaderChange:
    """The names that a change of headers goes by, those of them that are macros, and the pieces that change.

    ``fresh`` names go by nothing that was there before.  Of them ``appearing`` may be macros where they were none
    before: they were not defined, or under other conditions, at another place, or with parameters that they lost.
    """

    names: frozenset[bytes]
    macros: frozenset[bytes]
    pieces: frozenset[Item]
    fresh: frozenset[bytes] = frozenset()
    appearing: frozenset[bytes] = frozenset()

    def with_other(self, other: HeaderChange) -> HeaderChange:
        """Both changes together."""
        return HeaderChange(
            self.names | other.names,
            self.macros | other.macros,
            self.pieces | other.pieces,
            self.fresh | other.fresh,
            self.appearing | other.appearing,
        )


def change(pre: bytes, post: bytes, table: MacroTable) -> HeaderChange | None:
    """What changes in a header; None if something does that goes by no name."""
    table = table.extended(post)
    ours, theirs = pieces(pre), pieces(post)
    if ours is None or theirs is None:
        return None
    ours, theirs = ([piece for piece in part if piece.kind not in _CONDITIONS] for part in (ours, theirs))
    here, there = Counter(ours), Counter(theirs)
    if [piece for piece in ours if piece in there] != [piece for piece in theirs if piece in here]:
        return None
    before: set[bytes] = set()
    after: set[bytes] = set()
    for piece in here.keys() ^ there.keys():
        of_piece = frozenset({piece.text.split()[0]}) if piece.kind == b"undef" else names(piece, table)
        if of_piece is None or piece.kind in (b"error", b"warning"):
            return None
        (before if piece in here else after).update(of_piece)
    if (before | after) & _IMPLICIT:
        return None
    changed = here.keys() ^ there.keys()
    macros = {(defined(p)[0] if p.kind == b"define" else p.text.split()[0]) for p in changed if p.kind}
    appearing = {row.name for row in _macros(theirs, here.keys()) - _macros(ours, there.keys())}
    appearing |= {piece.text.split()[0] for piece in changed if piece.kind == b"undef" and piece in here}
    fresh = frozenset(after - before | appearing)
    return HeaderChange(frozenset(before | after), frozenset(macros), frozenset(changed), fresh, frozenset(appearing))


class _Macro(NamedTuple):
    """A macro's definition but for its body; ``behind`` how many of the pieces it stands that do not change."""

    name: bytes
    callable: bool
    conditions: tuple[tuple[bytes, ...], ...]
    behind: int


def _macros(found: Sequence[Item], others: Set[Item]) -> set[_Macro]:
    """The macros that are defined in ``found``, and not in the same way in ``others``."""
    rows: set[_Macro] = set()
    common = 0
    for piece in found:
        if piece in others:
            common += 1
        elif piece.kind == b"define":
            name, parameters, _body = defined(piece)
            rows.add(_Macro(name, bool(parameters), piece.conditions, common))
    return rows
