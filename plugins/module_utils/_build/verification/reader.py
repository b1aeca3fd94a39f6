# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Relocatable objects, read for the check alone.

What makes an update module has a reader of its own (``objects``).  This one shares nothing with it, so that what one
of them takes wrong the other notices.  Sources: System V ABI, AMD64 supplement; pyelftools' user guide.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import io
import os
import struct

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import check as machine
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.deps import elffile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

MAX_SIZE = 1 << 28  # bytes of a section: one without bytes in the file can say any number
WRITE, ALLOC, EXEC, MERGE, STRINGS = 0x1, 0x2, 0x4, 0x10, 0x20
_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")
_UNDEFINED, _RESERVED = 0, 0xFF00
_KINDS = {0: "notype", 1: "object", 2: "func", 3: "section", 4: "file"}
_LOCAL, _WEAK = 0, 2


@dataclasses.dataclass(eq=False)
class Mark:
    """A symbol.  ``section`` is an index, None if it is defined nowhere in the file (or absolute)."""

    name: str
    section: int | None
    value: int
    size: int
    kind: str
    binding: int

    is_local = property(lambda self: self.binding == _LOCAL)
    is_weak = property(lambda self: self.binding == _WEAK)


@dataclasses.dataclass(eq=False)
class RelocatedField:
    """A relocated field, as it stands in the file: ``addend`` is the ABI's."""

    offset: int
    type: int
    mark: Mark
    addend: int

    width = property(lambda self: machine.WIDTHS[self.type])
    points_to = property(lambda self: self.mark.value + self.addend)  # in the symbol's section, as the linker counts


@dataclasses.dataclass(eq=False)
class Area:
    """A section: its bytes (zeros if the file has none), fields in order, and symbols in order."""

    index: int
    name: str
    flags: int
    align: int
    entry_size: int
    size: int
    data: bytes
    nobits: bool
    fields: list[RelocatedField] = dataclasses.field(default_factory=list)
    marks: list[Mark] = dataclasses.field(default_factory=list)

    is_code = property(lambda self: bool(self.flags & EXEC))
    is_loaded = property(lambda self: bool(self.flags & ALLOC))
    is_writable = property(lambda self: bool(self.flags & WRITE))
    is_merged = property(lambda self: bool(self.flags & MERGE) and not self.flags & WRITE)

    def fields_in(self, start: int, end: int) -> list[RelocatedField]:
        """Fields that begin in ``[start, end)``; those of type NONE mean nothing."""
        low = bisect.bisect_left(self.fields, start, key=lambda f: f.offset)
        high = bisect.bisect_left(self.fields, end, key=lambda f: f.offset)
        return [f for f in self.fields[low:high] if f.type != machine.R_NONE]

    def literal(self, offset: int) -> tuple[int, bytes]:
        """Where the string or constant at ``offset`` of a merged section begins, and its bytes."""
        step = max(self.entry_size, 1)
        if not self.flags & STRINGS:
            start = offset - offset % step
            return start, self.data[start : start + step]
        end = offset
        while any(self.data[end : end + step]):
            end += step
        return offset, self.data[offset : end + step]


class Object:
    """The object file at ``path``, or that is called so and has this ``content``.

    Raises ``RebootlessError`` (``bad_object``) if it cannot be read as one.
    """

    def __init__(self, path: str | os.PathLike, content: bytes | None = None) -> None:
        self.path = os.fspath(path)
        try:
            with open(self.path, "rb") if content is None else io.BytesIO(content) as stream:
                self._read(elffile.ELFFile(stream))
        except Exception as error:  # pyelftools raises what the damage leads it to: zlib.error, OverflowError, ...
            raise RebootlessError("bad_object", f"{self.path} cannot be read as an ELF object: {error}.") from error

    def _read(self, elf) -> None:
        if elf["e_type"] != "ET_REL" or elf["e_machine"] != machine.MACHINE:
            raise ValueError(f"it is no relocatable object of {machine.MACHINE}")
        raw = [elf.get_section(number) for number in range(elf.num_sections())]
        self.areas = [self._area(number, section) for number, section in enumerate(raw)]
        self.marks: list[Mark] = []
        for section in raw:
            if section["sh_type"] == "SHT_SYMTAB":
                self._marks(section.data(), raw[section["sh_link"]].data())
        for section in raw:
            if section["sh_type"] == "SHT_RELA" and self.areas[section["sh_info"]].is_loaded:
                self._fields(self.areas[section["sh_info"]], section.data())
        self.by_name: dict[str, list[Mark]] = {}
        for mark in self.marks:
            if mark.name and mark.kind not in ("section", "file"):
                self.by_name.setdefault(mark.name, []).append(mark)

    @staticmethod
    def _area(number: int, section) -> Area:
        nobits, size = section["sh_type"] == "SHT_NOBITS", section["sh_size"]
        loaded = section["sh_flags"] & ALLOC
        if size > MAX_SIZE:
            raise ValueError(f"section {number} is larger than {MAX_SIZE} bytes")
        data = bytes(size) if nobits else section.data() if loaded else b""
        row = section["sh_flags"], section["sh_addralign"], section["sh_entsize"], size, data, nobits
        return Area(number, section.name, *row)

    def _marks(self, table: bytes, names: bytes) -> None:
        for name, info, _other, where, value, size in _SYMBOL.iter_unpack(table):
            text = names[name : names.index(b"\0", name)].decode("utf-8", "surrogateescape")
            section = where if where != _UNDEFINED and where < _RESERVED else None
            mark = Mark(text, section, value, size, _KINDS.get(info & 15, "other"), info >> 4)
            self.marks.append(mark)
            if section is not None:
                self.areas[section].marks.append(mark)

    def _fields(self, area: Area, table: bytes) -> None:
        for offset, info, addend in _RELA.iter_unpack(table):
            type_ = info & 0xFFFFFFFF
            if type_ not in machine.WIDTHS:
                raise ValueError(f"section {area.name} has a relocation of type {type_}")
            area.fields.append(RelocatedField(offset, type_, self.marks[info >> 32], addend))
        area.fields.sort(key=lambda f: f.offset)

    @functools.cached_property
    def is_tracked(self) -> bool:
        """Whether the compiler gave a landing mark to each function that a pointer may lead to."""
        notes = [area.data for area in self.areas_called(machine.PROPERTIES)]
        return any(machine.says_tracked(note) for note in notes)

    def areas_called(self, name: str) -> list[Area]:
        """All loaded sections of that name."""
        return [area for area in self.areas if area.name == name and area.is_loaded]
