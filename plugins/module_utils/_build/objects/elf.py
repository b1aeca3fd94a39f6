# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Relocatable ELF objects, read by pyelftools into the model of ``code/sections.py``.

Source: pyelftools' user guide.
"""

from __future__ import annotations

import bisect
import io
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.table import architecture_of_elf
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import (
    ObjectCode,
    Relocation,
    RelocationType,
    Section,
    Symbol,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.deps import (
    elf_relocation,
    elffile,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.special_sections import special_section
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


class ObjectFile(ObjectCode):
    """An ELF relocatable object, read whole into memory; ``arch`` is the architecture that it is for.

    ``contents`` are its bytes, if the file at ``path`` has them compressed.

    Raises ``RebootlessError`` (``bad_object``) for a file that is no relocatable of a known architecture, or has an
    unknown relocation in a section that is loaded.
    """

    def __init__(self, path: str | Path, contents: bytes | None = None):
        super().__init__(str(path))
        with open(path, "rb") if contents is None else io.BytesIO(contents) as stream:
            try:
                elf = elffile.ELFFile(stream)
                if elf["e_type"] != "ET_REL":
                    raise ValueError("not a relocatable object")
                self.arch = architecture_of_elf(elf["e_machine"])
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
                special_section(s.name, self.arch),
                self.arch.lifetime_of(s.name),
            )
            for index, s in enumerate(raw)
        ]
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
            number = r["r_info_type"]
            if number not in self.arch.relocations and section.is_alloc:
                raise RebootlessError(
                    "bad_object",
                    f"{self.path}: section {section.name} has a relocation of unknown type {number}.",
                )
            symbol = self.symbols[r["r_info_sym"]]
            kind = self.arch.relocations.get(number) or RelocationType(number, f"type {number}", 0, False)
            section.relocations.append(Relocation(r["r_offset"], kind, symbol, r["r_addend"]))
        section.relocations.sort(key=lambda r: r.offset)
        if section.is_text and any(r.relative for r in section.relocations):
            self._count_from_instruction_ends(section)

    def _count_from_instruction_ends(self, section):
        fields = [r for r in section.relocations if r.relative]
        ends = [end for start, end in self.arch.instructions(section.data)]
        for field in fields:
            # A field never straddles instructions: it belongs to the one that ends at or after the field's own end.
            field.bias = ends[bisect.bisect_left(ends, field.offset + field.size)] - field.offset
