# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the proof begins: what a module's own tables say is replaced, exchanged and called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import check as machine
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification import tables
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.claims import Claim
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.descriptor import (
    DescribedPart,
    Descriptor,
    Row,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.reader import Object
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.refusal import not_proven
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.unit import (
    ComparedUnit,
    is_part,
    stem,
)

_LABEL = re.compile(r"(?P<name>.+)\.rbl(\.\d+)?(?P<part>\.cold(\.\d+)?)?$")  # docs/formats.md


def roots(module: Object, descriptor: Descriptor, units: dict[tuple[str, str], ComparedUnit]) -> Iterator[Claim]:
    """What the tables' rows say stands where.  Raises ``RebootlessError`` (``module_not_proven``) for a false row."""
    for part in descriptor.parts:
        for is_code, rows in ((True, part.functions), (False, part.data)):
            for row in rows:
                unit = _unit_of(part, row, units)
                _check_running(part, row, unit)
                if row.replacement is not None:
                    if is_code:
                        _check_jump(part, row, unit)
                    yield _replacement(module, unit, row, row.replacement, is_code)
                elif is_code and not is_part(row.name) and unit.bodies.named(row.name) is not None:
                    raise not_proven("it is only left, and nothing takes its place", unit.name, row.name)
        if part.name == part.object_name:
            yield from _hooks(module, part, [unit for unit in units.values() if unit.object_name == part.name])


def named_at(module: Object, place: tuple[int, int], unit: str = "", function: str = "") -> str:
    """What the module's label at a place says stands there."""
    labels = [mark.name for mark in module.areas[place[0]].marks if mark.value == place[1]]
    found = [_LABEL.match(name) for name in labels]
    names = {match["name"] + (match["part"] or "") for match in found if match}
    if len(names) != 1:
        raise not_proven("nothing that is carried stands where its tables point", unit, function, found=labels)
    return names.pop()


def _unit_of(part: DescribedPart, row: Row, units: dict[tuple[str, str], ComparedUnit]) -> ComparedUnit:
    if row.symbol.section >= len(part.program.sections):
        raise not_proven(f"it does not say where {row.name} is", function=row.name)
    name = part.program.sections[row.symbol.section].unit
    if (part.object_name, name) not in units:
        raise not_proven(f"it changes {name} of {part.object_name}, which was not compiled for it", name)
    return units[part.object_name, name]


def _check_running(part: DescribedPart, row: Row, unit: ComparedUnit) -> None:
    """What is replaced has to be what runs."""
    section, offset = part.program.sections[row.symbol.section].name, row.symbol.offset
    marks = [mark for mark in unit.runs_at(section, offset) if mark.name == row.name]
    if not marks or marks[0].size not in (0, row.size):
        what = f"what runs at {section}+{offset:#x} is not {row.name} with its {row.size} bytes"
        raise not_proven(what, unit.name, row.name, section=section, offset=offset)


def _check_jump(part: DescribedPart, row: Row, unit: ComparedUnit) -> None:
    """The jump stands behind the landing mark and the call of tracers, and ends before the next function begins."""
    section, start = part.program.sections[row.symbol.section].name, row.symbol.offset
    area = unit.exact.areas_called(section)[0]
    behind = len(machine.LANDING_MARK) if area.data.startswith(machine.LANDING_MARK, start) else 0
    traced = (f for table in unit.exact.areas_called(tables.ENTRIES_OF_TRACERS) for f in table.fields)
    if any(f.mark.section == area.index and f.points_to == start + behind for f in traced):
        behind += machine.CALL_SIZE
    if row.jump != behind:
        what = "the jump to its replacement stands at another place"
        raise not_proven(what, unit.name, row.name, section=section, expected=behind, found=row.jump)
    following = (m.value for m in area.marks if m.value > start and m.kind == "func")
    if start + behind + len(machine.STUB) > min(following, default=area.size):
        raise not_proven("its first bytes have no room for a jump", unit.name, row.name, section=section, offset=behind)


def _replacement(module: Object, unit: ComparedUnit, row: Row, at: tuple[int, int], is_code: bool) -> Claim:
    """What replaces it has to be what was compiled under its name."""
    body = unit.bodies.named(named_at(module, at, unit.name, row.name))
    if body is None or body.is_code is not is_code or stem(row.name) not in {stem(name) for name in body.names}:
        raise not_proven("another one takes its place", unit.name, row.name, found=body.title if body else None)
    if row.replacement_size != body.size:
        raise not_proven("it is not as long", unit.name, row.name, expected=body.size, found=row.replacement_size)
    unit.replaced.add(id(body))
    return Claim(unit, body, at)


def _hooks(module: Object, part: DescribedPart, units: list[ComparedUnit]) -> Iterator[Claim]:
    """Each hook of the custom code, and no other."""
    asked = [(unit, *hook) for unit in units for hook in unit.hooks()]
    for stage, place in part.hooks:
        name = named_at(module, place)
        found = next((row for row in asked if row[1] == stage and name in row[2].names), None)
        if found is None:
            raise not_proven(f"it calls {name} at stage {stage}, as no custom code asks", function=name)
        asked.remove(found)
        yield Claim(found[0], found[2], place)
    if asked:
        raise not_proven("a hook of its custom code is missing", asked[0][0].name, asked[0][2].title)
