# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read-only view of a match program (kmod/matcher/match.h, docs/formats.md).

For messages and for looking names up; whether a program is well formed is for ``Matcher.check`` to say.
"""

from __future__ import annotations

import functools
import struct
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

MAGIC, VERSION = b"RBLMATCH", 1
NONE = 0xFFFFFFFF
SECTION_TEXT, SECTION_COMPARED = 1, 2
SYMBOL_GLOBAL, SYMBOL_LOCAL, SYMBOL_LITERAL = 0, 1, 2
SYMBOL_NEEDED, SYMBOL_KALLSYMS = 1, 2
PLACE_KINDS = (
    "relocated field",
    "ftrace entry site",
    "return thunk",
    "retpoline",
    "static call",
    "static branch",
    "alternative",
    "paravirt call",
    "lock prefix",
    "endbr64",
    "call thunk",
    "several mechanisms",
)

HEADER = struct.Struct("<8sIIII14I")
ROWS = {
    "sections": struct.Struct("<8I"),
    "symbols": struct.Struct("<IIHHIQII"),
    "places": struct.Struct("<IHHII"),
    "contents": struct.Struct("<IIII"),
    "relocs": struct.Struct("<HHIq"),
}


class ProgramSection(t.NamedTuple):
    """A row of ``struct rbl_section`` with its strings in place; ``bytes`` is an offset in the pool."""

    object: str
    unit: str
    name: str
    flags: int
    size: int
    bytes: int
    first_place: int
    n_places: int

    @property
    def compared(self) -> bool:
        return bool(self.flags & SECTION_COMPARED)


class ProgramSymbol(t.NamedTuple):
    """A row of ``struct rbl_symbol`` with its strings in place."""

    name: str
    object: str
    kind: int
    flags: int
    section: int
    offset: int
    size: int

    @property
    def in_symbol_table(self) -> bool:
        """Whether a target's symbol table may know it."""
        return bool(self.name) and (self.kind == SYMBOL_GLOBAL or bool(self.flags & SYMBOL_KALLSYMS))


class ProgramPlace(t.NamedTuple):
    """A row of ``struct rbl_place``."""

    offset: int
    length: int
    kind: int
    first_content: int
    n_contents: int


class ProgramContent(t.NamedTuple):
    """A row of ``struct rbl_content``."""

    bytes: int
    first_reloc: int
    n_relocs: int


class Reloc(t.NamedTuple):
    """A row of ``struct rbl_reloc``."""

    offset: int
    type: int
    symbol: int
    addend: int


class Program:
    """The tables of a match program as lists of rows, and ``pool``, its bytes.

    Raises ``RebootlessError`` (``bad_program``) if they cannot be read.
    """

    def __init__(self, blob: bytes) -> None:
        self.blob = blob
        try:
            header = HEADER.unpack_from(blob)
            if header[0] != MAGIC or header[1] != VERSION:
                raise ValueError("it does not begin like one of this version")
            tables = dict(zip((*ROWS, "strings", "bytes"), zip(header[5::2], header[6::2])))
            self._strings = self._bytes_of(*tables["strings"])
            self.pool = self._bytes_of(*tables["bytes"])
            self._tables = {
                name: self._bytes_of(tables[name][0], tables[name][1] * row.size) for name, row in ROWS.items()
            }
            text = self._string
            self.sections = [
                ProgramSection(text(a), text(b), text(c), *rest) for a, b, c, *rest in self._rows("sections")
            ]
            self.symbols = [ProgramSymbol(text(a), text(b), *rest[:5]) for a, b, *rest in self._rows("symbols")]
            if not all(map(self._can_be_described, self.symbols)):
                raise ValueError("a symbol of it is nowhere")
        except (struct.error, ValueError) as error:
            raise RebootlessError(
                "bad_program",
                f"The match program is damaged or of another format version: {error}.",
                "Build the update again, or copy its package to the host again.",
            ) from error

    def _bytes_of(self, offset: int, size: int) -> bytes:
        if offset + size > len(self.blob):
            raise ValueError("it is truncated")
        return self.blob[offset : offset + size]

    def _rows(self, table: str) -> t.Iterator[tuple]:
        return ROWS[table].iter_unpack(self._tables[table])

    def _string(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(b"\0", offset)].decode("utf-8", "replace")

    def _can_be_described(self, symbol: ProgramSymbol) -> bool:
        if symbol.kind == SYMBOL_LOCAL:
            return symbol.section < len(self.sections)
        return symbol.kind == SYMBOL_LITERAL or symbol.name != ""

    @functools.cached_property
    def places(self) -> list[ProgramPlace]:
        return [ProgramPlace(*row) for row in self._rows("places")]

    @functools.cached_property
    def contents(self) -> list[ProgramContent]:
        return [ProgramContent(*row[:3]) for row in self._rows("contents")]

    @functools.cached_property
    def relocs(self) -> list[Reloc]:
        return [Reloc(*row) for row in self._rows("relocs")]

    def places_of(self, section: ProgramSection) -> list[ProgramPlace]:
        return self.places[section.first_place : section.first_place + section.n_places]

    def contents_of(self, place: ProgramPlace) -> list[ProgramContent]:
        return self.contents[place.first_content : place.first_content + place.n_contents]

    def relocs_of(self, content: ProgramContent) -> list[Reloc]:
        return self.relocs[content.first_reloc : content.first_reloc + content.n_relocs]

    def content_bytes(self, place: ProgramPlace, content: ProgramContent) -> bytes:
        return self.pool[content.bytes : content.bytes + place.length]

    def section_bytes(self, section: ProgramSection) -> bytes:
        """Its pre bytes; empty if it is not compared."""
        return self.pool[section.bytes : section.bytes + section.size] if section.compared else b""

    def symbol_at(self, section: int, offset: int) -> tuple[str, int] | None:
        """Name of the nearest symbol at or before ``offset`` of a section, and the offset from it."""
        here = [s for s in self.symbols if s.kind == SYMBOL_LOCAL and s.section == section and s.name]
        nearest = max((s for s in here if s.offset <= offset), key=lambda s: s.offset, default=None)
        return (nearest.name, offset - nearest.offset) if nearest else None

    def describe(self, symbol: int) -> str:
        """A symbol for messages: its name, the literal that it stands for, or its place in a section."""
        row = self.symbols[symbol]
        if row.kind == SYMBOL_LITERAL:
            return f"literal {self.pool[row.offset : row.offset + row.size]!r}"
        if row.name:
            return row.name
        section = self.sections[row.section]
        return f"{section.unit} {section.name}+{row.offset:#x}"
