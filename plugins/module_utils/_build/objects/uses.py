# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a piece, and how: called, read in place, or its address handed out."""

from __future__ import annotations

from collections.abc import Iterator, Set

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Around
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece, Pieces, Reference

# Sections whose entries point to code that runs, or to where it goes on, and are read by the kernel alone; of one
# architecture: ``Architecture.tables_of_places``.
_ABOUT_CODE = (".discard.", "__mcount_loc", "__ex_table", "__bug_table", "__jump_table")


def uses(pieces: Pieces, target: Piece) -> Iterator[tuple[Piece, Reference]]:
    """Every field that means ``target``, with its owner; those of special entries with the code they describe."""
    for piece in pieces.all:
        for references in (pieces.references(piece), *(e.references for e in pieces.entries(piece))):
            for r in references:
                if r.target is target and piece is not target:
                    yield piece, r


def reads_in_place(code: Piece, r: Reference) -> bool:
    """Whether a field of code is the address of an operand in memory, so that the address itself goes nowhere."""
    return r.offset in code.memory_operand_fields


def lets_out(pieces: Pieces, code: Piece, field: Reference, readers: Set[str] = frozenset()) -> bool:
    """Whether the address that ``code`` computes at ``field`` may leave it, or serve to copy what is there.

    ``readers`` are functions that read what they are given, and keep no address of it.  With them, functions of the
    unit itself may copy what they are given; what they do with the address is looked at.
    """
    return code.arch.lets_out(code.data, field.offset, _Within(pieces, readers).around(code))


class _Within:
    """Follows addresses from one function of a unit into another one."""

    def __init__(self, pieces: Pieces, readers: Set[str]) -> None:
        self._pieces, self._readers = pieces, readers
        self._seen: set[tuple[int, int, frozenset[str]]] = set()

    def around(self, code: Piece) -> Around:
        leaving = {r.offset: r for r in self._pieces.references(code) if r.target is not code}
        names = {offset: _name(r) for offset, r in leaving.items()}
        # The first field of an entry says what it is about; where a branch or an exception goes on is in later ones.
        leads: dict[int, set[int]] = {}
        for entry in self._pieces.entries(code):
            if goes_on := {r.meaning for r in entry.references if r.offset and r.target is code}:
                leads.setdefault(entry.offset, set()).update(goes_on)

        def inside(offset: int, registers: frozenset[str]) -> bool:
            return not self._readers or self._inside(code, leaving[offset], registers)

        return Around(names, leads, self._readers, inside)

    def _inside(self, code: Piece, r: Reference, registers: frozenset[str]) -> bool:
        target = r.piece
        if target is None or target.is_weak or not is_branch(code, r):
            return True
        key = (id(target), r.meaning, registers)
        if key in self._seen:
            return False  # what it lets out is found where it was met first
        self._seen.add(key)
        return target.arch.lets_out(target.data, r.meaning, self.around(target), registers)


def _name(r: Reference) -> str:
    """What other units call the target; "" if it has no name for them."""
    if r.piece is not None:
        return r.piece.name if r.piece.is_global and not r.meaning else ""
    return r.target if isinstance(r.target, str) else ""


def is_branch(code: Piece, r: Reference) -> bool:
    """Whether the field is the distance of a call or jump, rather than an address that is computed or stored."""
    if not code.section.is_text or not r.relative or r.size not in (1, 4) or r.meaning != r.addend + r.size:
        return False
    if r.size == 1:
        return True
    return code.arch.ends_with_branch(code.data[: r.offset])


def has_new_landing_mark(pre: Piece, post: Piece) -> bool:
    """Whether the compiler has made a function a target of indirect branches that was none before.

    With indirect branch tracking (``-fcf-protection=branch``) gcc begins with a landing mark what pointers may lead to:
    every function but the static ones whose address its unit does not take.  A pointer to the running one would stop
    the kernel (``exc_control_protection()``).  There is none yet, so pointers to another copy compare equal.
    """
    mark = post.arch.landing_mark
    return post.section.is_text and post.data.startswith(mark) and not pre.data.startswith(mark)


def takers(pieces: Pieces, function: Piece) -> list[Piece]:
    """The pieces that store or compute the address of ``function``, so that others may call it later."""
    found = []
    about_code = (*_ABOUT_CODE, *pieces.object.arch.tables_of_places)
    for owner in pieces.all:
        fields = [r for r in pieces.references(owner) if r.target is function and not is_branch(owner, r)]
        fields += [
            r
            for entry in pieces.entries(owner)
            if not entry.section.name.startswith(about_code)
            for r in entry.references
            if r.target is function and owner is not function
        ]
        if any(r.meaning == 0 for r in fields) and owner is not function:
            found.append(owner)
    return found


def holders(pieces: Pieces, target: Piece | str, borrowers: Set[str]) -> list[Piece]:
    """The pieces that hold the address of ``target``, or whose code may leave it in an object.

    ``borrowers`` are functions that are done with what they are given when they return.  A symbol of another unit is
    given by its name.
    """
    found = []
    about_code = (*_ABOUT_CODE, *pieces.object.arch.tables_of_places)
    for owner in pieces.all:
        if owner is target:
            continue  # an empty list points to itself
        fields = [r for r in pieces.references(owner) if r.target is target or r.target == target]
        if owner.section.is_text:
            fields = [r for r in fields if not reads_in_place(owner, r) and lets_out(pieces, owner, r, borrowers)]
        # The kernel forgets what a module has in the others when the module goes.
        fields += [
            r
            for entry in pieces.entries(owner)
            if not entry.section.name.startswith(about_code)
            for r in entry.references
            if r.target is target or r.target == target
        ]
        if fields:
            found.append(owner)
    return found
