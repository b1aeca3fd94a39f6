# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a finished update module tells the helper: the structures of ``kmod/rebootless.h``, read where they lie."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import check as machine
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.reader import Area, Object
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.refusal import not_proven
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import Program, ProgramSymbol

DESCRIPTOR = "rebootless_update"
# struct rbl_update, rbl_object, rbl_function, rbl_datum, rbl_fixup and rbl_hook; pointers are read from relocations.
_UPDATE = struct.Struct("<II4QIIQQ")
_OBJECT = struct.Struct("<7Q8I")
_FUNCTION = struct.Struct("<QQIIII")
_DATUM = struct.Struct("<QQII")
_FIXUP = struct.Struct("<QIIq")
_HOOK = struct.Struct("<IIQ")
STRUCTURES = (_UPDATE, _OBJECT, _FUNCTION, _DATUM, _FIXUP, _HOOK)
# enum rbl_reloc_type of kmod/relocs.h: bytes of the field.
COPY64, COPY8 = 8, 9
FIXUP_WIDTHS = {1: 8, 2: 4, 3: 4, 4: 4, 5: 1, 6: 8, COPY64: 8, COPY8: 1}
_THIS_MODULE = "__this_module"
INIT = ":init"  # behind the name of the object whose init code a part is for

Place = tuple  # (index of a section of the module, offset in it)


@dataclasses.dataclass(frozen=True)
class Row:
    """A function or datum: ``replacement`` is None for a piece that only has to be left.

    ``jump`` says where in the running function the jump to its replacement goes.
    """

    name: str
    replacement: Place | None
    symbol: ProgramSymbol
    size: int
    replacement_size: int
    jump: int = 0


@dataclasses.dataclass(frozen=True)
class Fixup:
    """A field that the helper writes; ``type`` is of ``enum rbl_reloc_type``."""

    where: Place
    type: int
    symbol: ProgramSymbol
    addend: int
    part: DescribedPart


@dataclasses.dataclass(eq=False)
class DescribedPart:
    """What the module says of one object; ``jump_entries`` is where they begin, and how many there are."""

    name: str
    program: Program
    functions: list[Row]
    data: list[Row]
    hooks: list[tuple[int, Place]]
    jump_entries: tuple[Place, int] | None

    object_name = property(lambda self: self.name[: -len(INIT)] if self.name.endswith(INIT) else self.name)


@dataclasses.dataclass(frozen=True)
class Says:
    """What a module says of itself: ``digest`` and ``build_id`` in hex."""

    name: str
    version: str
    digest: str
    build_id: str


