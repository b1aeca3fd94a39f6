# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From exact pre objects to a match program (``kmod/matcher/match.h``)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Kernel
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.contents import Field, Literal
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.rewriting import KEY, TRAMPOLINE
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import Section, Symbol
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.places import Place, Places
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.tables import Tables
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects import special_sections
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import (
    SECTION_COMPARED,
    SECTION_TEXT,
    SYMBOL_GLOBAL,
    SYMBOL_KALLSYMS,
    SYMBOL_LITERAL,
    SYMBOL_LOCAL,
    SYMBOL_NEEDED,
)


@dataclasses.dataclass
class ProgramUnit:
    """A unit that was added: its object, and the program's index of each of its sections."""

    object_name: str
    name: str
    pre: ObjectFile
    sections: dict[Section, int] = dataclasses.field(default_factory=dict)
    compared: frozenset[Section] = frozenset()

    built_in = property(lambda self: self.object_name == "vmlinux")


class ProgramBuilder:
    """Collects the units of an update, and the symbols that it needs.

    ``kernel`` says how the kernel rewrites its code.
    ``owner(name, object)`` says which object defines a symbol that a unit of ``object`` does not; without it, those of
    loadable modules are looked up anywhere.  Indices of symbols are stable from creation on.  Raises
    ``RebootlessError`` for code that the rules do not cover.
    """

    def __init__(self, kernel: Kernel, owner: Callable[[str, str], str] | None = None):
        self.kernel = kernel
        self.owner = owner or (lambda name, object_name: object_name if object_name == "vmlinux" else "")
        self.tables = Tables()
        self.units: list[ProgramUnit] = []
        self._symbols: dict[tuple, int] = {}

    def add_unit(
        self, object_name: str, unit: str, pre: ObjectFile, init: bool = False, places: Places | None = None
    ) -> int:
        """Adds every matchable section of an exact-flags pre object; returns the unit's number.

        ``object_name`` is ``vmlinux`` or the module's name, ``unit`` the object's path in the kernel build.  With
        ``init`` the code of a module's initialisation is compared, too: it is there only while the module is loaded,
        so such a program can only be matched then.  ``places`` are those of ``pre``, if the caller has found them.
        """
        added = ProgramUnit(object_name, unit, pre)
        compared = compared_sections(pre, places or Places(pre, self.kernel), added.built_in, init)
        added.compared = frozenset(compared)
        for section in compared:
            self._section(added, section, compared=True)
        for section, its_places in compared.items():
            self._places(added, added.sections[section], its_places)
        self.units.append(added)
        return len(self.units) - 1

    def global_symbol(self, name: str, object_name: str = "") -> int:
        """The symbol that the target's symbol table knows by that name; ``object_name`` "" looks it up anywhere."""
        key = (SYMBOL_GLOBAL, name, object_name)
        if key not in self._symbols:
            self._symbols[key] = self.tables.symbol(SYMBOL_GLOBAL, name, object_name)
        return self._symbols[key]

    def local_symbol(self, unit: int, section_name: str, offset: int, name: str = "", size: int = 0) -> int:
        """The symbol ``offset`` bytes into a section of that unit's exact pre object.

        It can be in any section that is loaded; of one that is not compared, the program learns where it is.
        """
        where = self.units[unit]
        section = where.pre.section_of(section_name)
        if section is None or not section.is_alloc:
            raise RebootlessError(
                "unknown_reference",
                f"{where.name} has no loaded section {section_name}, in which {name or 'a symbol'} should be.",
                unit=where.name,
                section=section_name,
            )
        known = {s.name for s in symbols_in_table(section) if s.value == offset}
        return self._local(where, section, offset, name, size, SYMBOL_KALLSYMS if name in known else 0)

    def is_compared(self, unit: int, section: Section) -> bool:
        """Whether the match proves every byte of a section of that unit's exact pre object."""
        return section in self.units[unit].compared

    def need(self, symbol: int) -> None:
        """The update uses this symbol's value: it has to be known after the match."""
        self.tables.flag_symbol(symbol, SYMBOL_NEEDED)

    def serialize(self) -> bytes:
        """The program, as ``struct rbl_header`` describes it."""
        return self.tables.serialize()

    def _section(self, unit: ProgramUnit, section: Section, compared: bool = False) -> int:
        """The row of a section, of which only the base is learned unless it is compared."""
        if section not in unit.sections:
            flags = (SECTION_TEXT if section.is_text else 0) | (SECTION_COMPARED if compared else 0)
            data = section.data if compared else None
            row = self.tables.section(unit.object_name, unit.name, section.name, flags, section.size, data)
            unit.sections[section] = row
            for symbol in symbols_in_table(section):
                self._local(unit, section, symbol.value, symbol.name, symbol.size, SYMBOL_KALLSYMS)
        return unit.sections[section]

    def _places(self, unit: ProgramUnit, section: int, places: list[Place]) -> None:
        rows = [
            (place, [self.tables.content(c.data, self._relocs(unit, c.fields)) for c in place.contents])
            for place in places
        ]
        self.tables.places(section, [(p.offset, p.length, p.kind, contents) for p, contents in rows])

    def _relocs(self, unit: ProgramUnit, fields: tuple[Field, ...]) -> tuple:
        return tuple((f.offset, f.type, self._target(unit, f.target), f.addend) for f in fields)

    def _target(self, unit: ProgramUnit, target: Section | str | Literal) -> int:
        if isinstance(target, str):
            if self.kernel.lacks_in_symbol_table(target):
                return self._nameless(target)
            return self.global_symbol(target, self._owner(target, unit))
        if isinstance(target, Section):
            return self._local(unit, target, 0)
        key = (SYMBOL_LITERAL, unit.object_name, unit.name, target.where)
        if key not in self._symbols:
            self._symbols[key] = self.tables.literal(target.data)
        return self._symbols[key]

    def _owner(self, name: str, unit: ProgramUnit) -> str:
        """Which object has a symbol that the unit's own code, or what the kernel makes of it, refers to."""
        if name in self.kernel.own_symbols:
            return "vmlinux"
        if name.startswith(KEY):  # a module that sees only the trampoline has no reference to the key
            owner = self.owner(TRAMPOLINE + name[len(KEY) :], unit.object_name)
            return owner if owner != unit.object_name else self.owner(name, unit.object_name)
        return self.owner(name, unit.object_name)

    def _nameless(self, name: str) -> int:
        """A symbol that the symbol table never has: all that can be asked is that its uses agree."""
        key = (SYMBOL_LOCAL, name)
        if key not in self._symbols:
            row = self.tables.section("vmlinux", "", name, 0, 0, None)
            self._symbols[key] = self.tables.symbol(SYMBOL_LOCAL, section=row)
        return self._symbols[key]

    def _local(
        self, unit: ProgramUnit, section: Section, offset: int, name: str = "", size: int = 0, flags: int = 0
    ) -> int:
        row = self._section(unit, section)
        key = (SYMBOL_LOCAL, row, offset, name)
        if key not in self._symbols:
            self._symbols[key] = self.tables.symbol(
                SYMBOL_LOCAL, name, unit.object_name if name else "", row, offset, size
            )
        self.tables.flag_symbol(self._symbols[key], flags)
        return self._symbols[key]


