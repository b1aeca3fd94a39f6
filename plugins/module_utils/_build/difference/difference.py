# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre-post differencing: what a patch changes in one optimization unit.

Both objects are compiled with ``-ffunction-sections -fdata-sections``.  Two pieces are equal if their bytes are,
outside of relocated fields, and if each field means the same: the paired piece at the same offset, an equal string or
constant, an undefined symbol of the same name.  What describes code in special sections (alternatives, warnings, static
branches, …) and constants that only gcc names are compared as part of the code that uses them.
"""

from __future__ import annotations

import dataclasses
import functools

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.constants import split_copies
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.correlation import Correlation
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import DebugTypes
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_variables import DebugVariables
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.lifetimes import LIVING_CODE
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import (
    MergedConstant,
    Piece,
    Pieces,
    Reference,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Change:
    """One function or one piece of data; ``change`` is ``changed``, ``new`` or ``removed``.

    A changed function's ``pre`` and ``post`` are its main parts; the parts that gcc split off for cold paths are in
    ``pre_parts`` and ``post_parts``.  ``is_parted``: a constant of which ``pre`` and ``post`` can be two objects
    (``split_copies``), so that the correlation does not pair them any more.
    """

    name: str
    change: str
    pre: Piece | None
    post: Piece | None
    pre_parts: tuple[Piece, ...] = ()
    post_parts: tuple[Piece, ...] = ()
    is_parted: bool = False

    pre_size = property(lambda self: self.pre.size if self.pre else 0)
    post_size = property(lambda self: self.post.size if self.post else 0)

    @property
    def lifetime(self) -> str:
        """Of the contents: see ``lifetimes``."""
        return self.piece.lifetime

    @property
    def piece(self) -> Piece:
        """The one of post, if there is one, else that of pre."""
        piece = self.post or self.pre
        if piece is None:
            raise ValueError("a pair of no pieces")
        return piece

    @property
    def is_constant_of_one_size(self) -> bool:
        """Whether it is a changed constant that takes as much room as before."""
        if self.pre is None or self.post is None or self.is_parted:
            return False
        return self.pre.lifetime == self.post.lifetime == "constant" and self.pre_size == self.post_size


@dataclasses.dataclass(frozen=True, eq=False)
class Difference:
    """What differs between two compilations of a unit, in the order of the objects; empty if nothing does."""

    functions: tuple[Change, ...]
    data: tuple[Change, ...]
    correlation: Correlation

    def __bool__(self) -> bool:
        return bool(self.functions or self.data)

    @functools.cached_property
    def types(self) -> tuple[DebugTypes, DebugTypes]:
        """The types in the DWARF of pre and of post, read from their files when they are first asked for."""
        return DebugTypes(self.correlation.pre.object.path), DebugTypes(self.correlation.post.object.path)

    @functools.cached_property
    def variables(self) -> tuple[DebugVariables, DebugVariables]:
        """The variables of pre and of post, as their DWARF describes them."""
        return DebugVariables(self.correlation.pre.object.path), DebugVariables(self.correlation.post.object.path)


@dataclasses.dataclass(frozen=True, eq=False)
class UnitChange:
    """A unit that an update changes.

    ``object_name`` is ``vmlinux`` or the module's name, ``unit`` the object's path in the kernel build, ``pre`` the
    object compiled with the exact flags, ``difference`` what ``compare`` found between the two others.
    """

    object_name: str
    unit: str
    pre: ObjectFile
    difference: Difference


def is_living(unit: UnitChange, function: Change) -> bool:
    """Whether a function runs again and again; a module's exit stays in memory, built-in code has none."""
    return function.lifetime in LIVING_CODE or (function.lifetime == "exit" and unit.object_name != "vmlinux")


def is_gone(unit: UnitChange, function: Change) -> bool:
    """Whether what runs again and again from now on was init code, which is not in memory any more."""
    return is_living(unit, function) and function.pre is not None and function.pre.lifetime == "init"


def compare(pre: ObjectFile, post: ObjectFile) -> Difference:
    """The differences between two objects of the same unit, both compiled with a section for each symbol.

    Raises ``RebootlessError`` (``bad_object``) for an object whose references cannot be told.
    """
    correlation = Correlation(Pieces(pre), Pieces(post))
    return Difference(*_Comparison(correlation).changes(), correlation)


