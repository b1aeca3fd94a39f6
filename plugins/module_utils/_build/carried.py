# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update module carries, as data: chunks, their fields, the functions they replace.

Private to rebootless.splice.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.rebootless.splice.plugins.module_utils._build.objects import RELOCATION_TYPES
from ansible_collections.rebootless.splice.plugins.module_utils._build.pieces import Piece


@dataclasses.dataclass(eq=False)
class Field:
    """A relocated field of a chunk: ``target`` is a chunk, or the name of a symbol that is not the module's own."""

    offset: int
    type: int
    target: Chunk | str
    addend: int
    symbol: int | None = None  # of the match program, if the helper writes the field

    size = property(lambda self: RELOCATION_TYPES[self.type][1])
    type_name = property(lambda self: RELOCATION_TYPES[self.type][0])


@dataclasses.dataclass(eq=False)
class Chunk:
    """What is emitted under one label: a function, a datum, a literal, or an entry of a special section.

    ``label`` is the symbol's name for functions and data, else only for messages.
    """

    label: str
    section: str
    flags: int
    nobits: bool
    align: int
    data: bytes
    size: int
    kind: str  # function, data, fragment, literal or entry
    fields: list[Field] = dataclasses.field(default_factory=list)
    unit: str = ""
    piece: Piece | None = None
    never_returns_at: list[int] = dataclasses.field(default_factory=list)  # ends of calls that do not come back


@dataclasses.dataclass(frozen=True)
class FunctionRow:
    """A row for ``struct rbl_function``: ``chunk`` is None for a piece that must only be off the stacks."""

    name: str
    unit: str
    object_name: str
    chunk: Chunk | None
    symbol: int
    size: int
    jump_offset: int


@dataclasses.dataclass(eq=False)
class Replacement:
    """All that the update module holds beside its descriptor; ``namespaces`` are those of the exports it uses."""

    chunks: list[Chunk]
    functions: list[FunctionRow]
    namespaces: list[str]
    weak: list[str]  # names of symbols that only the helper can resolve

    @property
    def fixups(self) -> list[tuple[Chunk, Field]]:
        """The fields that the helper writes."""
        return [(chunk, field) for chunk in self.chunks for field in chunk.fields if field.symbol is not None]

    @property
    def carried(self) -> list[Chunk]:
        """The chunks that are functions or data."""
        return [c for c in self.chunks if c.kind in ("function", "data")]
