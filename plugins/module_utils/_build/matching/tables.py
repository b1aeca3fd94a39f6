# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a match program and their binary form (``kmod/matcher/match.h``).

Every table holds a row only once: equal contents, relocation lists, byte strings and names are shared.
"""

from __future__ import annotations

import zlib

from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import (
    HEADER,
    MAGIC,
    NONE,
    ROWS,
    SYMBOL_LITERAL,
    VERSION,
)


class Tables:
    """Rows under construction; methods return the index of the row they made or found."""

    def __init__(self) -> None:
        self._sections: list[list[int]] = []
        self._symbols: list[list[int]] = []
        self._places: list[tuple] = []
        self._contents: list[tuple] = []
        self._relocs: list[tuple] = []
        self._strings = bytearray(b"\0")
        self._bytes = bytearray()
        self._string_at: dict[str, int] = {"": 0}
        self._bytes_at: dict[bytes, int] = {}
        self._relocs_at: dict[tuple, int] = {}
        self._contents_at: dict[tuple, int] = {}

    def section(self, object_name: str, unit: str, name: str, flags: int, size: int, data: bytes | None) -> int:
        """A row of ``struct rbl_section``; ``data`` is None for one that is not compared."""
        names = [self._string(text) for text in (object_name, unit, name)]
        self._sections.append([*names, flags, size, NONE if data is None else self._pool(data), 0, 0])
        return len(self._sections) - 1

    def symbol(
        self, kind: int, name: str = "", object_name: str = "", section: int = NONE, offset: int = 0, size: int = 0
    ) -> int:
        """A row of ``struct rbl_symbol``."""
        self._symbols.append([self._string(name), self._string(object_name), kind, 0, section, offset, size, 0])
        return len(self._symbols) - 1

    def literal(self, data: bytes) -> int:
        """A LITERAL symbol."""
        return self.symbol(SYMBOL_LITERAL, offset=self._pool(data), size=len(data))

    def flag_symbol(self, symbol: int, flags: int) -> None:
        """Adds flags to a symbol."""
        self._symbols[symbol][3] |= flags

    def places(self, section: int, places: list[tuple[int, int, int, list[tuple]]]) -> None:
        """The places of a section: ``(offset, length, kind, contents)``, contents as ``content()`` returned them."""
        self._sections[section][6:8] = len(self._places), len(places)
        for offset, length, kind, contents in places:
            self._places.append((offset, length, kind, self._content_list(tuple(contents)), len(contents)))

    def content(self, data: bytes, relocs: tuple[tuple[int, int, int, int], ...]) -> tuple:
        """What a place's list of contents holds: bytes and ``(offset, type, symbol, addend)`` rows."""
        if relocs not in self._relocs_at:
            self._relocs_at[relocs] = len(self._relocs) if relocs else 0
            self._relocs += relocs
        return (self._pool(data), self._relocs_at[relocs], len(relocs), 0)

    def _content_list(self, contents: tuple[tuple, ...]) -> int:
        if contents not in self._contents_at:
            self._contents_at[contents] = len(self._contents)
            self._contents += contents
        return self._contents_at[contents]

    def _string(self, text: str) -> int:
        if text not in self._string_at:
            self._string_at[text] = len(self._strings)
            self._strings += text.encode() + b"\0"
        return self._string_at[text]

    def _pool(self, data: bytes) -> int:
        if data not in self._bytes_at:
            self._bytes_at[data] = len(self._bytes)
            self._bytes += data
        return self._bytes_at[data]

    def serialize(self) -> bytes:
        """The whole program, its checksum filled in."""
        parts: list[bytes] = []
        table_fields: list[int] = []
        offset = HEADER.size
        for name, layout in ROWS.items():
            rows = getattr(self, "_" + name)
            parts.append(b"".join(layout.pack(*row) for row in rows))
            table_fields += [offset, len(rows)]
            offset += len(parts[-1])
        for pool in (self._strings, self._bytes):
            parts.append(bytes(pool))
            table_fields += [offset, len(pool)]
            offset += len(pool)
        body = b"".join(parts)

        def header(checksum: int) -> bytes:
            return HEADER.pack(MAGIC, VERSION, offset, checksum, 0, *table_fields)

        return header(zlib.crc32(header(0) + body)) + body
