# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a module beside what was proven, and has no reason to be there."""

from __future__ import annotations

import collections

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import check as machine
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification import tables
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.claims import Claims
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.descriptor import (
    FIXUP_WIDTHS,
    Descriptor,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.entries import MODULES_OWN, Entries
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.reader import Object
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.refusal import not_proven
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.targets import Targets
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.unit import ComparedUnit, is_part

_CARRIED = ".rbl"


class LeftOver:
    """Looks at a module when all that its tables lead to is proven."""

    def __init__(
        self, module: Object, descriptor: Descriptor, targets: Targets, entries: Entries, claims: Claims
    ) -> None:
        self._module, self._descriptor, self._targets = module, descriptor, targets
        self._entries, self._claims = entries, claims

    def check(self, units: list[ComparedUnit]) -> None:
        """Raises ``RebootlessError`` (``module_not_proven``) if something is left."""
        self._check_written()
        for place in self._descriptor.fixups.keys() - self._targets.written:
            self._fail("the helper writes where no field was compiled", *place)
        for row, number, at in self._entries.left_over():
            self._fail(f"{row.area.name} has an entry that was not compiled", number, at)
        self._check_labels()
        self._check_late_tables()
        for unit in units:
            self._check_replaced(unit)
            for area, body in unit.unknown_tables():
                what = f"{area.name} says something about it, and what the kernel does with it is not known"
                raise not_proven(what, unit.name, body.title, section=area.name)

    def _fail(self, what: str, number: int, at: int) -> None:
        area = self._module.areas[number]
        marks = [mark for mark in area.marks if mark.value <= at and mark.kind in ("func", "object")]
        best = max(marks, key=lambda mark: mark.value, default=None)
        function, offset = (best.name, at - best.value) if best else ("", at)
        raise not_proven(what, "", function, section=area.name, offset=offset)

    def _check_written(self) -> None:
        """The helper must not write where the kernel has written other code by then."""
        spans = collections.defaultdict(list)
        for row, number, at in self._entries:
            if row.written:
                spans[number].append((at, at + row.written, row.area.name))
        for (number, at), fixup in self._descriptor.fixups.items():
            end = at + FIXUP_WIDTHS.get(fixup.type, 0)
            found = [table for start, stop, table in spans[number] if start < end and at < stop]
            if self._module.areas[number].name == machine.REPLACEMENTS:
                found.append(machine.ALTERNATIVES)
            if found:
                name = fixup.symbol.name
                self._fail(
                    f"the helper writes the address of {name} where the kernel has written for {found[0]}", number, at
                )

    def _check_labels(self) -> None:
        proven = {*self._claims.owner, *self._targets.stubs}
        for mark in self._module.marks:
            if mark.section is None or mark.kind not in ("func", "object") or (mark.section, mark.value) in proven:
                continue
            area = self._module.areas[mark.section]
            if (_CARRIED in mark.name or area.is_code) and mark.size and not area.name.startswith(MODULES_OWN):
                self._fail(f"it holds {mark.name}, to which nothing leads", mark.section, mark.value)

    def _check_late_tables(self) -> None:
        for part in self._descriptor.parts:
            areas = self._module.areas_called(tables.LATE_JUMPS + part.name.replace(":", "."))
            if bool(areas) is not bool(part.jump_entries):
                raise not_proven(f"the helper does not find the static branches of {part.name}")
            if areas and part.jump_entries != ((areas[0].index, 0), areas[0].size // tables.SIZES[tables.JUMPS]):
                raise not_proven(f"the helper does not find all static branches of {part.name}", section=areas[0].name)

    @staticmethod
    def _check_replaced(unit: ComparedUnit) -> None:
        """A function that runs, and that is carried, has to take the running one's place for all its callers."""
        for body in unit.bodies.all():
            if id(body) in unit.placed and id(body) not in unit.replaced and body.is_code:
                names = [name for name in body.names if unit.runs(body, name) and not is_part(name)]
                if names:
                    raise not_proven("another one of it goes on running", unit.name, names[0])
