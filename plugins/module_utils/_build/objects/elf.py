# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Relocatable x86-64 ELF objects as the build host sees them.  Private to rebootless.splice.

A thin model over pyelftools: sections with their bytes and relocations, and what each relocation points to.
Sources: System V ABI, AMD64 supplement (relocation types); pyelftools' user guide.
"""

from __future__ import annotations

import bisect
import dataclasses

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.deps import (
    capstone,
    elf_relocation,
    elffile,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_MERGE, SHF_STRINGS = 1, 2, 4, 0x10, 0x20

# Relocation types (AMD64 ABI table 4.9) that kernel objects hold: number -> (name, bytes, relative to the field).
RELOCATION_TYPES = {
    0: ("R_X86_64_NONE", 0, False),
    1: ("R_X86_64_64", 8, False),
    2: ("R_X86_64_PC32", 4, True),
    4: ("R_X86_64_PLT32", 4, True),
    10: ("R_X86_64_32", 4, False),
    11: ("R_X86_64_32S", 4, False),
    24: ("R_X86_64_PC64", 8, True),
}


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
    relocations: list = dataclasses.field(default_factory=list)
    symbols: list = dataclasses.field(default_factory=list)  # defined here, by value; without section symbols

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
    type: int
    symbol: Symbol
    addend: int
    bias: int = 0  # distance from the field to where the CPU counts from; 0 outside code

    name = property(lambda self: RELOCATION_TYPES[self.type][0])
    size = property(lambda self: RELOCATION_TYPES[self.type][1])
    relative = property(lambda self: RELOCATION_TYPES[self.type][2])
    meaning = property(lambda self: self.addend + self.bias)  # offset from the symbol that is meant
    target_offset = property(lambda self: self.symbol.value + self.meaning)
    target_section = property(lambda self: self.symbol.section)


class ObjectFile:
    """An ELF relocatable object, read whole into memory.

    Raises ``RebootlessError`` (``bad_object``) for a file that is no x86-64 relocatable, or has an unknown relocation
    in a section that is loaded.
    """

    def __init__(self, path):
        self.path = str(path)
        with open(path, "rb") as stream:
            try:
                elf = elffile.ELFFile(stream)
                if elf["e_type"] != "ET_REL" or elf["e_machine"] != "EM_X86_64":
                    raise ValueError("not an x86-64 relocatable object")
                self._read(elf)
            except Exception as error:
                if isinstance(error, RebootlessError):
                    raise
                raise RebootlessError("bad_object", f"{path} cannot be read as an ELF object: {error}.") from error

    def _read(self, elf):
        raw = list(elf.iter_sections())
        self.sections = [
            Section(
                index,
                s.name,
                s["sh_flags"],
                s["sh_size"],
                s["sh_addralign"],
                s["sh_entsize"],
                # Debug information is large and has readers of its own.
                b"" if s["sh_type"] == "SHT_NOBITS" or s.name.startswith(".debug") else s.data(),
                s["sh_type"] == "SHT_NOBITS",
            )
            for index, s in enumerate(raw)
        ]
        self.by_name: dict[str, Section] = {}
        for section in self.sections:
            self.by_name.setdefault(section.name, section)
        table = elf.get_section_by_name(".symtab")
        self.symbols = [self._symbol(index, s) for index, s in enumerate(table.iter_symbols())] if table else []
        for symbol in self.symbols:
            if symbol.section is not None and symbol.kind != "section":
                symbol.section.symbols.append(symbol)
        for section in self.sections:
            section.symbols.sort(key=lambda s: (s.value, s.index))
        for s in raw:
            if isinstance(s, elf_relocation.RelocationSection) and not s.name.startswith(".rela.debug"):
                self._relocations(self.sections[s["sh_info"]], s)

    def _symbol(self, index, s):
        where = s["st_shndx"]
        section = self.sections[where] if isinstance(where, int) else None
        kind = s["st_info"]["type"][4:].lower()
        name = section.name if kind == "section" and section is not None else s.name
        binding = s["st_info"]["bind"][4:].lower()
        return Symbol(index, name, section, s["st_value"], s["st_size"], kind, binding, where == "SHN_UNDEF")

    def _relocations(self, section, table):
        for r in table.iter_relocations():
            if r["r_info_type"] not in RELOCATION_TYPES and section.is_alloc:
                raise RebootlessError(
                    "bad_object",
                    f"{self.path}: section {section.name} has a relocation of unknown type {r['r_info_type']}.",
                )
            symbol = self.symbols[r["r_info_sym"]]
            section.relocations.append(Relocation(r["r_offset"], r["r_info_type"], symbol, r["r_addend"]))
        section.relocations.sort(key=lambda r: r.offset)
        if section.is_text and any(r.relative for r in section.relocations):
            self._count_from_instruction_ends(section)

    @staticmethod
    def _count_from_instruction_ends(section):
        fields = [r for r in section.relocations if r.relative]
        ends = [end for start, end in instructions(section.data)]
        for field in fields:
            # A field never straddles instructions: it belongs to the one that ends at or after the field's own end.
            field.bias = ends[bisect.bisect_left(ends, field.offset + field.size)] - field.offset

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


def instructions(code):
    """``[(start, end)]`` of the instructions in ``code``; bytes that capstone cannot decode count one each."""
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    decoder.skipdata = True
    return [(start, start + size) for start, size, mnemonic, operands in decoder.disasm_lite(code, 0)]
