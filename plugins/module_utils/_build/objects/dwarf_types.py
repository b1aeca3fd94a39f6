# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types and functions that never return, from an object's debug information.

Source: DWARF 5, chapters 3 and 5.  Only file-scope entries are read: the bodies of functions, most of the debug
information, are skipped by their ``DW_AT_sibling``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import pathlib
import struct
from typing import Any, Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.table import architecture_of_elf
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.deps import elffile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_RELA = struct.Struct("<QQq")
# What they say concerns the code that uses an object, not the object.
_QUALIFIERS = ("DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type")
_AGGREGATES = {"DW_TAG_structure_type": "struct", "DW_TAG_union_type": "union"}


@dataclasses.dataclass(frozen=True)
class Member:
    """A member: ``offset`` in bits from the start, ``bits`` its width if it is a bit field, else 0."""

    name: str
    type: str
    offset: int
    bits: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """How objects of a named type lie in memory; ``name`` is ``struct foo``, ``enum foo`` or a typedef's name.

    ``size`` is in bytes.  Enumerations have no members here: a new constant does not change objects.
    """

    name: str
    size: int
    members: tuple[Member, ...]


class DebugTypes:
    """``layouts`` by name, and what else is declared at file scope; empty without DWARF.

    ``never_return`` has the names of functions declared ``__noreturn``; ``variables`` the types of variables that the
    object defines, in words; ``constants`` has, for each enumeration, the values of its constants by name;
    ``typedefs`` the structs and unions that other names stand for.

    Raises ``RebootlessError`` (``bad_object``) if the debug information cannot be read.
    """

    def __init__(self, path: str | pathlib.Path):
        self._path = path
        self.layouts: dict[str, Layout] = {}
        self.never_return: set[str] = set()
        self.variables: dict[str, str] = {}
        self.constants: list[dict[str, int]] = []
        self.typedefs: dict[str, str] = {}
        self._described: dict[int, str] = {}
        self._functions: dict[str, Any] = {}
        with debug_information(path) as elf:
            if elf is not None:
                self._read(elf)

    def _read(self, elf) -> None:
        for unit in compilation_units(elf):
            for entry in unit.iter_DIE_children(unit.get_top_DIE()):
                self._file_scope(entry)

    def _file_scope(self, entry) -> None:
        if entry.tag == "DW_TAG_enumeration_type":
            values = {_name(c): _number(c, "DW_AT_const_value") for c in entry.iter_children()}
            self.constants.append(values)
        elif entry.tag == "DW_TAG_variable" and "DW_AT_location" in entry.attributes:
            if "DW_AT_specification" in entry.attributes:
                entry = entry.get_DIE_from_attribute("DW_AT_specification")
            self.variables[_name(entry)] = self._type_of(entry)
        name = _name(entry)
        if not name:
            return
        if entry.tag == "DW_TAG_subprogram":
            self._functions[name] = entry
            if "DW_AT_noreturn" in entry.attributes:
                self.never_return.add(name)
        elif entry.tag in _AGGREGATES or entry.tag == "DW_TAG_enumeration_type":
            if "DW_AT_declaration" not in entry.attributes:
                layout = Layout(self._describe(entry), _number(entry, "DW_AT_byte_size"), self._members(entry))
                self.layouts[layout.name] = layout
        elif entry.tag == "DW_TAG_typedef":
            words = self._type_of(entry)
            if "{" in words:  # what has a name is compared by that
                self.layouts[name] = Layout(name, 0, (Member("", words, 0, 0),))
            elif words.startswith(tuple(_AGGREGATES.values())) and len(words.split()) == 2:
                self.typedefs[name] = words

    def struct_of(self, words: str) -> str:
        """The name among ``layouts`` of a struct that gcc's dumps call ``struct name``, also by a typedef's name."""
        name = words.rpartition(" ")[2]
        if words in self.layouts or not words.startswith(tuple(_AGGREGATES.values())):
            return words
        return name if name in self.layouts else self.typedefs.get(name, words)

    def prototype(self, name: str) -> str:
        """What the function ``name`` takes and returns, in words; "" if it is not declared here."""
        entry = self._functions.get(name)
        if entry is None:
            return ""
        kinds = ("DW_TAG_formal_parameter", "DW_TAG_unspecified_parameters")
        with reading_debug_information(self._path):
            parameters = [self._type_of(p) for p in entry.iter_children() if p.tag in kinds]
            return f"{self._type_of(entry)} ({', '.join(parameters) or 'void'})"

    def _members(self, entry) -> tuple[Member, ...]:
        if entry.tag not in _AGGREGATES:
            return ()
        return tuple(
            Member(_name(m), self._type_of(m), _bit_offset(m), _number(m, "DW_AT_bit_size"))
            for m in entry.iter_children()
            if m.tag == "DW_TAG_member"
        )

    def _type_of(self, entry) -> str:
        if "DW_AT_type" not in entry.attributes:
            return "void"
        return self._describe(entry.get_DIE_from_attribute("DW_AT_type"))

    def _describe(self, entry) -> str:
        """The type in words that are equal for equal types: names where there are some, else the contents."""
        if entry.offset not in self._described:
            self._described[entry.offset] = self._words(entry)
        return self._described[entry.offset]

    def _words(self, entry) -> str:
        tag, name = entry.tag, _name(entry)
        if tag in _AGGREGATES:
            if name:
                return f"{_AGGREGATES[tag]} {name}"
            inside = "; ".join(f"{m.type} {m.name} @{m.offset}:{m.bits}" for m in self._members(entry))
            return f"{_AGGREGATES[tag]} {{ {inside} }} of {_number(entry, 'DW_AT_byte_size')} bytes"
        if tag == "DW_TAG_enumeration_type":
            return f"enum {name}" if name else f"enum of {_number(entry, 'DW_AT_byte_size')} bytes"
        if tag == "DW_TAG_typedef":
            words = self._type_of(entry)
            # What is told by its contents is better told by its name; any other name is as good as what it stands for.
            return str(name) if "{" in words else words
        if tag in _QUALIFIERS:
            return self._type_of(entry)
        if tag == "DW_TAG_pointer_type":
            # Which functions a pointer may be set to is for the code that sets and calls it.
            words = self._type_of(entry)
            return "function *" if words == "function" else f"{words} *"
        if tag == "DW_TAG_array_type":
            bounds = "".join(f"[{_length(d)}]" for d in entry.iter_children() if d.tag == "DW_TAG_subrange_type")
            return f"{self._type_of(entry)} {bounds}"
        if tag == "DW_TAG_subroutine_type":
            return "function"
        return name or tag


