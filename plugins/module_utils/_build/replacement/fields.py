# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each field of carried code points to: what is carried along, or what is in the running kernel.

What runs is referred to as a symbol of the match program, whose address the helper writes into the field (``struct
rbl_fixup`` of ``kmod/rebootless.h``), or by name if the kernel exports it to modules.
"""

from __future__ import annotations

from typing import Callable, Collection, Iterable

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import SHF_ALLOC, SHF_EXECINSTR
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import (
    Export,
    definer,
    is_exported_by,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import (
    Entry,
    MergedConstant,
    Piece,
    Reference,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import (
    has_new_landing_mark,
    is_branch,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement import late_static_keys
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.carrier import LABEL_SUFFIX, Carrier
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.changed_unit import (
    ChangedUnit,
    identifier,
    is_call,
    largest_alignment,
    rewritten_ranges,
    take_out_branch,
    target_name,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import (
    CarriedField,
    Chunk,
    Constant,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.refusals import (
    refuse_thunk,
    refuse_uncarriable,
    unresolvable,
)

# What every update module defines itself: templates.UPDATE_C, modpost.
UPDATES_OWN = ("__this_module", "init_module", "cleanup_module", "rebootless_update", "rbl_false_key")
TRAMPOLINE = "__SCT__"  # include/linux/static_call_types.h

Needs = Callable[[str], Collection[str]]

# What a field is for: a call or jump; an address that is computed or stored; a field of a special section.
BRANCH, ADDRESS, ENTRY = "branch", "address", "entry"


class FieldResolver:
    """Resolves the fields of what ``carrier`` carries, which may carry more.

    ``weak`` are the names of symbols that only the helper can resolve, ``namespaces`` those of the exports
    that are used.
    """

    def __init__(
        self, units: Iterable[ChangedUnit], carrier: Carrier, exports: dict[str, Export], needs: Needs
    ) -> None:
        self._carrier, self._exports, self._needs = carrier, exports, needs
        self._stubs: dict[tuple[str, int, int], Chunk] = {}
        self.weak: dict[str, None] = {}
        self.namespaces: set[str] = set()
        self._by_name = {
            (unit.object_name, name): (unit, piece)
            for unit in units
            for piece in unit.post.all
            if piece.is_global and not piece.is_weak
            for name in (piece.name, *piece.aliases)
        }

    def resolve(self, unit: ChangedUnit, piece: Piece, chunk: Chunk) -> None:
        """Fills in the fields of ``chunk``, which carries ``piece``, and carries the entries that describe it."""
        owner = piece.name or piece.section.name
        rewritten = rewritten_ranges(unit.post, piece)
        for r in unit.post.references(piece):
            use = BRANCH if is_branch(piece, r) else ADDRESS
            field = self._field(unit, piece, r, owner, use)
            if isinstance(field.target, str) and field.symbol is not None:
                if piece.section.name == ".altinstr_replacement" or any(field.offset in span for span in rewritten):
                    field = self._rewritten_field(unit, owner, r, field, use)
                refuse_thunk(unit, owner, field)
            chunk.fields.append(field)
            if field.symbol is not None and is_call(piece, r) and unit.never_returns(piece, r):
                chunk.never_returns_at.append(r.offset + r.size)
        for entry in unit.post.entries(piece):
            constant = piece.arch.runtime_constant(entry.section.name)
            if constant is not None:
                chunk.constants.append(self._constant(unit, entry, owner, *constant))
            self._carry_entry(unit, piece, entry, owner)
            if entry.section.name == "__jump_table":
                take_out_branch(piece.arch, chunk, entry)

    def _carry_entry(self, unit: ChangedUnit, piece: Piece, entry: Entry, owner: str) -> None:
        section, data = entry.section, entry.data
        label = f"entry of {section.name}"
        align = largest_alignment(section, entry.start)
        chunk = Chunk(label, section.name, section.flags, False, align, data, len(data), "entry", [], unit.name)
        chunk.part = unit.part.name
        chunk.fields += [self._field(unit, piece, r, owner, ENTRY) for r in entry.references]
        self._carrier.chunks += (
            late_static_keys.make_late(unit.part, chunk) if late_static_keys.is_late(unit.part, chunk) else [chunk]
        )

    def _constant(self, unit: ChangedUnit, entry: Entry, owner: str, type_: int, name: str) -> Constant:
        """What only the boot writes into code: the value that the variable has had since."""
        here = unit, unit.post.by_name.get(name)
        theirs, post = self._defined(unit, name) or here
        pre = theirs.correlation.pre_of(post) if post is not None else None
        if post is not None and pre is None:
            raise unit.error(
                "unsupported_reference",
                owner,
                f"{owner} takes the new variable {name} for a constant, which only a boot could have made of it.",
                "Change the patch so that the code reads the variable.",
                target=name,
            )
        builder = unit.part.builder
        if pre is None or pre.is_global:
            symbol = builder.global_symbol(name, VMLINUX)
        else:
            section, offset, size = unit.exact_place(pre, owner)
            symbol = builder.local_symbol(unit.number, section.name, offset, pre.name, size)
        builder.need(symbol)
        return Constant(entry.offset, type_, name, symbol)

    def _field(self, unit: ChangedUnit, piece: Piece, r: Reference, owner: str, use: str) -> CarriedField:
        """The field for ``r``, a reference of ``piece`` or of one of its entries; ``use`` says what for."""
        if r.size == 1:
            raise unit.error(
                "unsupported_reference",
                owner,
                f"{owner} jumps to {target_name(r.target)} by a one-byte distance, which cannot be moved.",
                "Report this function: its jump has to be encoded anew.",
                target=target_name(r.target),
            )
        if isinstance(r.target, MergedConstant):
            return CarriedField(r.offset, r.type, self._carrier.carry_literal(r.target), r.addend)
        if isinstance(r.target, str):
            return self._named_field(unit, r.target, r, owner, use)
        return self._piece_field(unit, r.target, r, owner, use)

    def _piece_field(self, unit: ChangedUnit, target: Piece, r: Reference, owner: str, use: str) -> CarriedField:
        """A field that points to ``target`` of ``unit``: carried, or where it runs."""
        pre = unit.correlation.pre_of(target)
        if pre is None or target.has_no_identity:
            refuse_uncarriable(unit, target, owner)
            return CarriedField(r.offset, r.type, self._carrier.carry(unit, target), r.addend)
        change = unit.replaced.get(id(target))
        if change is not None:
            # Of a weak function another definition may be in force; its own name leads to whichever is.
            called = use == BRANCH and not target.is_weak
            inside = bool(r.meaning)  # of the same code: elsewhere, other instructions stand there
            if called or inside or use == ENTRY or target is not change.post or has_new_landing_mark(pre, target):
                return CarriedField(r.offset, r.type, self._carrier.carry(unit, target), r.addend)
        return self._running_field(unit, pre, r, owner)

    def _running_field(self, unit: ChangedUnit, pre: Piece, r: Reference, owner: str) -> CarriedField:
        """A field that points to what is already in the running kernel."""
        gone = pre.lifetime in ("init", "init data") and not unit.part.init
        if gone or (pre.lifetime == "exit" and unit.object_name == VMLINUX):
            raise unit.error(
                "unsupported_reference",
                owner,
                f"{owner} uses {pre.name}, which is not in memory any more when the kernel or the module is up.",
                "Change the patch so that living code does not use it.",
                target=pre.name,
                section=pre.section.name,
            )
        if pre.is_global and self._is_exported(pre.name) and unit.object_name == VMLINUX:
            return self._exported_field(pre.name, r)
        section, offset, size = unit.exact_place(pre, owner)
        # A weak definition may have lost; of data, the match learns where it is only if code refers to its section.
        found = not pre.is_weak and (section.is_text or section in unit.referred_sections)
        builder = unit.part.builder
        if pre.is_global and not found:
            symbol = builder.global_symbol(pre.name, unit.object_name)
        else:
            symbol = builder.local_symbol(unit.number, section.name, offset, pre.name, size)
        label = pre.name if pre.is_global else f"rbl_pre.{identifier(unit.name)}.{pre.name}"
        return self._outside_field(unit, r, label, symbol)

    def _named_field(self, unit: ChangedUnit, name: str, r: Reference, owner: str, use: str) -> CarriedField:
        """A field that points to a symbol which the unit does not define."""
        if r.symbol is None or not r.symbol.undefined or not name:
            raise unit.error(
                "unsupported_reference",
                owner,
                f"{owner} has a field at offset {r.offset} that points to {name or 'no symbol'}, which is neither code "
                "nor data.",
                "Report this function.",
                target=name,
            )
        defined = self._defined(unit, name)
        if defined is not None:
            return self._piece_field(*defined, r, owner, use)
        if self._is_exported(name):
            return self._exported_field(name, r)
        where = definer(self._exports, name, unit.object_name)
        if name not in self._exports and name not in unit.undefined and unit.object_name != VMLINUX:
            for needed in (VMLINUX, *sorted(unit.needs(self._exports))):
                theirs, piece = self._by_name.get((needed, name), (None, None))
                if theirs is not None and piece is not None and is_exported_by(theirs.post.object, name):
                    if theirs.correlation.pre_of(piece) is None:
                        return CarriedField(r.offset, r.type, self._carrier.carry(theirs, piece), r.addend)
                    where = needed
        if where not in (VMLINUX, unit.object_name) and where not in unit.needs(self._exports) | self._needed(unit):
            raise unit.error(
                "missing_dependency",
                owner,
                f"{owner} uses {name} of the module {where}, which is not loaded whenever {unit.object_name} is.",
                "Change the patch so that it does without: a module that is loaded gets no new dependencies.",
                target=name,
                module=where,
            )
        return self._outside_field(unit, r, name, unit.part.builder.global_symbol(name, where))

    def _defined(self, unit: ChangedUnit, name: str) -> tuple[ChangedUnit, Piece] | None:
        """Which changed unit of the object defines a global symbol, as the unit's own part sees it."""
        theirs, piece = self._by_name.get((unit.object_name, name), (None, None))
        if theirs is None or piece is None:
            return None
        return self._carrier.in_part(theirs, unit.part.name), piece

    def _needed(self, unit: ChangedUnit) -> set[str]:
        return set(self._needs(unit.object_name)) if unit.object_name != VMLINUX else set()

    def _is_exported(self, name: str) -> bool:
        return name in self._exports and self._exports[name].module == VMLINUX

    def _exported_field(self, name: str, r: Reference) -> CarriedField:
        if self._exports[name].namespace:
            self.namespaces.add(self._exports[name].namespace)
        if name.startswith(TRAMPOLINE):
            # objtool would list calls of a trampoline that it knows a second time.
            self.weak.setdefault(name)
        return CarriedField(r.offset, r.type, name, r.addend)

    def _outside_field(self, unit: ChangedUnit, r: Reference, label: str, symbol: int) -> CarriedField:
        if label in UPDATES_OWN:  # the linker would take it for the update module's
            label = f"rbl_pre.{identifier(unit.name)}.{label}"
        unit.part.builder.need(symbol)
        self.weak.setdefault(label)
        return CarriedField(r.offset, r.type, label, r.addend, symbol)

    def _rewritten_field(
        self, unit: ChangedUnit, owner: str, r: Reference, field: CarriedField, use: str
    ) -> CarriedField:
        """A field in code that the kernel rewrites before the helper can write: the loader has to fill it in.

        A call or jump goes to a stub, which jumps on.
        """
        if use != BRANCH or field.symbol is None or not isinstance(field.target, str) or r.meaning:
            raise unresolvable(unit, owner, field)
        key = unit.part.name, field.symbol, field.addend
        stub = self._stubs.get(key)
        if stub is None:
            label = self._carrier.unique(f"{field.target}{LABEL_SUFFIX}.stub")
            code, kind = unit.exact.arch.jump, unit.exact.arch.branch_types[4]
            jump = CarriedField(len(code) - kind.size, kind, field.target, field.addend, field.symbol)
            stub = Chunk(label, ".text.rbl_stubs", SHF_ALLOC | SHF_EXECINSTR, False, 1, code, len(code), "function")
            stub.fields, stub.unit, stub.part = [jump], unit.name, unit.part.name
            self._stubs[key] = stub
            self._carrier.chunks.append(stub)
        return CarriedField(field.offset, field.type, stub, -field.size)
