# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which piece of one compilation is which piece of the other.

Names settle most.  What the compiler numbers (static locals: ``count.42``; clones: ``foo.constprop.1``) is paired by
what it is used for: the references of each pair of functions are aligned, and what stands at the same place is the same
thing.  Only what is left after that is paired by order.
"""

from __future__ import annotations

import collections
import difflib
import hashlib
import re
from collections.abc import Iterable

from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_variables import DebugVariables
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import (
    MergedConstant,
    Piece,
    Pieces,
    counterless,
    family,
)

_NUMBER = re.compile(r"\d+")


class Correlation:
    """Pairs of pieces of ``pre`` and ``post``: ``to_post`` and ``to_pre`` map each paired piece to the other."""

    def __init__(self, pre: Pieces, post: Pieces):
        self.pre, self.post = pre, post
        self.to_post: dict[int, Piece] = {}
        self.to_pre: dict[int, Piece] = {}
        self._pair_by_name()
        self._pair_clones()
        self._pair_by_use()
        self._pair_leftovers()

    def post_of(self, piece: Piece) -> Piece | None:
        """The piece of post that is ``piece`` of pre."""
        return self.to_post.get(id(piece))

    def pre_of(self, piece: Piece) -> Piece | None:
        """The piece of pre that is ``piece`` of post."""
        return self.to_pre.get(id(piece))

    def unpaired(self, pieces: Pieces) -> list[Piece]:
        """The pieces of one side that have an identity and no counterpart, in order."""
        paired = self.to_post if pieces is self.pre else self.to_pre
        return [p for p in pieces.all if id(p) not in paired and not p.has_no_identity]

    @property
    def asked_debug_information(self) -> bool:
        """Whether it took debug information to pair what is left after the rest, or would have."""
        return "_known_variables" in self.__dict__

    def part(self, pre: Piece, post: Piece) -> None:
        """Makes a pair two things again: the one goes, the other comes."""
        del self.to_post[id(pre)], self.to_pre[id(post)]

    def _pair(self, pre: Piece, post: Piece) -> None:
        if pre.kind == post.kind and id(pre) not in self.to_post and id(post) not in self.to_pre:
            self.to_post[id(pre)] = post
            self.to_pre[id(post)] = pre

    def _pair_by_name(self) -> None:
        for piece in self.pre.all:
            other = self.post.by_name.get(piece.name)
            if other is None:
                other = next((self.post.by_name[a] for a in piece.aliases if a in self.post.by_name), None)
            if other is None or piece.has_no_identity or other.has_no_identity:
                continue
            if piece.kind == "function" or counterless(piece.name) is None:
                self._pair(piece, other)

    def _pair_clones(self) -> None:
        """Clones whose numbers differ: ``foo.constprop.0`` may be ``foo.constprop.1`` now."""

        def groups(pieces: Pieces) -> dict[str, list[Piece]]:
            found = collections.defaultdict(list)
            for p in self.unpaired(pieces):
                if p.kind == "function" and family(p.name) != p.name:
                    found[family(p.name) + _NUMBER.sub("", p.name[len(family(p.name)) :])].append(p)
            return found

        pre_groups, post_groups = groups(self.pre), groups(self.post)
        for name, ours in pre_groups.items():
            theirs = post_groups.get(name, [])
            by_contents = {self.post.masked(p): p for p in theirs}
            for piece in ours:
                if self.pre.masked(piece) in by_contents:
                    self._pair(piece, by_contents[self.pre.masked(piece)])
            for piece, other in zip(
                [p for p in ours if id(p) not in self.to_post], [p for p in theirs if id(p) not in self.to_pre]
            ):
                self._pair(piece, other)

    def _pair_by_use(self) -> None:
        """Pairs numbered data at the same place of paired functions, then of paired data, until nothing is new."""
        while True:
            before = len(self.to_post)
            for piece in [p for p in self.pre.all if id(p) in self.to_post]:
                self._align(piece, self.to_post[id(piece)])
            if len(self.to_post) == before:
                return

    def _align(self, pre: Piece, post: Piece) -> None:
        ours = [r.target for r in _all_references(self.pre, pre)]
        theirs = [r.target for r in _all_references(self.post, post)]
        if not any(self._is_open(t, self.to_post) for t in ours):
            return
        our_words = [self._word(self.pre, t, self.to_post) for t in ours]
        their_words = [self._word(self.post, t, self.to_pre) for t in theirs]
        matcher = difflib.SequenceMatcher(None, our_words, their_words, autojunk=False)
        for start, other, length in matcher.get_matching_blocks():
            for a, b in zip(ours[start : start + length], theirs[other : other + length]):
                if self._is_open(a, self.to_post) and self._is_open(b, self.to_pre):
                    self._pair(a, b)

    @staticmethod
    def _is_open(target, paired: dict[int, Piece]) -> bool:
        return (
            isinstance(target, Piece)
            and target.kind == "data"
            and not target.has_no_identity
            and id(target) not in paired
            and counterless(target.name) is not None
        )

    def _word(self, pieces: Pieces, target, paired: dict[int, Piece]):
        """What is equal for two targets that may be the same thing."""
        if isinstance(target, str):
            return target
        if isinstance(target, MergedConstant):
            return target.data
        if target.has_no_identity:
            return ("made by gcc", target.kind)
        if id(target) in paired:
            return ("paired", id(target) if paired is self.to_post else id(paired[id(target)]))
        if target.kind == "function":
            return ("function", family(target.name))
        return (counterless(target.name) or target.name, target.lifetime, target.size, _contents(pieces, target))

    def _pair_leftovers(self) -> None:
        """By order: among what the same functions use, then among what the same function declares.

        A function's own constants are paired only among what the same functions use: another function's table of the
        same name is another table.
        """

        def users(pieces: Pieces, p: Piece) -> tuple:
            return counterless(p.name), p.lifetime, tuple(sorted(self._users(pieces).get(id(p), ())))

        self._pair_groups(lambda pieces, p: (*users(pieces, p), p.size), _is_one_message)
        self._pair_groups(users, lambda pieces, p: _is_one_message(pieces, p) or not _is_its_contents(pieces, p))
        self._pair_groups(lambda pieces, p: (self._declared(pieces, p), p.lifetime, p.size), _is_its_contents)
        self._pair_groups(self._declared, _is_its_contents)

    def _pair_groups(self, key, is_left_out) -> None:
        groups: tuple[dict, dict] = (collections.defaultdict(list), collections.defaultdict(list))
        for found, pieces in zip(groups, (self.pre, self.post)):
            for p in self.unpaired(pieces):
                if p.kind == "data" and counterless(p.name) is not None and not is_left_out(pieces, p):
                    found[key(pieces, p)].append(p)
            if not found:
                return
        for name, ours in groups[0].items():
            theirs = groups[1].get(name, [])
            if len(ours) == len(theirs):
                for piece, other in zip(ours, theirs):
                    self._pair(piece, other)

    def _declared(self, pieces: Pieces, piece: Piece) -> tuple:
        """The name, and the function that it is local to: of another function, the same name is another thing."""
        known = self.__dict__.setdefault("_known_variables", {})
        if id(pieces) not in known:
            known[id(pieces)] = DebugVariables(pieces.object.path)
        return counterless(piece.name), known[id(pieces)].owner(piece)

    def _users(self, pieces: Pieces) -> dict[int, set[str]]:
        """Which families of functions refer to each piece of data."""
        known = self.__dict__.setdefault("_known_users", {})
        if id(pieces) not in known:
            users: dict[int, set[str]] = collections.defaultdict(set)
            for piece in pieces.all:
                for r in _all_references(pieces, piece):
                    if isinstance(r.target, Piece) and r.target.kind == "data":
                        users[id(r.target)].add(counterless(family(piece.name)) or family(piece.name))
            known[id(pieces)] = users
        return known[id(pieces)]


def _all_references(pieces: Pieces, piece: Piece) -> Iterable:
    yield from pieces.references(piece)
    for entry in pieces.entries(piece):
        yield from entry.references


def _is_one_message(_pieces: Pieces, piece: Piece) -> bool:
    """Whether it is the site of a message: with another text it is simply another one."""
    return piece.lifetime == "debug site"


def _is_its_contents(pieces: Pieces, piece: Piece) -> bool:
    """Whether little but its contents tells a function's own constant (or message site) from others."""
    if _is_one_message(pieces, piece):
        return True
    return piece.lifetime == "constant" and not piece.is_global and not pieces.references(piece)


def _contents(pieces: Pieces, piece: Piece) -> str:
    """A digest of the bytes of ``piece`` and of the strings it points to."""
    digest = hashlib.sha256(pieces.masked(piece))
    for r in pieces.references(piece):
        digest.update(b"%d %d " % (r.offset, r.meaning))
        if isinstance(r.target, MergedConstant):
            digest.update(r.target.data)
    return digest.hexdigest()
