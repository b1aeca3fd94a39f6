# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the entries of tables that go with carried code are there: each whole, once, and in order."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterator
from typing import NoReturn

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import check as machine
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification import tables
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.bodies import (
    Inside,
    Meaning,
    Outside,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.claims import Claim
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.compiled import CompiledField
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.descriptor import (
    COPY8,
    COPY64,
    Descriptor,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.reader import Object
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.refusal import not_proven
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.targets import ENTRY, Targets, Use
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.unit import VMLINUX

# What modpost and the generated descriptor have in a module of their own.
MODULES_OWN = (".init.text", ".exit.text")
_FALSE_KEY = "rbl_false_key"
_TRAMPOLINE, _KEY = "__SCT__", "__SCK__"
_COPIES = {8: COPY64, 1: COPY8}


class Entries:
    """The entries of a module, by the place that they are about; what is proven of them is ticked off."""

    def __init__(self, module: Object, descriptor: Descriptor, targets: Targets, exported: Collection[str]) -> None:
        self._module, self._descriptor, self._targets, self._exported = module, descriptor, targets, exported
        self._at: dict[tuple[str, int, int], list[tables.TableEntry]] = collections.defaultdict(list)
        self._used: set[int] = set()
        self._thunks: dict[str, collections.Counter] = {name: collections.Counter() for name in machine.THUNKS}
        for area in module.areas:
            if area.is_loaded and area.size and (tables.is_table(area.name) or area.name in machine.THUNKS):
                for entry in tables.entries(module, area):
                    if entry.code.mark.section is None:
                        raise not_proven(f"an entry of {area.name} is about no code of it", section=area.name)
                    table = tables.LATE_JUMPS if area.name.startswith(tables.LATE_JUMPS) else area.name
                    self._at[table, entry.code.mark.section, entry.code.points_to].append(entry)

    def __iter__(self) -> Iterator[tuple[tables.TableEntry, int, int]]:
        """Each entry, with the place that it is about."""
        for (_table, number, at), rows in self._at.items():
            for row in rows:
                yield row, number, at

    def left_over(self) -> Iterator[tuple[tables.TableEntry, int, int]]:
        """Those that go with nothing that was proven."""
        return ((row, number, at) for row, number, at in self if id(row) not in self._used and not self._is_own(number))

    # ---- of one body

    def check(self, claim: Claim) -> Iterator[Claim]:
        """Raises unless each entry about the claim's body is there; what entries lead to has to be proven yet."""
        body, (number, start) = claim.body, claim.place
        at_place: dict[tuple[str, int], list[tables.TableEntry]] = collections.defaultdict(list)
        for row in claim.unit.entries(body):
            at_place[row.area.name, row.code.points_to - body.start].append(row)
        alternatives: list[tuple[tables.TableEntry, tables.TableEntry]] = []
        for (table, offset), rows in at_place.items():
            found = self._at.get((table, number, start + offset), [])
            if table == tables.STATIC_CALLS and not found and self._may_be_left_out(claim, rows):
                continue
            if len(found) != len(rows):
                what = f"{table} has {len(found)} of its {len(rows)} entries"
                self._fail(claim, what, offset, expected=len(rows), found=len(found))
            for row, ours in zip(rows, found):
                self._used.add(id(ours))
                yield from self._same(claim, row, ours)
            if table == machine.ALTERNATIVES:
                alternatives += zip(rows, found)
        self._check_order(claim, alternatives)

    def _fail(self, claim: Claim, what: str, offset: int, **details: object) -> NoReturn:
        section = self._module.areas[claim.place[0]].name
        raise not_proven(what, claim.unit.name, claim.body.title, section=section, offset=offset, **details)

    def _may_be_left_out(self, claim: Claim, rows: list[tables.TableEntry]) -> bool:
        """A call whose key another module has goes on calling the trampoline: docs/formats.md."""
        keys = [f.mark.name for row in rows for f in row.fields if f.offset == tables.KEY[tables.STATIC_CALLS]]
        return claim.unit.object_name != VMLINUX and not any(key in self._exported for key in keys)

    def _check_order(self, claim: Claim, pairs: list[tuple[tables.TableEntry, tables.TableEntry]]) -> None:
        """The kernel writes alternatives one after the other, and takes neighbours for one place to be nested."""
        for index, (row, found) in enumerate(pairs):
            start = row.code.points_to
            for other, found_other in pairs[index + 1 :]:
                begin, offset = other.code.points_to, start - claim.body.start
                if start >= begin + other.lengths[0] or begin >= start + row.lengths[0]:
                    continue
                if (row.at < other.at) != (found.at < found_other.at):
                    self._fail(claim, "its alternatives are in another order", offset)
                are_neighbours = begin == start and abs(row.at - other.at) == len(row.data)
                if are_neighbours and abs(found.at - found_other.at) != len(found.data):
                    self._fail(claim, "its alternatives are apart", offset)

    def _same(self, claim: Claim, row: tables.TableEntry, found: tables.TableEntry) -> Iterator[Claim]:
        offset, table = row.code.points_to - claim.body.start, row.area.name
        places = [(f.offset, f.type) for f in row.fields]
        if row.data != found.data or places != [(f.offset, f.type) for f in found.fields]:
            what = f"its entry in {table} says something else"
            self._fail(claim, what, offset, expected=row.data.hex(), found=found.data.hex())
        late = table == tables.JUMPS and found.fields[-1].mark.name == _FALSE_KEY
        if late:
            yield from self._late_branch(claim, row, found)
        for field, ours in zip(row.fields, found.fields):
            if table == machine.ALTERNATIVES and field.offset == machine.ADDRESS_OF_REPLACEMENT and not row.lengths[1]:
                continue  # nothing takes the place: the field points to what comes next
            if late and field.offset == tables.KEY[table]:
                continue
            use = self._use(claim, offset, found, ours.offset)
            claimed = self._targets.check(use, field.type, claim.unit.bodies.meaning(field, 0), ours)
            if claimed is not None:
                yield claimed
        kind = next((_COPIES[size] for name, size in machine.RUNTIME_CONSTANTS.items() if table.startswith(name)), None)
        if kind is not None:
            self._same_constant(claim, row, kind)

    @staticmethod
    def _use(claim: Claim, offset: int, entry: tables.TableEntry, field: int) -> Use:
        where = entry.area.index, entry.at + field
        return Use(claim.unit, claim.body, entry.area.name, offset, where, 0, ENTRY)

    def _late_branch(self, claim: Claim, row: tables.TableEntry, found: tables.TableEntry) -> Iterator[Claim]:
        """A branch whose key is a module's: the kernel sees a key that never changes, the helper the true one."""
        offset = row.code.points_to - claim.body.start
        key = found.fields[-1]
        if claim.unit.object_name == VMLINUX or key.addend != row.flags:
            self._fail(claim, "its static branch has a key that never changes", offset, found=key.addend)
        late = self._at.get((tables.LATE_JUMPS, found.code.mark.section or 0, found.code.points_to), [])
        if len(late) != 1:
            self._fail(claim, "the helper does not know its static branch once", offset, expected=1, found=len(late))
        self._used.add(id(late[0]))
        if row.data != late[0].data or len(row.fields) != len(late[0].fields):
            self._fail(claim, "the helper knows another static branch", offset)
        for field, ours in zip(row.fields, late[0].fields):
            use = self._use(claim, offset, late[0], ours.offset)
            claimed = self._targets.check(use, field.type, claim.unit.bodies.meaning(field, 0), ours)
            if claimed is not None:
                yield claimed

    def _same_constant(self, claim: Claim, row: tables.TableEntry, kind: int) -> None:
        """What the boot would write into the code the helper has to: the variable that the table is named after."""
        offset = row.code.points_to - claim.body.start
        where = claim.place[0], claim.place[1] + offset
        name = row.area.name.partition("_")[2].partition("_")[2]
        fixup = self._descriptor.fixups.get(where)
        if fixup is None or fixup.type != kind or fixup.addend:
            self._fail(claim, f"the helper does not write the value of {name} into it", offset, expected=kind)
        self._targets.written.add(where)
        use = Use(claim.unit, claim.body, self._module.areas[where[0]].name, offset, where, 0, ENTRY)
        here = claim.unit.bodies.named(name)
        self._targets.symbol(use, fixup, [name], Inside(here, 0, 0) if here is not None else None)

    # ---- of the whole module: what objtool has made

    def note_thunk(self, claim: Claim, field: CompiledField) -> None:
        """Notes a return or indirect branch: it has to be listed, for the kernel to write what is right."""
        meaning: Meaning = field.meaning
        if not field.is_branch or not isinstance(meaning, Outside) or claim.body.area.name == machine.REPLACEMENTS:
            return
        for table, name in machine.THUNKS.items():
            if meaning.name.startswith(name):
                self._thunks[table][claim.place[0], claim.place[1] + field.offset] += 1

    def check_thunks(self) -> None:
        """Raises unless each return and indirect branch is listed once, and nothing else."""
        for table, want in self._thunks.items():
            found: collections.Counter = collections.Counter()
            for (name, number, at), rows in self._at.items():
                if name == table and not self._is_own(number):
                    fields = [(number, at + size) for size in machine.THUNK_OPCODES]
                    found[next((field for field in fields if field in want), fields[0])] += len(rows)
                    self._used.update(map(id, rows))
            if want != found:
                number, at = next(iter((want - found) or (found - want)))
                raise not_proven(
                    f"{table} does not list its thunks each once", section=self._module.areas[number].name, offset=at
                )

    def check_static_calls(self) -> None:
        """Ticks off what objtool made where units have no entries yet: each about a call that is there."""
        for (table, number, at), rows in self._at.items():
            made = [row for row in rows if id(row) not in self._used]
            if table == tables.STATIC_CALLS and len(rows) == len(made) == 1 and not self._is_own(number):
                calls = self._module.areas[number].fields_in(at + 1, at + 2)
                name = calls[0].mark.name if calls else ""
                key = made[0].fields[-1].mark.name
                if name.startswith(_TRAMPOLINE) and key in (_KEY + name[len(_TRAMPOLINE) :], name):
                    self._used.add(id(made[0]))

    def _is_own(self, number: int) -> bool:
        return self._module.areas[number].name.startswith(MODULES_OWN)
