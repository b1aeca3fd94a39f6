# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables in an object's debug information: their types, member by member.

A variable is found by where it lies, not by its name: ``DW_AT_location`` holds ``DW_OP_addr`` with a relocation, whose
symbol and addend say which bytes of the object are meant.  So static locals of one name are told apart.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from typing import Any

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.table import architecture_of_elf
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import (
    _bit_offset,
    _length,
    _name,
    _number,
    compilation_units,
    debug_information,
    reading_debug_information,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece

_RELA = struct.Struct("<QQq")
_DW_OP_ADDR = 3
_LONGEST = 1000  # names and qualifiers of a type, one of the other
_TRANSPARENT = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_atomic_type")
_AGGREGATES = ("DW_TAG_structure_type", "DW_TAG_union_type")
_SIGNED = (5, 6, 0xD)  # DW_ATE_signed, DW_ATE_signed_char, DW_ATE_signed_fixed


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A member that has no members: where it is in its variable, in bits, and how the source would write it.

    ``path`` begins behind the variable's name (``[3].len``, ``.ndo_open``, ``""``), ``struct`` is the name of the
    struct or union that the last member of the path belongs to, "" if none.
    """

    path: str
    struct: str
    bit: int
    bits: int
    signed: bool
    pointer: bool


class DebugVariables:
    """The variables of the object at ``path``; empty without DWARF.

    Raises ``RebootlessError`` (``bad_object``) if the debug information cannot be read.
    """

    def __init__(self, path: str):
        self._path = path
        self._by_place: dict[tuple[int, int], Any] = {}
        with debug_information(path) as elf:
            if elf is not None:
                self._read(elf)

    def _read(self, elf) -> None:
        places = _places(elf)
        for unit in compilation_units(elf):
            for entry in unit.iter_DIEs():
                if entry.tag == "DW_TAG_variable" and "DW_AT_location" in entry.attributes:
                    location = entry.attributes["DW_AT_location"]
                    expression = location.value
                    if isinstance(expression, list) and len(expression) == 9 and expression[0] == _DW_OP_ADDR:
                        place = places.get(location.offset + 2)  # behind the length and the opcode
                        if place is not None:
                            self._by_place[place] = entry

    def leaves(self, piece: Piece, wanted: range) -> Iterator[Leaf]:
        """The leaves of the variable at ``piece`` that overlap the bytes ``wanted``; none if it is not described."""
        entry = self._by_place.get((piece.section.index, piece.start))
        if entry is not None:
            bits = range(8 * wanted.start, 8 * wanted.stop)
            with reading_debug_information(self._path):
                found = list(_leaves(_type_of(_origin(entry)), "", "", 0, 0, bits))
            yield from found

    def owner(self, piece: Piece) -> str:
        """The function that the static local at ``piece`` is declared in; "" if it is none."""
        entry = self._by_place.get((piece.section.index, piece.start))
        with reading_debug_information(self._path):
            entry = _origin(entry) if entry is not None else None
            while entry is not None and entry.tag != "DW_TAG_subprogram":
                entry = entry.get_parent()
            if entry is None:
                return ""
            if "DW_AT_abstract_origin" in entry.attributes:
                entry = entry.get_DIE_from_attribute("DW_AT_abstract_origin")
            return _name(entry)

    def type_name(self, piece: Piece) -> str:
        """The name of the struct that the variable is, or is an array of; "" if it is none."""
        entry = self._by_place.get((piece.section.index, piece.start))
        with reading_debug_information(self._path):
            type_ = _type_of(_origin(entry)) if entry is not None else None
            while type_ is not None and type_.tag == "DW_TAG_array_type":
                type_ = _type_of(type_)
        return _name(type_) if type_ is not None and type_.tag in _AGGREGATES else ""


def _places(elf) -> dict[int, tuple[int, int]]:
    """Offset of a field in ``.debug_info`` -> (section, offset) that it points to."""
    relocations = elf.get_section_by_name(".rela.debug_info")
    symbols = elf.get_section_by_name(".symtab")
    if relocations is None or symbols is None:
        return {}
    pointer = architecture_of_elf(elf["e_machine"]).pointer.number
    found = {}
    for offset, info, addend in _RELA.iter_unpack(relocations.data()):
        if info & 0xFFFFFFFF == pointer:
            symbol = symbols.get_symbol(info >> 32)
            if isinstance(symbol["st_shndx"], int):
                found[offset] = (symbol["st_shndx"], symbol["st_value"] + addend)
    return found


def _origin(entry):
    """The entry that has the type: a definition may only complete a declaration or an inlined function's variable."""
    for attribute in ("DW_AT_specification", "DW_AT_abstract_origin"):
        if attribute in entry.attributes and "DW_AT_type" not in entry.attributes:
            return _origin(entry.get_DIE_from_attribute(attribute))
    return entry


def _type_of(entry):
    """The entry of its type, without names and qualifiers; None for void."""
    for _unused in range(_LONGEST):
        if "DW_AT_type" not in entry.attributes:
            return None
        entry = entry.get_DIE_from_attribute("DW_AT_type")
        if entry.tag not in _TRANSPARENT:
            return entry
    raise ValueError("a type is named by itself")


def _leaves(type_, path: str, owner: str, at: int, width: int, wanted: range) -> Iterator[Leaf]:
    """``at`` and ``width`` are in bits; ``width`` is that of a bit field, else 0."""
    if type_ is None:
        return
    bits = width or 8 * _size(type_)
    if at >= wanted.stop or at + bits <= wanted.start:
        return
    if type_.tag in _AGGREGATES:
        for member in type_.iter_children():
            if member.tag == "DW_TAG_member":
                name, below = _name(member), at + _bit_offset(member)
                place = (f"{path}.{name}" if name else path, _name(type_) or owner, below)
                found = list(_leaves(_type_of(member), *place, _number(member, "DW_AT_bit_size"), wanted))
                yield from found
                if found and type_.tag == "DW_TAG_union_type":
                    break  # its other members are the same bytes again
    elif type_.tag == "DW_TAG_array_type":
        bounds = [_length(d) for d in type_.iter_children() if d.tag == "DW_TAG_subrange_type"]
        yield from _elements(_type_of(type_), [b if isinstance(b, int) else 0 for b in bounds], path, owner, at, wanted)
    else:
        signed = _number(type_, "DW_AT_encoding") in _SIGNED
        yield Leaf(path, owner, at, bits, signed, type_.tag == "DW_TAG_pointer_type")


def _elements(type_, bounds: list[int], path: str, owner: str, at: int, wanted: range) -> Iterator[Leaf]:
    if not bounds:
        yield from _leaves(type_, path, owner, at, 0, wanted)
        return
    step = 8 * _size(type_) if type_ is not None else 0
    for bound in bounds[1:]:
        step *= bound
    if not step:
        return
    for index in range(max((wanted.start - at) // step, 0), min(-((at - wanted.stop) // step), bounds[0])):
        yield from _elements(type_, bounds[1:], f"{path}[{index}]", owner, at + index * step, wanted)


def _size(type_) -> int:
    if type_.tag == "DW_TAG_array_type":
        size = _size(_type_of(type_)) if _type_of(type_) is not None else 0
        for bound in (_length(d) for d in type_.iter_children() if d.tag == "DW_TAG_subrange_type"):
            size *= bound if isinstance(bound, int) else 0
        return size
    return 8 if type_.tag == "DW_TAG_pointer_type" else _number(type_, "DW_AT_byte_size")
