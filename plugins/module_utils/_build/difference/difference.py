# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre-post differencing: what a patch changes in one optimization unit.  Private to rebootless.splice.

Both objects are compiled with ``-ffunction-sections -fdata-sections``.  Two pieces are equal if their bytes are,
outside of relocated fields, and if each field means the same: the paired piece at the same offset, an equal string or
constant, an undefined symbol of the same name.  What describes code in special sections (alternatives, warnings,
static branches, …) and constants that only gcc names are compared as part of the code that uses them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.constants import COPY, split_copies
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.correlation import Correlation
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import DebugTypes
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_variables import DebugVariables
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.lifetimes import LIVING_CODE
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import (
    R_PC32,
    R_PLT32,
    MergedConstant,
    Piece,
    Pieces,
    Reference,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import (
    is_branch,
    reads_in_place,
    takers,
    uses,
)

# New data that living objects may point to when the update has been reversed.
_POINTED_TO = ("constant", "writable", "ro_after_init")
# Structs that nobody points to while no code of the update runs: locks and counters.
_IN_THEMSELVES = frozenset(
    (
        *("spinlock", "raw_spinlock", "mutex", "rw_semaphore", "seqcount", "seqcount_spinlock", "ratelimit_state"),
        *("static_key", "static_key_true", "static_key_false", "lock_class_key", ""),
    )
)


@dataclasses.dataclass(eq=False)
class Change:
    """One function or one piece of data; ``change`` is ``changed``, ``new`` or ``removed``.

    A changed function's ``pre`` and ``post`` are its main parts; the parts that gcc split off for cold paths are in
    ``pre_parts`` and ``post_parts``.  ``how`` says how changed data is brought about: ``copy`` (only replaced code
    sees it, so that it can be another object), ``exchange`` (its bytes in the running kernel are exchanged;
    ``data_changes.decide`` finds that out), or "" (exchanging code does not bring it about).
    """

    name: str
    change: str
    pre: Piece | None
    post: Piece | None
    pre_parts: list[Piece] = dataclasses.field(default_factory=list)
    post_parts: list[Piece] = dataclasses.field(default_factory=list)
    how: str = ""

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


@dataclasses.dataclass(eq=False)
class Difference:
    """What differs between two compilations of a unit, in the order of the objects; empty lists if nothing does."""

    functions: list[Change]
    data: list[Change]
    correlation: Correlation

    def __bool__(self) -> bool:
        return bool(self.functions or self.data)

    @functools.cached_property
    def types(self) -> tuple[DebugTypes, DebugTypes]:
        """What the debug information of pre and of post says, read from their files when it is first asked for."""
        return DebugTypes(self.correlation.pre.object.path), DebugTypes(self.correlation.post.object.path)

    @functools.cached_property
    def variables(self) -> tuple[DebugVariables, DebugVariables]:
        """The variables of pre and of post, as their debug information describes them."""
        return DebugVariables(self.correlation.pre.object.path), DebugVariables(self.correlation.post.object.path)


@dataclasses.dataclass(eq=False)
class UnitChange:
    """A unit that an update changes.

    ``object_name`` is ``vmlinux`` or the module's name, ``unit`` the object's path in the kernel build, ``pre`` the
    object compiled with the exact flags, ``difference`` what ``compare`` found between the two others.
    ``init_functions`` names those of a module's init code that are to be replaced whenever it is loaded
    (``findings.take_init``).
    """

    object_name: str
    unit: str
    pre: ObjectFile
    difference: Difference
    init_functions: frozenset[str] = frozenset()


def is_living(unit: UnitChange, function: Change) -> bool:
    """Whether a function runs again and again; a module's exit stays in memory, built-in code has none."""
    return function.lifetime in LIVING_CODE or (function.lifetime == "exit" and unit.object_name != "vmlinux")


def is_gone(unit: UnitChange, function: Change) -> bool:
    """Whether what runs again and again from now on was init code, which is not in memory any more."""
    return is_living(unit, function) and function.pre is not None and function.pre.lifetime == "init"


def handed_out(unit: UnitChange, units: Iterable[UnitChange] = ()) -> list[str]:
    """The new functions and data of ``unit`` that objects may point to, and use, after the update is gone.

    Their address is computed or stored by code or data, of the unit itself or of the others in ``units``.  Locks and
    counters do not count: nobody points to them when no code of the update runs.
    """
    post = unit.difference.correlation.post
    found = []
    for change in (*unit.difference.functions, *unit.difference.data):
        if change.change != "new" or change.post is None:
            continue
        if change.post.kind == "function":
            owners = takers(post, change.post) if is_living(unit, change) else []
        elif change.lifetime in _POINTED_TO and not _is_in_itself(unit, change.post):
            owners = [p for p, r in uses(post, change.post) if p.kind != "function" or not reads_in_place(p, r)]
        else:
            continue
        owners = [p for p in owners if p.lifetime != "custom" and (p.lifetime != "init" or unit.init_functions)]
        if owners or (change.post.is_global and _is_taken_elsewhere(change.post, unit, units)):
            found.append(change.name)
    return found


def _is_in_itself(unit: UnitChange, piece: Piece) -> bool:
    return unit.difference.variables[1].type_name(piece) in _IN_THEMSELVES


def _is_taken_elsewhere(piece: Piece, unit: UnitChange, units: Iterable[UnitChange]) -> bool:
    for post in (other.difference.correlation.post for other in units if other is not unit):
        for owner in post.all:
            for r in post.references(owner):
                if (
                    r.target == piece.name
                    and not is_branch(owner, r)
                    and not (piece.kind == "data" and owner.kind == "function" and reads_in_place(owner, r))
                ):
                    return True
    return False


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

    def changes(self) -> tuple[list[Change], list[Change]]:
        functions: dict[str, Change] = {}
        data: list[Change] = [
            Change(post.name, "changed", pre, post, how=COPY) for pre, post in split_copies(self.correlation)
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
        for change in functions.values():
            self._complete(change)
        used = _Use(self.pre), _Use(self.post)
        return list(functions.values()), [d for d in data if _matters(d, used)]

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

    def _complete(self, change: Change) -> None:
        for pieces, main, parts in (
            (self.pre, change.pre, change.pre_parts),
            (self.post, change.post, change.post_parts),
        ):
            if main is not None:
                parts += [p for p in pieces.all if p.kind == "function" and main_part(p.name) == (main.name, True)]

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


def _kind(r: Reference) -> int:
    return R_PC32 if r.type == R_PLT32 else r.type


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
