# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update module carries, as data: chunks, their fields, and for each object what they replace in it."""

from __future__ import annotations

import dataclasses
import functools

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import RelocationType
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.program_builder import ProgramBuilder
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import INIT


@dataclasses.dataclass(eq=False)
class CarriedField:
    """A relocated field of a chunk: ``target`` is a chunk, or the name of a symbol that is not the module's own."""

    offset: int
    type: RelocationType
    target: Chunk | str
    addend: int
    symbol: int | None = None  # of the match program of the chunk's part, if the helper writes the field

    size = property(lambda self: self.type.size)
    fixup_type = property(lambda self: self.type.field)


@dataclasses.dataclass(frozen=True)
class Constant:
    """Bytes of a chunk that the boot would have made the value of the variable ``target``.

    ``fixup_type`` is of ``enum rbl_reloc_type``, ``symbol`` that of the variable in the part's match program.
    """

    offset: int
    fixup_type: int
    target: str
    symbol: int
    addend: int = 0


@dataclasses.dataclass(eq=False)
class Chunk:
    """What is emitted under one label: a function, a datum, a literal, or an entry of a special section.

    ``label`` is the symbol's name for functions and data, else only for messages.  ``part`` is the name of the part
    that the chunk belongs to; literals belong to none, since they refer to nothing.
    """

    label: str
    section: str
    flags: int
    nobits: bool
    align: int
    data: bytes
    size: int
    kind: str  # function, data, fragment, literal or entry
    fields: list[CarriedField] = dataclasses.field(default_factory=list)
    unit: str = ""
    part: str = ""
    piece: Piece | None = None
    never_returns_at: list[int] = dataclasses.field(default_factory=list)  # ends of calls that do not come back
    constants: list[Constant] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class FunctionRow:
    """A row for ``struct rbl_function``: ``chunk`` is None for a piece that must only be off the stacks."""

    name: str
    unit: str
    chunk: Chunk | None
    symbol: int
    size: int
    jump_offset: int


@dataclasses.dataclass(frozen=True)
class DatumRow:
    """A row for ``struct rbl_datum``: the bytes of ``chunk`` take the place of those of ``symbol``."""

    name: str
    unit: str
    chunk: Chunk
    symbol: int
    size: int


@dataclasses.dataclass(frozen=True)
class HookRow:
    """A row for ``struct rbl_hook``; ``stage`` is a number of ``enum rbl_hook_stage``."""

    stage: int
    unit: str
    chunk: Chunk


def part_name(object_name: str, init: bool) -> str:
    """Of the part for an object, or for its init code."""
    return object_name + (INIT if init else "")


@dataclasses.dataclass(eq=False)
class Part:
    """What an update does to one object: ``vmlinux``, or a loadable module by the kernel's name.

    ``builder`` makes the part's own match program, so that it can be matched when its object comes.  With ``init`` it
    is what the update does to the code that the module runs when it is loaded, and that is gone afterwards.
    """

    object_name: str
    builder: ProgramBuilder
    init: bool = False
    functions: list[FunctionRow] = dataclasses.field(default_factory=list)
    data: list[DatumRow] = dataclasses.field(default_factory=list)
    hooks: list[HookRow] = dataclasses.field(default_factory=list)
    handed_out: list[str] = dataclasses.field(default_factory=list)  # what objects may hold the address of
    jump_entries: list[Chunk] = dataclasses.field(default_factory=list)
    fixups: list[tuple[Chunk, CarriedField | Constant]] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """Names the part in packages and in sysfs."""
        return part_name(self.object_name, self.init)

    @functools.cached_property
    def program(self) -> bytes:
        """The serialized match program; nothing can be added to it afterwards."""
        return self.builder.serialize()

    @property
    def is_effective(self) -> bool:
        """Whether anything is done, beside looking at stacks."""
        return bool(self.data or self.hooks or any(row.chunk for row in self.functions))


@dataclasses.dataclass(eq=False)
class Replacement:
    """All that the update module holds beside its descriptor.

    ``namespaces`` are those of the exports it uses, ``weak`` the names of symbols that only the helper can resolve;
    ``parts`` begin with that of vmlinux, if there is one.
    """

    chunks: list[Chunk]
    parts: list[Part]
    namespaces: list[str]
    weak: list[str]

    @property
    def functions(self) -> list[FunctionRow]:
        """Those of all parts."""
        return [row for part in self.parts for row in part.functions]

    @property
    def fixups(self) -> list[tuple[Chunk, CarriedField | Constant]]:
        """The fields that the helper writes, of all parts."""
        return [fixup for part in self.parts for fixup in part.fixups]

    @property
    def carried(self) -> list[Chunk]:
        """The chunks that are functions or data."""
        return [c for c in self.chunks if c.kind in ("function", "data")]