@contextlib.contextmanager
def reading_debug_information(path: str | pathlib.Path) -> Iterator[None]:
    """Turns what pyelftools raises over debug information that is damaged into the refusal of the object."""
    try:
        yield
    except Exception as error:
        raise RebootlessError(
            "bad_object",
            f"The debug information of {path} cannot be read: {error!r}.",
            "Remove the file, so that it is compiled again.",
            path=str(path),
        ) from error


@contextlib.contextmanager
def debug_information(path: str | pathlib.Path) -> Iterator[Any]:
    """The open ELF file of an object; None if it has no debug information.  Refuses one that is damaged."""
    with open(path, "rb") as stream, reading_debug_information(path):
        elf = elffile.ELFFile(stream)
        yield elf if elf.get_section_by_name(".debug_info") is not None else None


def compilation_units(elf) -> Iterator[Any]:
    """The DWARF compilation units of an object that no linker has seen: their strings and types can be read."""
    information = elf.get_dwarf_info(relocate_dwarf_sections=False)
    section = information.debug_info_sec
    information.debug_info_sec = section._replace(stream=io.BytesIO(_with_string_offsets(elf)))
    yield from information.iter_CUs()


def _with_string_offsets(elf) -> bytes:
    """``.debug_info`` with its references to other debug sections filled in; addresses of code are not needed."""
    data = bytearray(elf.get_section_by_name(".debug_info").data())
    relocations = elf.get_section_by_name(".rela.debug_info")
    address = architecture_of_elf(elf["e_machine"]).section_offset.number
    if relocations is not None:
        for offset, kind, addend in _RELA.iter_unpack(relocations.data()):
            if kind & 0xFFFFFFFF == address:  # against the section symbol of a debug section, whose value is 0
                struct.pack_into("<I", data, offset, addend)
    return bytes(data)


def _name(entry) -> str:
    attribute = entry.attributes.get("DW_AT_name")
    return attribute.value.decode("utf-8", "replace") if attribute else ""


def _number(entry, attribute: str) -> int:
    found = entry.attributes.get(attribute)
    return found.value if found and isinstance(found.value, int) else 0


def _bit_offset(entry) -> int:
    if "DW_AT_data_bit_offset" in entry.attributes:
        return _number(entry, "DW_AT_data_bit_offset")
    return 8 * _number(entry, "DW_AT_data_member_location")


def _length(entry) -> int | str:
    if "DW_AT_count" in entry.attributes:
        return _number(entry, "DW_AT_count")
    if "DW_AT_upper_bound" in entry.attributes:
        return _number(entry, "DW_AT_upper_bound") + 1
    return ""