class Descriptor:
    """What the module ``says`` of itself, its ``parts``, and its ``fixups`` by place.

    Raises ``RebootlessError``: ``module_not_proven`` for tables that cannot be read, ``bad_program``.
    """

    def __init__(self, module: Object) -> None:
        self._module = module
        self.fixups: dict[Place, Fixup] = {}
        marks = module.by_name.get(DESCRIPTOR, [])
        if len(marks) != 1 or marks[0].section is None:
            raise _unreadable(f"it does not define {DESCRIPTOR} once")
        start = marks[0].section, marks[0].value
        _abi, count, *_pointers, size, _reserved, _objects, _module = self._read(_UPDATE, start)
        build_id = self._pointer(start, 32)
        if build_id is None or not self._is_module(start):
            raise _unreadable("it names no kernel, or another module")
        name, version, digest = (self._string(self._pointer(start, offset)) for offset in (8, 16, 24))
        self.says = Says(name, version, digest, self._area(build_id).data[build_id[1] : build_id[1] + size].hex())
        table = self._pointer(start, 48)
        if table is None:
            raise _unreadable("its table of objects is nowhere")
        self.parts = [self._part((table[0], table[1] + number * _OBJECT.size)) for number in range(count)]

    def _is_module(self, start: Place) -> bool:
        """Whether the descriptor belongs to the module that it is in."""
        fields = self._area(start).fields_in(start[1] + 56, start[1] + 64)
        return [(f.offset - start[1], f.type, f.mark.name, f.addend) for f in fields] == [
            (56, machine.POINTER, _THIS_MODULE, 0)
        ]

    def _part(self, at: Place) -> DescribedPart:
        row = self._read(_OBJECT, at)
        program_size, functions, data, fixups, hooks, jumps = row[7:13]
        program = self._pointer(at, 8)
        if program is None:
            raise _unreadable("a part has no match program")
        area = self._module.areas[program[0]]
        part = DescribedPart(
            self._string(self._pointer(at, 0)),
            Program(area.data[program[1] : program[1] + program_size]),
            [],
            [],
            [],
            None,
        )
        for where, values in self._rows(self._pointer(at, 16), _FUNCTION, functions):
            part.functions.append(self._row(part, where, *values[2:6]))
        for where, values in self._rows(self._pointer(at, 24), _DATUM, data):
            part.data.append(self._row(part, where, values[2], values[3], values[3]))
        for where, values in self._rows(self._pointer(at, 32), _FIXUP, fixups):
            self._fixup(part, where, *values[1:])
        for where, values in self._rows(self._pointer(at, 40), _HOOK, hooks):
            call = self._pointer(where, 8)
            if call is None:
                raise _unreadable("a hook calls nothing")
            part.hooks.append((values[0], call))
        if jumps:
            first = self._pointer(at, 48)
            if first is None:
                raise _unreadable(f"the static branches of {part.name} are nowhere")
            part.jump_entries = first, jumps
        return part

    def _row(self, part: DescribedPart, where: Place, symbol: int, size: int, with_size: int, jump: int = 0) -> Row:
        name = self._string(self._pointer(where, 0))
        return Row(name, self._pointer(where, 8), self._symbol(part, symbol), size, with_size, jump)

    def _fixup(self, part: DescribedPart, where: Place, type_: int, symbol: int, addend: int) -> None:
        place = self._pointer(where, 0)
        if place is None or place in self.fixups:
            raise _unreadable(f"the helper writes a field of {part.name} twice, or nowhere")
        self.fixups[place] = Fixup(place, type_, self._symbol(part, symbol), addend, part)

    @staticmethod
    def _symbol(part: DescribedPart, number: int) -> ProgramSymbol:
        if number >= len(part.program.symbols):
            raise _unreadable(f"the match program of {part.name} has no symbol {number}")
        return part.program.symbols[number]

    def _rows(self, start: Place | None, row: struct.Struct, count: int) -> Iterator[tuple[Place, tuple]]:
        if count and start is None:
            raise _unreadable("a table is nowhere")
        for number in range(count):
            where = start[0], start[1] + number * row.size  # type: ignore[index]
            yield where, self._read(row, where)

    def _area(self, at: Place) -> Area:
        return self._module.areas[at[0]]

    def _read(self, row: struct.Struct, at: Place) -> tuple:
        data = self._area(at).data[at[1] : at[1] + row.size]
        if len(data) != row.size:
            raise _unreadable("a table reaches beyond its section")
        return row.unpack(data)

    def _pointer(self, at: Place, offset: int) -> Place | None:
        """What the pointer at ``at + offset`` points to in the module; None if it is NULL."""
        fields = self._area(at).fields_in(at[1] + offset, at[1] + offset + 8)
        if not fields:
            return None
        field = fields[0]
        if field.type != machine.POINTER or field.offset != at[1] + offset or field.mark.section is None:
            raise _unreadable("a pointer of its tables leads out of it")
        return field.mark.section, field.points_to

    def _string(self, at: Place | None) -> str:
        if at is None:
            raise _unreadable("a name is missing")
        data = self._area(at).data
        return data[at[1] : data.index(b"\0", at[1])].decode("utf-8", "replace")


def _unreadable(what: str) -> RebootlessError:
    return not_proven(f"its own tables cannot be read: {what}")
