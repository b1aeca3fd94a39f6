# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bit-fields of a struct are asked for at once: gcc asks for ``a->one && a->two`` with one mask."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.members.facts import BitFields, Member
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.values import ANONYMOUS
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import DebugTypes

_INSIDE = re.compile(r"(?P<name>\w+) @(?P<offset>\d+):(?P<bits>\d+)")


def bit_fields_of(types: DebugTypes) -> BitFields:
    """What finds the bit-fields in the structs of an object."""

    def found(member: Member, at: int, mask: int) -> list[tuple[str, int]]:
        return [
            (name, (mask << at) >> offset & ((1 << bits) - 1))
            for name, offset, bits in _fields(types, member)
            if bits and (mask << at) & (((1 << bits) - 1) << offset)
        ]

    return found


def _fields(types: DebugTypes, member: Member) -> Iterator[tuple[str, int, int]]:
    """Name, offset and width of the fields of what ``member`` is."""
    name = types.struct_of(member.struct)
    steps = [] if member.path in ("", ANONYMOUS) else member.path.split(".")
    for step in steps:
        layout = types.layouts.get(name)
        name = next((m.type for m in layout.members if m.name == step), "") if layout else ""
    layout = types.layouts.get(name)
    for field in layout.members if layout else ():
        inner = [(m["name"], int(m["offset"]), int(m["bits"])) for m in _INSIDE.finditer(field.type)]
        if member.path == ANONYMOUS:
            yield from [] if field.name else inner
        elif field.name:
            yield field.name, field.offset, field.bits
        else:
            yield from ((path, field.offset + offset, bits) for path, offset, bits in inner)
