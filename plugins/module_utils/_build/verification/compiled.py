# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A compiled body as it has to be in a module: its bytes, and what each of its fields means."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import check as machine
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification import tables
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.bodies import Body, Inside, Meaning
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.refusal import not_proven
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.unit import ComparedUnit

_TAKEN_OUT = 2  # in a static branch's key: include/linux/jump_label.h, JUMP_TYPE_... and objtool's handle_jump_alt()


@dataclasses.dataclass(frozen=True)
class CompiledField:
    """A field, ``offset`` bytes into its body; the CPU counts from ``bias`` bytes behind it."""

    offset: int
    type: int
    meaning: Meaning
    bias: int
    is_branch: bool


def compiled(unit: ComparedUnit, body: Body) -> tuple[bytearray, list[CompiledField]]:
    """The bytes of a body, with zeros in its fields, and these in order."""
    data = bytearray(body.area.data[body.start : body.end])
    spans = list(_taken_out(unit, body, data))
    for span in spans:
        data[span.start : span.stop] = machine.NOPS[len(span)]
    fields = []
    for field in body.area.fields_in(body.start, body.end):
        offset = field.offset - body.start
        if not any(offset in span for span in spans):
            bias = unit.bodies.bias(body, field)
            branch = unit.bodies.is_branch(body, field.offset, field.width)
            fields.append(CompiledField(offset, field.type, unit.bodies.meaning(field, bias), bias, branch))
    fields += _branches_out(unit, body, [*spans, *(range(f.offset, f.offset + 1) for f in fields)])
    for f in fields:
        data[f.offset : f.offset + machine.WIDTHS[f.type]] = bytes(machine.WIDTHS[f.type])
    return data, sorted(fields, key=lambda f: f.offset)


def _taken_out(unit: ComparedUnit, body: Body, data: bytearray) -> Iterator[range]:
    """Static branches that objtool takes out when it links: the kernel puts them in where the key says so."""
    for row in unit.entries(body):
        if row.area.name == tables.JUMPS and row.flags & _TAKEN_OUT:
            at = row.code.points_to - body.start
            if data[at] in machine.JUMPS:
                yield range(at, at + machine.JUMPS[data[at]])


def _branches_out(unit: ComparedUnit, body: Body, known: list[range]) -> Iterator[CompiledField]:
    """Calls and jumps out of a body that the assembler could resolve, since they stay in their section."""
    if not body.is_code or (body.start == 0 and body.end == body.area.size):
        return
    for i in unit.bodies.code(body):
        here = range(i.start - body.start, i.end - body.start)
        if i.branch_to is None or body.start <= i.branch_to < body.end:
            continue
        if any(span.start < here.stop and here.start < span.stop for span in known):
            continue
        if len(here) <= machine.SHORT_BRANCH:
            what = "it jumps out of itself by a distance of one byte"
            raise not_proven(what, unit.name, body.title, section=body.area.name, offset=here.start)
        target = unit.bodies.at(body.area, i.branch_to)
        at = i.branch_to - target.start
        distance = machine.DISTANCE
        meaning = Inside(target, at, at - distance)
        yield CompiledField(here.stop - distance, machine.BRANCH, meaning, distance, True)
