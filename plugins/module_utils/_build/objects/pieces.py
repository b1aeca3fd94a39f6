# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An object file cut into pieces, and what each piece refers to.

A piece is what one symbol names: a function or a data object; or a fragment: bytes without a symbol that something
refers to (a constant initialiser, the replacement code of an alternative).  References are told by what they mean
(piece and offset, string contents, name of an undefined symbol), so that two compilations can be compared, and so that
a piece can be moved into another object.  Entries of special sections belong to the piece whose code they describe.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import re
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Architecture
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import (
    Relocation,
    RelocationType,
    Section,
    SpecialSection,
    Symbol,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.lifetimes import lifetime
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_CLONE = re.compile(r"\.(?:isra|constprop|part|localalias|lto_priv)\.\d+|\.cold(?:\.\d+)?")
_COUNTED = (
    re.compile(r"(__UNIQUE_ID_.*?)\d+(?:\.\d+)?"),  # include/linux/compiler-gcc.h: __COUNTER__
    re.compile(r"(__BTF_ID__.*__)\d+"),  # include/linux/btf_ids.h
    re.compile(r"(.+)\.\d+"),  # gcc: static locals, __func__, compound literals, switch tables
)
# Constants that gcc makes for one function: they have no identity, only contents.
_MADE_BY_GCC = re.compile(r"(CSWTCH|__func__|__FUNCTION__|__PRETTY_FUNCTION__|\.?LC)\.?\d+$")
# Second names that include/linux/module.h gives to a module's functions.
_ALIASES = ("init_module", "cleanup_module")


def family(name: str) -> str:
    """The function that gcc cloned ``name`` from: ``foo`` for ``foo.isra.0`` and ``foo.constprop.1.cold``."""
    return _CLONE.sub("", name)


def counterless(name: str) -> str | None:
    """``name`` without the number that the compiler or ``__COUNTER__`` gave it; None if it has none."""
    for pattern in _COUNTED:
        found = pattern.fullmatch(name)
        if found:
            return found.group(1)
    return None


@dataclasses.dataclass(eq=False)
class Piece:
    """Bytes ``[start, end)`` of a section; ``kind`` is ``function``, ``data`` or ``fragment`` (then ``name`` is "").

    ``is_part_of_code``: a constant with addresses in the midst of functions (``&&label``), of no meaning elsewhere.
    """

    arch: Architecture
    section: Section
    start: int
    end: int
    name: str
    kind: str
    symbol: Symbol | None = None
    aliases: list[str] = dataclasses.field(default_factory=list)
    lifetime: str = ""
    is_part_of_code: bool = False

    size = property(lambda self: self.end - self.start)
    is_global = property(lambda self: self.symbol is not None and self.symbol.binding != "local")
    is_weak = property(lambda self: self.symbol is not None and self.symbol.binding == "weak")

    @property
    def data(self) -> bytes:
        """The object file's bytes; zeros for sections that have none in the file."""
        return bytes(self.size) if self.section.nobits else self.section.data[self.start : self.end]

    @functools.cached_property
    def memory_operand_fields(self) -> frozenset[int]:
        """Offsets of the fields of code that an instruction uses as the address of its operand."""
        return self.arch.memory_operand_fields(self.data)

    @property
    def has_no_identity(self) -> bool:
        """Whether only the contents matter: nothing can tell one copy from another."""
        if self.kind == "fragment" or self.is_part_of_code:
            return True
        return self.lifetime == "constant" and _MADE_BY_GCC.match(self.name) is not None


@dataclasses.dataclass(frozen=True)
class MergedConstant:
    """A string or constant of a merged section, from the byte on that is referred to."""

    data: bytes
    align: int


@dataclasses.dataclass(eq=False)
class Reference:
    """A relocated field of a piece or of an entry.

    ``offset`` counts from the start of its owner.  ``target`` is a ``Piece``, a ``MergedConstant`` or a symbol's name
    that the object does not define; ``addend`` is the ABI's, relative to the target's first byte; ``meaning`` is the
    offset in the target that is meant (see ``Relocation``).
    """

    offset: int
    type: RelocationType
    size: int
    relative: bool
    target: Piece | MergedConstant | str
    addend: int
    meaning: int
    symbol: Symbol | None = None

    @property
    def piece(self) -> Piece | None:
        """The target, if it is a piece."""
        return self.target if isinstance(self.target, Piece) else None


@dataclasses.dataclass(eq=False)
class Entry:
    """One entry of a special section: ``data`` has zeros where ``references`` stand; ``offset`` is in the piece."""

    section: Section
    start: int
    data: bytes
    offset: int
    references: list[Reference]


class Pieces:
    """The pieces of ``object``, in order of section and offset.

    ``where`` is what messages call the object.  Raises ``RebootlessError`` (``bad_object``) where a reference cannot be
    told from the bytes around it.
    """

    def __init__(self, object_file: ObjectFile):
        self.object = object_file
        self.by_section: dict[int, list[Piece]] = {}
        self._starts: dict[int, list[int]] = {}
        self._references: dict[int, list[Reference]] = {}
        for section in object_file.sections:
            if section.is_alloc and not section.is_merged and lifetime(section) not in ("special", "ignored", "export"):
                self.by_section[section.index] = _cut_at_symbols(object_file.arch, section)
        for piece in self._replacements():
            self.by_section[piece.section.index].append(piece)
        self._cut_at_references()
        for index, pieces in self.by_section.items():
            pieces.sort(key=lambda p: (p.start, p.end))
            self._starts[index] = [p.start for p in pieces]
        self._find_parts_of_code()
        self.all = [piece for pieces in self.by_section.values() for piece in pieces]
        self.by_name: dict[str, Piece] = {}
        for piece in self.all:
            for name in (piece.name, *piece.aliases):
                self.by_name.setdefault(name, piece)
        self._of_symbol = {p.symbol.index: p for p in self.all if p.symbol is not None}
        self._entries: dict[int, list[Entry]] | None = None

    def _replacements(self) -> Iterator[Piece]:
        """What alternatives put in place of code: each as long as its entry says, with all labels that are in it.

        ``FILL_RETURN_BUFFER`` (arch/x86/include/asm/nospec-branch.h) tells objtool of calls in the midst of one.
        """
        table = self.object.section_of(".altinstructions")
        if table is None or not table.relocations:
            return
        size = _entry_size(table)
        ends: dict[tuple[int, int], int] = {}
        for start in range(0, table.size, size):
            length = table.data[start + size - 1]
            for r in table.relocations_in(start + 4, start + 8) if length else ():
                if r.target_section is not None and r.target_section.index in self.by_section:
                    where = r.target_section.index, r.target_offset
                    ends[where] = max(ends.get(where, 0), r.target_offset + length)
        for (index, start), end in ends.items():
            section = self.object.sections[index]
            yield Piece(self.object.arch, section, start, end, "", "fragment", lifetime=lifetime(section))

    def _cut_at_references(self):
        """Makes fragments of the bytes that something refers to and no symbol covers."""
        arch = self.object.arch
        referred: dict[int, set[int]] = {}
        for section in self.object.sections:
            if section.name.startswith((".debug", arch.unwind_tables)):
                continue
            for r in section.relocations:
                target = r.target_section
                if r.symbol.kind == "section" and target is not None and target.index in self.by_section:
                    referred.setdefault(target.index, set()).add(r.target_offset)
        for index, offsets in referred.items():
            section, pieces = self.object.sections[index], self.by_section[index]
            if len(pieces) == 1 and (section.name.endswith("." + pieces[0].name) or pieces[0].end == section.size):
                continue  # a section of its own: all of it belongs to its one symbol
            covered = [(p.start, p.end) for p in pieces]
            ends = sorted({start for start, end in covered} | {section.size} | offsets)
            for offset in sorted(offsets):
                if not any(start <= offset < max(end, start + 1) for start, end in covered) and offset < section.size:
                    end = ends[bisect.bisect_right(ends, offset)]
                    pieces.append(Piece(arch, section, offset, end, "", "fragment", lifetime=lifetime(section)))

    def _find_parts_of_code(self) -> None:
        for index, pieces in self.by_section.items():
            if not pieces or pieces[0].lifetime != "constant":
                continue
            for r in self.object.sections[index].relocations:
                target = r.target_section
                code = self.at(target, r.target_offset) if target is not None and target.is_text else None
                if code is not None and code.kind == "function" and code.start < r.target_offset < code.end:
                    owner = self.at(self.object.sections[index], r.offset)
                    if owner is not None:
                        owner.is_part_of_code = True

    def at(self, section: Section, offset: int) -> Piece | None:
        """The piece that ``offset`` means; the nearest one if it lies between or outside of them."""
        pieces = self.by_section.get(section.index)
        if not pieces:
            return None
        index = max(bisect.bisect_right(self._starts[section.index], offset) - 1, 0)
        return pieces[index]

    def references(self, piece: Piece) -> list[Reference]:
        """What ``piece`` refers to, by offset; branches that the assembler resolved by itself among them."""
        known = self._references.get(id(piece))
        if known is None:
            found = [r for r in piece.section.relocations_in(piece.start, piece.end) if r.size]
            known = [self._reference(r, piece.start) for r in found]
            if piece.section.is_text and len(self.by_section[piece.section.index]) > 1:
                known += self._resolved_branches(piece, {r.offset for r in found})
                known.sort(key=lambda r: r.offset)
            self._references[id(piece)] = known
        return known

    def _reference(self, r: Relocation, base: int) -> Reference:
        section, symbol = r.target_section, r.symbol
        target: Piece | MergedConstant | str | None
        if section is None:
            target, start = symbol.name, 0
        elif section.is_merged and not section.is_writable and section.name not in ("__ksymtab_strings",):
            literal_start = self._literal_start(section, r)
            target = MergedConstant(section.literal(literal_start), section.align)
            start = literal_start
        else:
            target = self._of_symbol.get(symbol.index) if symbol.kind != "section" else None
            if target is None:
                target = self.at(section, symbol.value if symbol.kind != "section" else r.target_offset)
            if target is None:  # a section that is not cut (a special one): its own name stands for it
                target, start = section.name, 0
            else:
                start = target.start
        shift = symbol.value - start if section is not None else 0
        return Reference(
            r.offset - base, r.type, r.size, r.relative, target, r.addend + shift, r.meaning + shift, symbol
        )

    def _literal_start(self, section: Section, r: Relocation) -> int:
        offset = r.target_offset
        if not 0 <= offset < section.size:
            raise RebootlessError(
                "bad_object",
                f"{self.object.path}: a reference into {section.name} points beyond its end.",
                section=section.name,
                offset=offset,
            )
        return offset if section.is_strings else offset - offset % max(section.entry_size, 1)

    def _resolved_branches(self, piece: Piece, relocated: set[int]) -> list[Reference]:
        """Calls and jumps from ``piece`` to another piece of its section that need no relocation."""
        found = []
        for offset, size, destination in piece.arch.direct_branches(piece.data, piece.start):
            if piece.start + offset in relocated or piece.start <= destination < piece.end:
                continue
            target = self.at(piece.section, destination)
            if target is None or target is piece:
                continue
            meaning = destination - target.start
            kind = piece.arch.branch_types[size]
            found.append(Reference(offset, kind, size, True, target, meaning - size, meaning))
        return found

    def masked(self, piece: Piece) -> bytes:
        """The bytes of ``piece`` with zeros where references stand."""
        return _masked(piece.data, self.references(piece))

    def entries(self, piece: Piece) -> list[Entry]:
        """The entries of special sections that describe ``piece``, by section name, then offset in it."""
        if self._entries is None:
            self._entries = {}
            for section in self.object.sections:
                kind = section.special
                if kind is not None and kind.carry in ("emit", "constant") and section.relocations:
                    self._split(section, kind)
            for entries in self._entries.values():
                entries.sort(key=lambda e: (e.section.name, e.offset, e.start))
        return self._entries.get(id(piece), [])

    def _split(self, section: Section, kind: SpecialSection) -> None:
        size = kind.entry_size or _entry_size(section)
        if self._entries is None:
            raise ValueError("entries are filled in before they are begun")
        for start in range(0, section.size, size):
            references = [self._reference(r, start) for r in section.relocations_in(start, start + size)]
            code = next((r for r in references if r.offset == kind.code_field), None)
            if code is None or not isinstance(code.target, Piece):
                raise RebootlessError(
                    "bad_object",
                    f"{self.object.path}: the entry at offset {start} of {section.name} does not point to code.",
                    section=section.name,
                )
            data = _masked(section.data[start : start + size], references)
            if section.name == ".altinstructions" and data[-1] == 0:
                # Without replacement bytes the field points to what happens to lie behind.
                for r in references:
                    if r is not code:
                        r.target, r.addend, r.meaning = code.target, code.meaning, code.meaning
            # An annotation may stand at the end of a function: it means what comes before.
            self._entries.setdefault(id(code.target), []).append(Entry(section, start, data, code.meaning, references))


def _entry_size(section: Section) -> int:
    """Entries have one relocation each, but alternatives have two."""
    count = len(section.relocations) // (2 if section.name == ".altinstructions" else 1)
    return section.size // count


def _masked(data: bytes, references: list[Reference]) -> bytes:
    masked = bytearray(data)
    for r in references:
        masked[r.offset : r.offset + r.size] = bytes(r.size)
    return bytes(masked)


def _cut_at_symbols(arch: Architecture, section: Section) -> list[Piece]:
    """One piece for each place where a function or object begins; symbols inside of another's bytes are its own."""
    pieces: list[Piece] = []
    named = [s for s in section.symbols if s.name and not s.name.startswith((".L", "__pfx_")) and _is_cut(s, section)]

    def order(s: Symbol) -> tuple:
        # Sized symbols first at each place, so that an empty one (a lock class key) does not stand for its neighbour.
        return s.value, s.size == 0, s.name in _ALIASES, s.binding == "local", s.index

    for symbol in sorted(named, key=order):
        last = pieces[-1] if pieces else None
        if last is not None and symbol.value == last.start and (symbol.size or not last.size):
            last.aliases.append(symbol.name)
            last.end = max(last.end, symbol.value + symbol.size)
        elif last is None or symbol.value >= last.end:
            kind = "function" if section.is_text else "data"
            pieces.append(
                Piece(
                    arch,
                    section,
                    symbol.value,
                    symbol.value + symbol.size,
                    symbol.name,
                    kind,
                    symbol,
                    lifetime=lifetime(section),
                )
            )
    for piece, following in zip(pieces, [p.start for p in pieces[1:]] + [section.size]):
        # Assembler code may have symbols without a size: they reach to the next one.
        if piece.size == 0 and piece.symbol is not None and piece.symbol.kind == "notype":
            piece.end = following
        piece.end = min(piece.end, section.size)
    return pieces


def _is_cut(symbol: Symbol, section: Section) -> bool:
    return symbol.kind in ("func", "object") or symbol.binding != "local" or (symbol.size > 0)
