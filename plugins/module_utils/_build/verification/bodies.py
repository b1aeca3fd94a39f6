# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where functions and data of a compiled unit begin and end, and what a field of it means."""

from __future__ import annotations

import bisect
import dataclasses
import typing

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import check as machine
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification import tables
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.reader import (
    Area,
    Mark,
    Object,
    RelocatedField,
)

_NOT_NAMES = (".L", "__pfx_", "__cfi_")


@dataclasses.dataclass(eq=False)
class Body:
    """Bytes ``[start, end)`` of a section; ``names`` is empty for bytes that only an offset leads to."""

    area: Area
    start: int
    end: int
    names: list[str]
    marks: list[Mark]

    size = property(lambda self: self.end - self.start)
    is_code = property(lambda self: self.area.is_code)
    is_global = property(lambda self: any(not mark.is_local for mark in self.marks))
    is_function = property(lambda self: self.is_code and any(mark.kind == "func" for mark in self.marks))
    is_marked = property(lambda self: self.is_code and self.area.data.startswith(machine.LANDING_MARK, self.start))
    is_weak = property(lambda self: any(mark.is_weak for mark in self.marks))
    title = property(lambda self: self.names[0] if self.names else f"bytes of {self.area.name}")


@dataclasses.dataclass(frozen=True)
class Outside:
    """A field means a symbol that the unit does not define; ``addend`` is the ABI's."""

    name: str
    addend: int


@dataclasses.dataclass(frozen=True)
class MergedLiteral:
    """A field means a string or constant: ``data``, of which the byte ``at`` is pointed to."""

    data: bytes
    at: int
    align: int


@dataclasses.dataclass(frozen=True)
class Inside:
    """A field means ``at`` bytes into a body of the unit; ``addend`` is what a field to the body's start would hold."""

    body: Body
    at: int
    addend: int


Meaning = typing.Union[Outside, MergedLiteral, Inside]