def symbols_in_table(section: Section) -> list[Symbol]:
    """The section's symbols of which the kernel's symbol table, if it has the name, has the address.

    The linker drops the assembler's own labels.  A weak definition may have lost against another unit's; it is taken
    only if the section could not be found otherwise.
    """
    named = [s for s in section.symbols if s.name and not s.name.startswith(".L")]
    return [s for s in named if s.binding != "weak"] or named


def compared_sections(
    pre: ObjectFile, places: Places, built_in: bool, init: bool = False
) -> dict[Section, list[Place]]:
    """The sections whose every byte can be compared, with their places: code, and constants that can be found.

    Constants can be found if compared bytes tell where they are, or if the symbol table has a name of theirs that the
    compiler has not numbered (there are hundreds of ``__func__.0``).  ``init`` adds the code that a module, which is
    being loaded, still has.
    """
    found = [s for s in pre.sections if s.is_text and s.size and special_sections.stays_in_memory(s, built_in, init)]
    found += [s for s in pre.sections if is_constant(s) and any("." not in t.name for t in symbols_in_table(s))]
    compared: dict[Section, list[Place]] = {}
    for section in found:  # grows while it is walked
        if section in compared:
            continue
        compared[section] = places.of(section)
        fields = [f for p in compared[section] if len(p.contents) == 1 for f in p.contents[0].fields]
        found += [f.target for f in fields if isinstance(f.target, Section) and is_constant(f.target)]
    return {section: compared[section] for section in sorted(compared, key=lambda s: s.index)}


def is_constant(section: Section) -> bool:
    """Whether a section holds constants at an address of its own."""
    return (
        section.is_alloc
        and section.size > 0
        and not (section.is_text or section.is_writable or section.is_merged or section.nobits)
        and section.name.startswith(special_sections.CONSTANT_SECTIONS)
    )
