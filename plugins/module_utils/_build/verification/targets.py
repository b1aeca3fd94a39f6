# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a field of the module points to what the compiled field points to."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from typing import NoReturn

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import check as machine
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.bodies import (
    Body,
    Inside,
    Meaning,
    MergedLiteral,
    Outside,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.claims import Claim
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.descriptor import (
    Descriptor,
    Fixup,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.reader import Object, RelocatedField
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.refusal import not_proven
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.unit import (
    VMLINUX,
    ComparedUnit,
    is_numbered,
    stem,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import (
    SYMBOL_GLOBAL,
    SYMBOL_LOCAL,
    ProgramSymbol,
)

BRANCH, ADDRESS, ENTRY = "branch", "address", "entry"  # what a field is for
_LOCAL_LABEL = "rbl_pre."  # of what has no name outside of its unit: docs/formats.md
_STUB = ".rbl.stub"
_COLD = re.compile(r"\.cold(\.\d+)?$")  # what the compiler calls the part of a function that seldom runs


@dataclasses.dataclass(frozen=True)
class Use:
    """A field that is looked at: of ``owner``, ``offset`` bytes into it, at ``where`` in the module."""

    unit: ComparedUnit
    owner: Body
    section: str
    offset: int
    where: tuple[int, int]
    bias: int
    what_for: str

    def refuse(self, what: str, **details: object) -> NoReturn:
        """Raises ``RebootlessError`` (``module_not_proven``)."""
        raise not_proven(what, self.unit.name, self.owner.title, section=self.section, offset=self.offset, **details)


class Targets:
    """Compares fields.  ``exported`` names what the kernel itself exports to modules.

    ``written`` collects the places that the helper has reason to write, ``stubs`` the stubs that lead somewhere.
    """

    def __init__(
        self, module: Object, descriptor: Descriptor, units: list[ComparedUnit], exported: Collection[str]
    ) -> None:
        self._module, self._fixups, self._units, self._exported = module, descriptor.fixups, units, exported
        self._labels = {
            (mark.section, mark.value): mark.name for mark in module.marks if mark.kind in ("func", "object")
        }
        self.written: set[tuple[int, int]] = set()
        self.stubs: set[tuple[int, int]] = set()
        self._runs: dict[tuple, Body] = {}

    def check(self, use: Use, type_: int, meaning: Meaning, field: RelocatedField) -> Claim | None:
        """Raises unless ``field`` means the same; what it leads to in the module has to be proven yet."""
        if field.mark.section is None:
            self._elsewhere(use, type_, meaning, field)
            return None
        if use.where in self._fixups:
            use.refuse("the helper writes over a field that leads into the module itself")
        at = field.mark.section, field.points_to + use.bias
        if isinstance(meaning, MergedLiteral):
            self._literal(use, meaning, at)
            return None
        if _STUB in self._labels.get(at, ""):
            self._stub(use, meaning, at)
            return None
        unit, inside = self._inside(use, meaning)
        self._may_be_carried(use, unit, inside)
        if _needs_mark(use, unit, inside) and not inside.body.is_marked:
            use.refuse(f"a pointer leads to {inside.body.title}, which begins with no landing mark")
        return Claim(unit, inside.body, (at[0], at[1] - inside.at))

    # ---- in the module

    def _literal(self, use: Use, literal: MergedLiteral, at: tuple[int, int]) -> None:
        area, start = self._module.areas[at[0]], at[1] - literal.at
        found = area.data[max(start, 0) : start + len(literal.data)]
        if start < 0 or found != literal.data:
            use.refuse("a string or constant is another one", expected=repr(literal.data), found=repr(found))
        if area.is_code or area.is_writable or not area.is_loaded or start % max(literal.align, 1):
            use.refuse(f"a string or constant lies in {area.name}", expected=repr(literal.data))

    def _inside(self, use: Use, meaning: Outside | Inside) -> tuple[ComparedUnit, Inside]:
        """The unit, and the body in it, that is meant: of an update's other units too."""
        if isinstance(meaning, Inside):
            return use.unit, meaning
        order = sorted(self._units, key=lambda u: (u.object_name != use.unit.object_name, u.object_name != VMLINUX))
        for unit in order:
            for mark in unit.post.by_name.get(meaning.name, ()):
                body = unit.bodies.named(meaning.name)
                if mark.section is not None and not mark.is_local and not mark.is_weak and body is not None:
                    shift = mark.value - body.start
                    return unit, Inside(body, meaning.addend + use.bias + shift, meaning.addend + shift)
        return use.refuse(f"it should lead out of the module, to {meaning.name}", expected=meaning.name)

    def _may_be_carried(self, use: Use, unit: ComparedUnit, inside: Inside) -> None:
        """Raises where another copy of what runs would be another thing."""
        body = inside.body
        for name in body.names:
            if unit.runs(body, name) is None:
                continue
            if body.area.is_writable and not is_numbered(name):
                use.refuse(f"it uses another {name} than the one that runs", expected=f"the running {name}")
            first_pointed_to = body.is_marked and not unit.runs_marked(name)
            is_identity = inside.at == 0 and not _COLD.search(name)  # code goes to its labels and cold parts, no other
            if body.is_code and use.what_for == ADDRESS and is_identity and not first_pointed_to:
                use.refuse(f"it takes the address of another {name} than the one that runs", expected=f"running {name}")
            if body.is_weak and use.what_for == BRANCH:
                use.refuse(f"it calls this {name}, which need not be the one in force", expected=f"running {name}")

    def _stub(self, use: Use, meaning: Outside | Inside, at: tuple[int, int]) -> None:
        """A jump of the module that goes where the field should: the kernel moves the field before the helper comes."""
        start = meaning.at if isinstance(meaning, Inside) else meaning.addend + use.bias
        area = self._module.areas[at[0]]
        fields = area.fields_in(at[1], at[1] + len(machine.STUB))
        code = area.data[at[1] : at[1] + len(machine.STUB)]
        if use.what_for != BRANCH or start != 0 or not area.is_code:
            use.refuse("a stub stands for an address")
        if (
            code != machine.STUB
            or [f.offset for f in fields] != [at[1] + machine.STUB_FIELD]
            or fields[0].mark.section is not None
        ):
            use.refuse("a stub is no jump", found=code.hex())
        if fields[0].type not in machine.DISTANCES:
            use.refuse("a stub is no jump", found=fields[0].type)
        self.stubs.add(at)
        through = dataclasses.replace(use, where=(at[0], at[1] + machine.STUB_FIELD))
        distance = machine.DISTANCE
        direct = Inside(meaning.body, 0, -distance) if isinstance(meaning, Inside) else Outside(meaning.name, -distance)
        self._elsewhere(through, machine.BRANCH, direct, fields[0])

    # ---- outside of it

    def _elsewhere(self, use: Use, type_: int, meaning: Meaning, field: RelocatedField) -> None:
        if isinstance(meaning, MergedLiteral):
            use.refuse("a string or constant is not carried", expected=repr(meaning.data), found=field.mark.name)
        fixup = self._fixups.get(use.where)
        addend = field.addend if fixup is None else fixup.addend
        if addend != meaning.addend or field.addend != meaning.addend:
            use.refuse("it points to another place", expected=meaning.addend, found=addend)
        names = [meaning.name] if isinstance(meaning, Outside) else meaning.body.names
        if isinstance(meaning, Inside):
            self._same_inside(use, meaning)
        if fixup is None:
            self._loaders(use, names, meaning, field)
            return
        self.written.add(use.where)
        label = field.mark.name
        local = label.startswith(_LOCAL_LABEL) and label.endswith(f".{fixup.symbol.name}")
        if not field.mark.is_weak or not (local or label in names):
            # The module loader would fill it in first, with something else, and the helper refuse it.
            use.refuse(f"the module loader takes it for {label}", expected=names, found=label)
        if fixup.type != machine.FIXUP_TYPES.get(type_):
            use.refuse(
                "the helper writes it as another type", expected=machine.FIXUP_TYPES.get(type_), found=fixup.type
            )
        self.symbol(use, fixup, names, meaning)

    def _same_inside(self, use: Use, meaning: Inside) -> None:
        """Raises for a place in the midst of running code that is not the compiled one: something else stands there."""
        for name in meaning.body.names if meaning.body.is_code and meaning.at else ():
            running = use.unit.runs(meaning.body, name)
            if running is not None and running.size != meaning.body.size:
                use.refuse(f"it leads into the midst of the running {name}, which is another one", expected=meaning.at)

    def _loaders(self, use: Use, names: list[str], meaning: Outside | Inside, field: RelocatedField) -> None:
        """A field that the module loader fills in, from what the kernel exports."""
        name = field.mark.name
        if name not in names:
            use.refuse(f"it points to {name}", expected=names, found=name)
        if name not in self._exported:
            use.refuse(f"nothing fills in the address of {name}, which the kernel does not export", expected=name)
        if isinstance(meaning, Inside):
            running = use.unit.runs(meaning.body, name)
            if running is None or running.is_local or use.unit.object_name != VMLINUX:
                use.refuse(f"{name}, which it means, does not run", expected=name)

    def symbol(self, use: Use, fixup: Fixup, names: list[str], meaning: Outside | Inside | None) -> None:
        """Raises unless the match program finds, for a fixup, what one of ``names`` means."""
        symbol, part = fixup.symbol, fixup.part
        if part.object_name != use.unit.object_name:
            use.refuse(f"it is filled in with {part.name}", expected=use.unit.object_name, found=part.name)
        body = meaning.body if isinstance(meaning, Inside) else None
        if symbol.kind == SYMBOL_GLOBAL:
            if symbol.name not in names:
                use.refuse(f"the helper writes the address of {symbol.name}", expected=names, found=symbol.name)
            self._owner(use, symbol, body)
            running = use.unit.runs(body, symbol.name) if body is not None else None
            if body is not None and (running is None or running.is_local):
                use.refuse(f"{symbol.name}, which it means, does not run", expected=names)
            return
        if symbol.kind != SYMBOL_LOCAL:
            use.refuse("the helper writes the address of a constant of the kernel", expected=names)
        self._local(use, fixup, names, meaning if isinstance(meaning, Inside) else None)

    def _owner(self, use: Use, symbol: ProgramSymbol, body: Body | None) -> None:
        """A global symbol is looked up in what defines it: another object may have one of that name."""
        own = use.unit.object_name
        if body is not None or own == VMLINUX:
            wanted = own
        elif symbol.name in self._exported:
            wanted = VMLINUX
        else:
            return  # another module's, as those say that the update depends on, or of another unit of its own
        if symbol.object != wanted:
            use.refuse(f"the helper looks {symbol.name} up elsewhere", expected=wanted, found=symbol.object)

    def _local(self, use: Use, fixup: Fixup, names: list[str], inside: Inside | None) -> None:
        body = inside.body if inside is not None else None
        section = fixup.part.program.sections[fixup.symbol.section]
        where = f"{section.unit} {section.name}+{fixup.symbol.offset:#x}"
        unit = next((u for u in self._units if (u.object_name, u.name) == (section.object, section.unit)), None)
        if unit is None or (body is not None and unit is not use.unit):
            use.refuse(f"the helper writes the address of {where}", expected=names, found=where)
        marks = unit.runs_at(section.name, fixup.symbol.offset)
        found = [mark.name for mark in marks]
        if body is None:
            fits = any(mark.name in names and not mark.is_local for mark in marks)
        else:
            stems = {stem(name) for name in names}
            sizes = [mark.size for mark in marks if stem(mark.name) in stems]
            fits = bool(sizes) and (body.is_code or 0 in sizes or body.size in sizes)
        if not fits:
            use.refuse(f"the helper writes the address of {found or where}", expected=names, found=found or where)
        needs_mark = inside is not None and _needs_mark(use, unit, inside)
        if needs_mark and not any(unit.runs_marked(mark.name) for mark in marks):
            use.refuse(f"a pointer leads to the running {names[0]}, which begins with no landing mark")
        if body is not None and body.size:  # as are lock classes of a kernel without lockdep: all stand in one place
            self._one_for_one(use, body, (unit.object_name, unit.name, section.name, fixup.symbol.offset))

    def _one_for_one(self, use: Use, body: Body, place: tuple) -> None:
        """Two things of one compilation are not one thing of the other."""
        here = use.unit.running.setdefault(id(body), place[2:])
        if here != place[2:] or self._runs.setdefault(place, body) is not body:
            use.refuse(f"{body.title} is more than one thing that runs", expected=here, found=place[2:])


def _needs_mark(use: Use, unit: ComparedUnit, inside: Inside) -> bool:
    """Whether a function's address is taken, to which branches are tracked: it has to begin with a landing mark."""
    return use.what_for == ADDRESS and inside.at == 0 and inside.body.is_function and unit.post.is_tracked