class _Comparison:
    def __init__(self, correlation: Correlation):
        self.correlation = correlation
        self.pre, self.post = correlation.pre, correlation.post
        self.known: dict[tuple[int, int], bool] = {}

    def changes(self) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
        functions: dict[str, Change] = {}
        data: list[Change] = [
            Change(post.name, "changed", pre, post, is_parted=True) for pre, post in split_copies(self.correlation)
        ]
        copies = {id(piece) for change in data for piece in (change.pre, change.post)}
        for piece in self.pre.all:
            other = self.correlation.post_of(piece)
            if other is None:
                if not piece.has_no_identity and id(piece) not in copies:
                    self._note(piece, None, functions, data)
            elif not self.same(piece, other):
                self._note(piece, other, functions, data)
        for piece in [p for p in self.correlation.unpaired(self.post) if id(p) not in copies]:
            self._note(None, piece, functions, data)
        used = _Use(self.pre), _Use(self.post)
        return tuple(map(self._with_parts, functions.values())), tuple(d for d in data if _matters(d, used))

    def _note(self, pre: Piece | None, post: Piece | None, functions: dict[str, Change], data: list[Change]) -> None:
        """Adds the change of one piece; a cold part that changed, came or went changes the function it belongs to."""
        pre, post = _main_piece(self.pre, pre), _main_piece(self.post, post)
        if pre is None and post is not None:
            pre = self.correlation.pre_of(post)
        elif post is None and pre is not None:
            post = self.correlation.post_of(pre)
        piece = pre or post
        if piece is None:
            raise ValueError("a change of no piece")
        change = Change(piece.name, "changed" if pre and post else "new" if post else "removed", pre, post)
        if piece.kind == "function":
            functions.setdefault(piece.name, change)
        else:
            data.append(change)

    def _with_parts(self, change: Change) -> Change:
        """A function's change with the parts that gcc split off: ``foo.cold`` of ``foo``."""
        pre, post = (
            tuple(p for p in pieces.all if main and p.kind == "function" and main_part(p.name) == (main.name, True))
            for pieces, main in ((self.pre, change.pre), (self.post, change.post))
        )
        return dataclasses.replace(change, pre_parts=pre, post_parts=post)

    def same(self, a: Piece, b: Piece) -> bool:
        """Whether two pieces say the same; pieces that refer to each other in a circle do unless something differs."""
        key = (id(a), id(b))
        if key not in self.known:
            self.known[key] = True
            self.known[key] = (
                self.pre.masked(a) == self.post.masked(b)
                and a.section.is_writable == b.section.is_writable
                and a.lifetime == b.lifetime
                and self._same_references(self.pre.references(a), self.post.references(b))
                and self._same_entries(a, b)
            )
        return self.known[key]

    def _same_references(self, ours: list[Reference], theirs: list[Reference]) -> bool:
        return len(ours) == len(theirs) and all(self._same_reference(x, y) for x, y in zip(ours, theirs))

    def _same_reference(self, x: Reference, y: Reference) -> bool:
        if (x.offset, x.size, x.relative, _kind(x)) != (y.offset, y.size, y.relative, _kind(y)):
            return False
        if x.meaning != y.meaning or type(x.target) is not type(y.target):
            return False
        if isinstance(x.target, MergedConstant) and isinstance(y.target, MergedConstant):
            return x.target.data == y.target.data
        if x.piece is None or y.piece is None:
            return x.target == y.target
        if x.piece.has_no_identity and y.piece.has_no_identity:
            return self.same(x.piece, y.piece)
        return self.correlation.post_of(x.piece) is y.piece

    def _same_entries(self, a: Piece, b: Piece) -> bool:
        ours, theirs = self.pre.entries(a), self.post.entries(b)
        return len(ours) == len(theirs) and all(
            x.section.name == y.section.name
            and x.offset == y.offset
            and x.data == y.data
            and self._same_references(x.references, y.references)
            for x, y in zip(ours, theirs)
        )


def _kind(r: Reference) -> int | None:
    return r.type.field


def main_part(name: str) -> tuple[str, bool]:
    """The function whose cold part ``name`` is, and whether it is one."""
    main, dot, rest = name.rpartition(".cold")
    return (main, True) if dot and (not rest or rest[1:].isdigit()) else (name, False)


def _main_piece(pieces: Pieces, piece: Piece | None) -> Piece | None:
    """The function that ``piece`` is a cold part of, else ``piece``."""
    if piece is None or piece.kind != "function":
        return piece
    name, is_part = main_part(piece.name)
    return pieces.by_name.get(name, piece) if is_part else piece


class _Use:
    """Which pieces are referred to by what matters at run time."""

    def __init__(self, pieces: Pieces):
        self.used = set()
        for piece in pieces.all:
            for owner in (pieces.references(piece), *(e.references for e in pieces.entries(piece))):
                self.used |= {id(r.target) for r in owner if isinstance(r.target, Piece) and r.target is not piece}


def _matters(change: Change, used: tuple[_Use, _Use]) -> bool:
    """Data that nothing refers to (records for tools) makes no difference, unless others can refer to it by name."""
    if any(p is not None and (p.is_global or p.lifetime == "registered") for p in (change.pre, change.post)):
        return True
    return any(piece is not None and id(piece) in use.used for piece, use in zip((change.pre, change.post), used))
