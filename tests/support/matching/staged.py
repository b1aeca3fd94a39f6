# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""For tests of match programs: memory of a kernel that a program fits, with any choice of contents."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common import match_program as layout
from ansible_collections.rebootless.splice.tests.support.compiler import KERNEL_FLAGS
from ansible_collections.rebootless.splice.tests.support.matching.harness import (
    PC8,
    THROUGH_MEMORY,
    WIDTH,
    Memory,
    field,
    field_through,
)
from ansible_collections.rebootless.splice.tests.support.places import FIXTURES


def compiled(directory, name, *flags):
    """The object that gcc makes of a fixture, with flags like the kernel's."""
    output = Path(directory) / f"{name}.o"
    language = ("-Wa,--fatal-warnings",) if name.endswith(".S") else KERNEL_FLAGS
    subprocess.run(["gcc", "-c", *language, *flags, FIXTURES / name, "-o", output], check=True)
    return ObjectFile(output)


class Stage:
    """Sections, symbols, literals and pointers at made-up addresses, and the bytes that then have to stand there."""

    def __init__(self, program: layout.Program, start: int = 0xFFFFFFFF81000000):
        self.program = program
        self._next = start
        self.bases = [self._allocate(section.size) for section in program.sections]
        self.values = [self._value(symbol) for symbol in program.symbols]
        self.pointers: dict[int, int] = {}

    def _allocate(self, size):
        address = self._next
        self._next += (size + 0x3F) // 0x40 * 0x40 + 0x40
        return address

    def _value(self, symbol):
        if symbol.kind == layout.SYMBOL_LOCAL:
            return self.bases[symbol.section] + symbol.offset
        return self._allocate(symbol.size or 0x1000)

    def table(self):
        """The symbol table: every symbol that may be in it."""
        found: dict = {}
        for symbol, value in zip(self.program.symbols, self.values, strict=True):
            if symbol.in_symbol_table:
                found.setdefault((symbol.name, symbol.object), []).append(value)
        return found

    def section_bytes(self, index, choose):
        """The section with ``choose(place, number of contents)`` saying which content stands at a place."""
        section, program = self.program.sections[index], self.program
        data = bytearray(program.section_bytes(section))
        for place in program.places_of(section):
            fitting = [c for c in program.contents_of(place) if self._fits(c, self.bases[index] + place.offset)]
            content = fitting[choose(place, len(fitting))]
            data[place.offset : place.offset + place.length] = self._content(place, content, self.bases[index])
        return bytes(data)

    def _fits(self, content, address):
        for reloc in self.program.relocs_of(content):
            distance = self.values[reloc.symbol] + reloc.addend - address - reloc.offset
            if reloc.type == PC8 and not -128 <= distance <= 127:
                return False
        return True

    def _content(self, place, content, base):
        data = bytearray(self.program.content_bytes(place, content))
        for reloc in self.program.relocs_of(content):
            at = base + place.offset + reloc.offset
            value, kind, addend = self.values[reloc.symbol], reloc.type, reloc.addend
            if kind in THROUGH_MEMORY:
                pointed = self.pointers.setdefault(value + addend, self._allocate(16)).to_bytes(8, "little")
                data[reloc.offset : reloc.offset + WIDTH[kind]] = field_through(kind, pointed, at)
            else:
                data[reloc.offset : reloc.offset + WIDTH[kind]] = field(kind, value, addend, at)
        return bytes(data)

    def memory(self, seed=None):
        """The target's memory; contents are the object's own, or with a seed any."""
        generator = random.Random(seed)
        choose = (lambda place, count: 0) if seed is None else (lambda place, count: generator.randrange(count))
        regions: dict[int, bytes | bytearray] = {
            self.bases[index]: bytearray(self.section_bytes(index, choose))
            for index, section in enumerate(self.program.sections)
            if section.compared
        }
        for symbol, value in zip(self.program.symbols, self.values, strict=True):
            if symbol.kind == layout.SYMBOL_LITERAL:
                regions[value] = self.program.pool[symbol.offset : symbol.offset + symbol.size]
        for pointer, value in self.pointers.items():
            regions[pointer] = value.to_bytes(8, "little")
        return Memory(regions, self.table())
