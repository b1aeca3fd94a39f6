# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves a finished update module against the objects that were compiled for it.

The proof begins at what the module's own tables name: each function that takes a running one's place has to be, byte
for byte, the function of that unit after the patch.  Each of its fields leads to something else, which has to be what
the compiled field leads to: in the running kernel the same symbol; in the module something that is proven in turn.
With each body go its entries in the tables that the kernel reads beside code.  What is left in the module when all
that is followed has no reason to be there.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from typing import NoReturn

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import check as machine
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.bodies import Inside
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.claims import Claim, Claims
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.compiled import compiled
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.descriptor import Descriptor, Says
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.entries import MODULES_OWN, Entries
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.left_over import LeftOver
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.reader import Area, Object
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.refusal import not_proven
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.roots import named_at, roots
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.statics import Statics
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.targets import (
    ADDRESS,
    BRANCH,
    Targets,
    Use,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.unit import (
    CheckedUnit,
    ComparedUnit,
)

UPDATE = "update.ko"
_CARRIED = ".rbl"
# Sections by whose name the module loader knows what to do with them; elsewhere a body may be in any of its kind.
_BY_NAME = (".noinstr.text", ".kprobes.text", ".data..percpu", ".data..ro_after_init", "__dyndbg")


def prove(module: bytes, says: Says, units: Iterable[CheckedUnit], exported: Collection[str]) -> None:
    """Raises ``RebootlessError`` (``module_not_proven``) unless a finished module is what was compiled for ``units``.

    ``says`` is what it has to say of itself, ``exported`` are the symbols that the kernel itself exports.  Details of
    the error: ``unit``, ``function``, ``section``, ``offset``, ``expected``, ``found``, as far as they are known.
    """
    try:
        _Proof(Object(UPDATE, module), says, units, exported).run()
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise not_proven(f"it cannot be read: {error}") from error


class _Proof:
    def __init__(self, module: Object, says: Says, units: Iterable[CheckedUnit], exported: Collection[str]) -> None:
        self._module, self._descriptor = module, Descriptor(module)
        if self._descriptor.says != says:
            raise not_proven("it says that it is another update", expected=says, found=self._descriptor.says)
        objects: dict[str, Object] = {}
        self._units = {(u.object_name, u.name): ComparedUnit(u, objects) for u in units}
        self._targets = Targets(module, self._descriptor, list(self._units.values()), exported)
        self._entries = Entries(module, self._descriptor, self._targets, exported)
        self._claims, self._statics = Claims(), Statics()

    def run(self) -> None:
        for area in self._module.areas:
            _check_empty(area)
        for claim in roots(self._module, self._descriptor, self._units):
            self._claims.add(claim)
        for claim in self._claims:
            self._check_kind(claim)
            self._check_body(claim)
            for claimed in self._entries.check(claim):
                self._claims.add(claimed)
        self._entries.check_thunks()
        self._entries.check_static_calls()
        self._statics.check()
        left_over = LeftOver(self._module, self._descriptor, self._targets, self._entries, self._claims)
        left_over.check(list(self._units.values()))

    def _fail(self, claim: Claim, what: str, offset: int = 0, **details: object) -> NoReturn:
        section = self._module.areas[claim.place[0]].name
        raise not_proven(what, claim.unit.name, claim.body.title, section=section, offset=offset, **details)

    def _check_kind(self, claim: Claim) -> None:
        """It has to be the same kind of memory, for as long, and as aligned."""
        body, area = claim.body, self._module.areas[claim.place[0]]
        kind = body.area.is_code, body.area.is_writable, body.area.nobits, _by_name(body.area)
        if kind != (area.is_code, area.is_writable, area.nobits, _by_name(area)) or not area.is_loaded:
            self._fail(claim, f"it lies in {area.name}", expected=body.area.name, found=area.name)
        if area.name.startswith(MODULES_OWN):
            self._fail(claim, f"it lies in {area.name}, which goes when the module is loaded", found=area.name)
        align = max(body.area.align, 1)
        while body.start % align:
            align //= 2
        if claim.place[1] % align or area.align % align:
            self._fail(claim, f"it is not aligned to {align} bytes", expected=align, found=claim.place[1])
        labels = [m.name for m in area.marks if m.value == claim.place[1] and _CARRIED in m.name]
        if body.names and labels and named_at(self._module, claim.place) not in body.names:
            self._fail(claim, f"it is called {labels[0]}", found=labels[0])

    def _check_body(self, claim: Claim) -> None:
        """Every byte and every relocated field."""
        body, (number, start) = claim.body, claim.place
        area = self._module.areas[number]
        want, fields = compiled(claim.unit, body)
        found = area.data[start : start + body.size]
        ours = area.fields_in(start, start + body.size)
        places, theirs = [f.offset - start for f in ours], [f.offset for f in fields]
        if places != theirs:
            self._fail(claim, "it has other relocated fields", min(set(places) ^ set(theirs), default=0))
        if found != want:
            odd = next((at for at, (a, b) in enumerate(zip(want, found)) if a != b), len(found))
            expected, there = want[odd : odd + 8].hex(), found[odd : odd + 8].hex()
            self._fail(claim, "it has other bytes than the compiler gave it", odd, expected=expected, found=there)
        for compiled_field, field in zip(fields, ours):
            type_, offset = compiled_field.type, compiled_field.offset
            if field.type != type_ and {field.type, type_} != machine.DISTANCES:
                self._fail(claim, "a relocation has another type", offset, expected=type_, found=field.type)
            what_for = BRANCH if compiled_field.is_branch else ADDRESS
            use = Use(claim.unit, body, area.name, offset, (number, field.offset), compiled_field.bias, what_for)
            claimed = self._targets.check(use, type_, compiled_field.meaning, field)
            if claimed is not None:
                self._claims.add(claimed)
            if isinstance(compiled_field.meaning, Inside):
                self._statics.note(claim.unit, body, compiled_field.meaning.body, claimed is not None)
            self._entries.note_thunk(claim, compiled_field)


def _by_name(area: Area) -> str | None:
    return next((name for name in _BY_NAME if area.name.startswith(name)), None)


def _check_empty(area: Area) -> None:
    """The module loader takes no field in which something stands (apply_relocate_add())."""
    for field in area.fields:
        if any(area.data[field.offset : field.offset + field.width]):
            raise not_proven("something stands in a relocated field", section=area.name, offset=field.offset)
