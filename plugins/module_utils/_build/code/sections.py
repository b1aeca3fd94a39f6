# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sections, symbols and relocations of an object file, as data.

Sources: elf(5); the System V ABI and its supplements for each processor.
"""

from __future__ import annotations

import bisect
import dataclasses

SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_MERGE, SHF_STRINGS = 1, 2, 4, 0x10, 0x20


@dataclasses.dataclass(frozen=True)
class RelocationType:
    """One row of an architecture's table of relocation types.

    ``size`` is the field's in bytes, 0 for a type that relocates nothing; ``relative`` says that the field holds a
    distance from itself.  ``field`` is the matcher's word for the same field (``enum rbl_reloc_type`` of
    ``kmod/relocs.h``), None if it has none.  ``expression`` is what the assembler makes this relocation of (a 4-byte
    distance of ``.long {} - .``), "" if only ``.reloc`` does.
    """

    number: int
    name: str
    size: int
    relative: bool
    field: int | None = None
    expression: str = ""


@dataclasses.dataclass(frozen=True)
class SpecialSection:
    """One kind of special section: an array of entries that the kernel, or objtool, reads; each is about code.

    ``entry_size`` in bytes, 0 if it depends on the kernel (then the distance between the ``code_field`` relocations);
    ``code_field`` is the offset of the field that points to the code the entry belongs to; ``carry`` says what happens
    to entries of carried code: ``emit`` (into the update module), ``objtool`` (objtool makes them anew from the code),
    ``constant`` (the helper writes what the boot would have written), ``drop`` (no meaning in a module).  ``source`` is
    the kernel file that defines the entry.
    """

    name: str
    entry_size: int
    code_field: int
    carry: str
    source: str


@dataclasses.dataclass(eq=False)
class Section:
    """A section; ``data`` is empty for NOBITS ones, ``size`` is not."""

    index: int
    name: str
    flags: int
    size: int
    align: int
    entry_size: int
    data: bytes
    nobits: bool
    special: SpecialSection | None = None  # what the architecture's table says about a section of that name
    arch_lifetime: str = ""  # one of the words of lifetimes.py, if the architecture has a section of that name
    relocations: list = dataclasses.field(default_factory=list)
    symbols: list = dataclasses.field(default_factory=list)  # defined here, by value; without section symbols

    # Code without symbols that one architecture has for its boot, as .altinstr_aux of x86: gone when that is over.
    is_boot_fragments = property(lambda self: self.arch_lifetime == "fragments")
    is_text = property(lambda self: bool(self.flags & SHF_EXECINSTR))
    is_alloc = property(lambda self: bool(self.flags & SHF_ALLOC))
    is_writable = property(lambda self: bool(self.flags & SHF_WRITE))
    is_merged = property(lambda self: bool(self.flags & SHF_MERGE))
    is_strings = property(lambda self: bool(self.flags & SHF_STRINGS))

    def literal(self, offset):
        """The string (with its NUL) or constant at ``offset`` of a merged section, as bytes."""
        if self.is_strings:
            end, width = offset, self.entry_size
            while any(self.data[end : end + width]):
                end += width
            return self.data[offset : end + width]
        return self.data[offset : offset + self.entry_size]

    def relocations_in(self, start, end):
        """Relocations whose field begins in ``[start, end)``."""
        low = bisect.bisect_left(self.relocations, start, key=lambda r: r.offset)
        high = bisect.bisect_left(self.relocations, end, key=lambda r: r.offset)
        return self.relocations[low:high]


@dataclasses.dataclass(eq=False)
class Symbol:
    """A symbol; ``section`` is None if it is undefined or absolute."""

    index: int
    name: str
    section: Section | None
    value: int
    size: int
    kind: str  # func, object, notype, section, file, ...
    binding: str  # local, global, weak
    undefined: bool


@dataclasses.dataclass(eq=False)
class Relocation:
    """One relocated field.

    ``addend`` is the ABI's.  ``target_offset`` is where in the symbol's section the field's *meaning* points to: for a
    PC-relative field in code the CPU adds the address of the next instruction, so the addend holds minus the distance
    from the field to the instruction's end, which is taken out again here.
    """

    offset: int
    type: RelocationType
    symbol: Symbol
    addend: int
    bias: int = 0  # distance from the field to where the CPU counts from; 0 outside code

    size = property(lambda self: self.type.size)
    relative = property(lambda self: self.type.relative)
    meaning = property(lambda self: self.addend + self.bias)  # offset from the symbol that is meant
    target_offset = property(lambda self: self.symbol.value + self.meaning)
    target_section = property(lambda self: self.symbol.section)


class ObjectCode:
    """The sections and symbols of one object file; ``path`` is what messages call it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.sections: list[Section] = []
        self.symbols: list[Symbol] = []
        self.by_name: dict[str, Section] = {}

    def section_of(self, name):
        """The first section of that name, or None."""
        return self.by_name.get(name)

    def symbol_at(self, section, offset):
        """``(symbol, offset in it)`` of the sized symbol that covers ``offset``, else the nearest before, else None."""
        best = None
        for symbol in section.symbols:
            if symbol.value > offset:
                break
            if offset < symbol.value + max(symbol.size, 1) or best is None or symbol.value >= best.value:
                best = symbol
        return (best, offset - best.value) if best else None