class Bodies:
    """The bodies of ``obj``, which is compiled with a section for each function and datum, as far as it can be."""

    def __init__(self, obj: Object) -> None:
        self.obj = obj
        self._of_area: dict[int, list[Body]] = {}
        self._code: dict[tuple[int, int], list[machine.Instruction]] = {}
        self._marked: dict[int, Body] = {}
        self._edges: dict[int, set[int]] = {}
        self.tables = {
            area.index: list(tables.entries(obj, area))
            for area in obj.areas
            if area.is_loaded and tables.is_table(area.name) and area.fields
        }
        for area in obj.areas:
            if area.is_loaded and not area.is_merged and area.index not in self.tables:
                bodies = _named(area)
                self._of_area[area.index] = bodies
                self._marked.update((id(mark), body) for body in bodies for mark in body.marks)
        self._add_replacements()

    def _add_replacements(self) -> None:
        """An alternative's replacement is as long as its entry says, wherever labels stand in it."""
        for rows in self.tables.values():
            for row in rows:
                field = next((f for f in row.fields if f.offset == machine.ADDRESS_OF_REPLACEMENT), None)
                if row.area.name != machine.ALTERNATIVES or field is None or field.mark.section is None:
                    continue
                if row.lengths[1]:
                    self._add(self.obj.areas[field.mark.section], field.points_to, field.points_to + row.lengths[1])

    def _add(self, area: Area, start: int, end: int) -> Body:
        bodies = self._of_area.setdefault(area.index, [])
        known = next((body for body in bodies if body.start == start and not body.names), None)
        if known is None:
            known = Body(area, start, end, [], [])
            bisect.insort(bodies, known, key=lambda body: body.start)
        known.end = max(known.end, end)
        return known

    def all(self) -> list[Body]:
        """Those that are known so far."""
        return [body for bodies in self._of_area.values() for body in bodies]

    def named(self, name: str) -> Body | None:
        """The body with a symbol of that name."""
        marks = [mark for mark in self.obj.by_name.get(name, ()) if mark.section is not None]
        return next((self._marked[id(mark)] for mark in marks if id(mark) in self._marked), None)

    def code(self, body: Body) -> list[machine.Instruction]:
        """The instructions of a body of code."""
        key = body.area.index, body.start
        if key not in self._code or self._code[key][-1].end < body.end:
            self._code[key] = machine.instructions(body.area.data[body.start : body.end], body.start)
        return self._code[key]

    def instruction_of(self, body: Body, offset: int, width: int) -> machine.Instruction | None:
        """The instruction that the field at ``offset`` of its section is a part of."""
        found = self.code(body)
        at = bisect.bisect_left(found, offset + width, key=lambda i: i.end)
        return found[at] if at < len(found) and found[at].start <= offset else None

    def bias(self, body: Body | None, field: RelocatedField) -> int:
        """How far behind a field of code the CPU counts from: to the end of its instruction; 0 for all other fields."""
        if body is None or not body.is_code or field.type not in machine.RELATIVE:
            return 0
        instruction = self.instruction_of(body, field.offset, field.width)
        return instruction.end - field.offset if instruction is not None else field.width

    def is_branch(self, body: Body, offset: int, width: int) -> bool:
        """Whether a field of code is the distance of a direct call or jump."""
        instruction = self.instruction_of(body, offset, width) if body.is_code else None
        return instruction is not None and instruction.is_branch and instruction.end == offset + width

    def meaning(self, field: RelocatedField, bias: int) -> Meaning:
        """What a field means, if the CPU counts from ``bias`` bytes behind it."""
        mark = field.mark
        if mark.section is None:
            return Outside(mark.name, field.addend)
        area, at = self.obj.areas[mark.section], field.points_to + bias
        if area.is_merged:
            start, data = area.literal(at)
            return MergedLiteral(data, at - start, 1 if area.flags & 0x20 else area.align)
        body = self._marked.get(id(mark)) or self.at(area, mark.value if mark.kind != "section" else at)
        return Inside(body, at - body.start, field.points_to - body.start)

    def at(self, area: Area, offset: int) -> Body:
        """The body that an offset means: the one it lies in or ends; else bytes of their own."""
        bodies = self._of_area.setdefault(area.index, [])
        index = bisect.bisect_right(bodies, offset, key=lambda body: body.start) - 1
        for body in reversed(bodies[max(index - 8, 0) : index + 1]):
            if body.start <= offset < body.end or offset == body.start:
                return body
        named = [body for body in bodies if body.names]
        if named and not 0 <= offset < area.size:
            return named[0] if offset < 0 else named[-1]
        if len(named) == 1 and not area.is_code and any(area.name.endswith(f".{name}") for name in named[0].names):
            return named[0]  # the section is its own: what follows is the gap that -fsanitize=kernel-address leaves
        if area.is_code and named:
            return max((body for body in named if body.start <= offset), key=lambda b: b.start, default=named[0])
        return self._add(area, offset, self._end(area, offset))

    def _end(self, area: Area, offset: int) -> int:
        """Where bytes without a name end: code behind its last jump, data where something else begins."""
        if area.is_code:
            for instruction in machine.instructions(area.data[offset:], offset):
                if instruction.is_end:
                    return instruction.end
            return area.size
        edges = self._edges.get(area.index)
        if edges is None:
            edges = {area.size, *(mark.value for mark in area.marks if mark.kind != "section")}
            for other in self.obj.areas:
                edges |= {self._pointed_to(other, f) for f in other.fields if f.mark.section == area.index}
            self._edges[area.index] = edges
        return min((edge for edge in edges if edge > offset), default=area.size)

    def _pointed_to(self, area: Area, field: RelocatedField) -> int:
        if not area.is_code or field.type not in machine.RELATIVE:
            return field.points_to
        body = next((b for b in self._of_area.get(area.index, ()) if b.start <= field.offset < b.end), None)
        return field.points_to + (self.bias(body, field) if body is not None else field.width)


def _named(area: Area) -> list[Body]:
    """One body for each place where a symbol of a function or datum begins; symbols inside of one are its labels."""
    marks = [m for m in area.marks if m.name and not m.name.startswith(_NOT_NAMES) and m.kind != "section"]
    marks = [m for m in marks if m.kind in ("func", "object") or not m.is_local or m.size]
    marks.sort(key=lambda m: (m.value, not m.size))
    bodies: list[Body] = []
    for mark in marks:
        last = bodies[-1] if bodies else None
        if last is not None and mark.value == last.start and (mark.size or not last.size):
            last.names.append(mark.name)
            last.marks.append(mark)
            last.end = max(last.end, mark.value + mark.size)
        elif last is None or mark.value >= last.end:
            bodies.append(Body(area, mark.value, mark.value + mark.size, [mark.name], [mark]))
    for body, following in zip(bodies, [*(b.start for b in bodies[1:]), area.size]):
        # Assembler code may have labels without a size: they reach to the next one.
        if body.size == 0 and body.marks[0].kind == "notype":
            body.end = following
        body.end = min(body.end, area.size)
    return bodies
