# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes with relocated fields: what may stand at a place of running code."""

from __future__ import annotations

import dataclasses

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import Relocation, Section
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# enum rbl_reloc_type of kmod/relocs.h.
ABS64, PC32, ABS32, ABS32S, PC8, PC64, INDIRECT_PC32, COPY64, COPY8 = range(1, 10)
FIELD_SIZES = {ABS64: 8, PC32: 4, ABS32: 4, ABS32S: 4, PC8: 1, PC64: 8, INDIRECT_PC32: 4, COPY64: 8, COPY8: 1}
POSITION_DEPENDENT = frozenset((PC32, PC8, PC64, INDIRECT_PC32))


@dataclasses.dataclass(frozen=True)
class Literal:
    """Bytes that stand somewhere in the target; ``where`` tells two of equal bytes apart."""

    data: bytes
    where: tuple


@dataclasses.dataclass(frozen=True)
class Field:
    """A relocated field at ``offset`` of its content.

    ``target`` is a ``Section`` (its base), a ``str`` (a symbol that the target's symbol table knows by name) or a
    ``Literal``; ``type`` and ``addend`` are those of ``struct rbl_reloc``.
    """

    offset: int
    type: int
    target: Section | str | Literal
    addend: int

    end = property(lambda self: self.offset + FIELD_SIZES[self.type])

    def moved(self, distance: int) -> Field:
        """The same reference ``distance`` bytes further on."""
        return dataclasses.replace(self, offset=self.offset + distance)


@dataclasses.dataclass(frozen=True)
class Content:
    """Bytes and the fields in them, by offset; the bytes under a field are 0."""

    data: bytes
    fields: tuple[Field, ...] = ()

    def __len__(self) -> int:
        return len(self.data)

    def cut(self, start: int, end: int) -> Content:
        """Bytes ``[start, end)``; raises ``ValueError`` if that cuts a field in two."""
        inside = [f for f in self.fields if f.offset < end and f.end > start]
        if any(f.offset < start or f.end > end for f in inside):
            raise ValueError(f"a relocated field lies across the bounds of bytes {start:#x} to {end:#x}")
        return Content(self.data[start:end], tuple(f.moved(-start) for f in inside))

    def overwritten(self, offset: int, other: Content) -> Content:
        """This content with ``other`` written over it at ``offset``."""
        end = offset + len(other)
        return joined(self.cut(0, offset), other, self.cut(end, len(self)))


def joined(*parts: Content) -> Content:
    """The parts, one behind the other."""
    data, fields = b"", []
    for part in parts:
        fields += [f.moved(len(data)) for f in part.fields]
        data += part.data
    return Content(data, tuple(fields))


def plain(*values: int) -> Content:
    """A content without fields."""
    return Content(bytes(values))


def relative(opcode: bytes, target: Section | str | Literal, addend: int = 0, type_: int = PC32) -> Content:
    """An instruction whose last bytes are the distance to ``target + addend``, as calls and jumps have it.

    For ``INDIRECT_PC32`` the distance is to what the pointer at ``target + addend`` points to.
    """
    size = FIELD_SIZES[type_]
    bias = 0 if type_ == INDIRECT_PC32 else size
    return Content(opcode + bytes(size), (Field(len(opcode), type_, target, addend - bias),))


def field_of(relocation: Relocation) -> Field | None:
    """The field that a relocation of a pre object describes; None for a type that relocates nothing.

    A reference into a merged section becomes a literal.  The linker moves a named symbol of such a section with its
    constant; a reference by section symbol it moves as a whole, so there the constant is where the reference points.
    A literal, too, is what boot code stands where nothing else tells the address (``Section.is_boot_fragments``).
    """
    if relocation.type.field is None:
        return None
    symbol, section, addend = relocation.symbol, relocation.symbol.section, relocation.addend
    target: Section | str | Literal
    if section is None or symbol.binding == "weak":  # another unit may hold the definition that the linker chose
        if not symbol.name or not (symbol.undefined or symbol.section is not None):
            raise RebootlessError(
                "unknown_reference",
                f"A field refers to the absolute symbol {symbol.name or '(unnamed)'}, which no symbol table holds.",
                "Report this unit: its match program cannot be built.",
            )
        target = symbol.name
    elif section.is_merged or section.is_boot_fragments:
        start = relocation.meaning if symbol.kind == "section" else symbol.value
        addend -= start if symbol.kind == "section" else 0
        target = Literal(constant(section, start), (section.index, start))
    else:
        target, addend = section, addend + symbol.value
    return Field(relocation.offset, relocation.type.field, target, addend)


def constant(section: Section, start: int) -> bytes:
    """What surely stands at ``start``: a merged string's rest with its NUL, a constant's rest, code up to a field."""
    if section.is_text:
        fields = section.relocations_in(start, section.size)
        return section.data[start : fields[0].offset if fields else section.size]
    if section.is_strings or not section.entry_size:
        return section.literal(start)
    return section.data[start : (start // section.entry_size + 1) * section.entry_size]


def content_of(section: Section, start: int, end: int) -> Content:
    """Bytes ``[start, end)`` of a section as the object has them, fields included.

    Raises ``ValueError`` if a field lies across one of the bounds.
    """
    data = bytearray(section.data[start:end])
    fields = []
    for relocation in section.relocations_in(start - 7, end):
        field = field_of(relocation)
        if field is None or field.end <= start:
            continue
        if field.offset < start or field.end > end:
            raise ValueError(f"the field at {field.offset:#x} lies across the bounds {start:#x} to {end:#x}")
        data[field.offset - start : field.end - start] = bytes(FIELD_SIZES[field.type])
        fields.append(field.moved(-start))
    return Content(bytes(data), tuple(fields))
