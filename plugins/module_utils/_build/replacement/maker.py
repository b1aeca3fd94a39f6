# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacement code: what of the post objects an update carries, and what each of its fields points to.

Private to rebootless.splice.  Carried are the changed and the new functions, new data, and the strings and constants
that they use.  Everything else is referred to where it runs: as a symbol of the match program, whose address the helper
writes into the field (``struct rbl_fixup`` of ``kmod/rebootless.h``), or by name if the kernel exports it to modules.
Each object that is changed, the kernel or a loadable module, has a part and a match program of its own, and so has a
module's init code.  A call of a replaced function goes to its replacement; its address stays the old one, so that
pointers compare equal.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Callable, Collection

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Kernel
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import SHF_ALLOC, SHF_EXECINSTR
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import (
    EXCHANGE,
    REPLACE,
    REPLACE_AT_LOAD,
    Decision,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import Change, main_part
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import (
    Export,
    definer,
    is_exported_by,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.jumps import jump_offset
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.program_builder import ProgramBuilder
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.lifetimes import (
    CARRIED_DATA,
    LIVING_CODE,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import (
    Entry,
    MergedConstant,
    Piece,
    Reference,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import is_branch
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement import late_static_keys
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.changed_unit import (
    ChangedUnit,
    alignment,
    identifier,
    is_call,
    largest_alignment,
    rewritten_ranges,
    section_name,
    take_out_branch,
    target_name,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.handed_out import handed_out
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import (
    CarriedField,
    Chunk,
    Constant,
    DatumRow,
    FunctionRow,
    HookRow,
    Part,
    Replacement,
    part_name,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

TRAMPOLINE = "__SCT__"  # include/linux/static_call_types.h

LABEL_SUFFIX = ".rbl"  # of all that is carried: tracing and probing by name go on to mean what they meant
HOOKS = ".rbl.hooks"  # kmod/rebootless_custom.h

Needs = Callable[[str], Collection[str]]

# What a field is for: a call or jump; an address that is computed or stored; a field of a special section.
BRANCH, ADDRESS, ENTRY = "branch", "address", "entry"


def make_replacement(
    decisions: list[Decision], kernel: Kernel, exports: dict[str, Export], needs: Needs | None = None
) -> Replacement:
    """Finds what to carry for what is decided, resolves it, and makes the match programs of their objects.

    ``kernel`` says how the kernel rewrites its code, ``exports`` are the symbols that the kernel and its modules export
    (``exports.read_symvers``), ``needs(module)`` says which modules are loaded whenever that one is.  Raises
    ``RebootlessError``: ``nothing_to_replace``, ``unknown_special_section``, ``unresolvable_field``,
    ``unsupported_reference``, ``missing_dependency``, ``pre_mismatch``, ``datum_not_matched``
    with the names of unit, function and target.
    """
    return _Maker(decisions, kernel, exports, needs or (lambda name: frozenset())).make()


class _Maker:
    def __init__(self, decisions: list[Decision], kernel: Kernel, exports: dict[str, Export], needs: Needs):
        self.exports, self.needs = exports, needs
        with_init = {d.change.object_name for d in decisions if d.init_functions}
        self.parts: dict[str, Part] = {}
        for name in sorted({d.change.object_name for d in decisions}, key=lambda name: (name != VMLINUX, name)):
            for init in (False, True) if name in with_init else (False,):
                part = Part(name, ProgramBuilder(kernel, functools.partial(definer, exports)), init)
                self.parts[part.name] = part
        # By part and decision: what a part's code refers to is in that part's own match program.
        self.looked_at = {
            (part.name, id(d)): ChangedUnit(d, part)
            for part in self.parts.values()
            for d in decisions
            if d.change.object_name == part.object_name
        }
        self.units = [self.looked_at[d.change.object_name, id(d)] for d in decisions]
        self.chunks: list[Chunk] = []
        self.of_piece: dict[tuple[str, int], Chunk] = {}
        self.of_literal: dict[MergedConstant, Chunk] = {}
        self.stubs: dict[tuple[str, int, int], Chunk] = {}
        self.labels: set[str] = set()
        self.weak: dict[str, None] = {}
        self.namespaces: set[str] = set()
        self.todo: list[tuple[ChangedUnit, Piece, Chunk]] = []
        self.defined = {
            (unit.object_name, name): (unit, piece)
            for unit in self.units
            for piece in unit.post.all
            if piece.is_global and not piece.is_weak
            for name in (piece.name, *piece.aliases)
        }

    def make(self) -> Replacement:
        for unit in self.units:
            for change, fate in unit.decision.functions.items():
                if fate.how == REPLACE:
                    unit.part.functions += self._replace(unit, change)
                elif fate.how == REPLACE_AT_LOAD:
                    of_init = self._in_part(unit, part_name(unit.object_name, init=True))
                    of_init.part.functions += self._replace(of_init, change)
            unit.part.data += [
                self._exchange(unit, datum) for datum, fate in unit.decision.data.items() if fate.how == EXCHANGE
            ]
            unit.part.handed_out += handed_out(unit.decision, [u.decision for u in self.units])
            unit.part.hooks += sorted(self._hooks(unit), key=lambda row: row.stage)
        if not any(part.is_effective for part in self.parts.values()):
            raise RebootlessError(
                "nothing_to_replace",
                "The update changes no function that runs.",
                "Look at the differences: there is nothing in them that exchanging code could bring about.",
                units=[unit.name for unit in self.units],
            )
        while self.todo:
            self._resolve(*self.todo.pop(0))
        order = {"function": 0, "fragment": 1, "data": 2, "literal": 3, "entry": 4}
        self.chunks.sort(key=lambda c: order[c.kind])
        self._refuse_unknown_sections()
        for chunk in self.chunks:
            fixups: list[CarriedField | Constant] = [field for field in chunk.fields if field.symbol is not None]
            fixups += chunk.constants
            if fixups:
                self.parts[chunk.part].fixups += [(chunk, field) for field in fixups]
        return Replacement(self.chunks, list(self.parts.values()), sorted(self.namespaces), list(self.weak))

    def _in_part(self, unit: ChangedUnit, part: str) -> ChangedUnit:
        """The unit as the code of another part of its object sees it."""
        return self.looked_at[part, id(unit.decision)]

    # ---- which functions are replaced

    def _replace(self, unit: ChangedUnit, change: Change) -> Iterator[FunctionRow]:
        """Rows for the running pieces of a changed or removed function."""
        chunk = None
        if change.pre is not None and change.post is not None:
            chunk = self._carry(unit, change.post)
            for part in change.post_parts:
                self._carry(unit, part)
        if change.pre is not None:
            yield self._row(unit, change.pre, chunk)
        for part in change.pre_parts:
            yield self._row(unit, part, None)

    def _row(self, unit: ChangedUnit, piece: Piece, chunk: Chunk | None) -> FunctionRow:
        section, offset, size = unit.exact_place(piece, piece.name)
        symbol = unit.part.builder.local_symbol(unit.number, section.name, offset, piece.name, size)
        unit.part.builder.need(symbol)
        where = jump_offset(unit.exact, section, offset) if chunk is not None else 0
        return FunctionRow(piece.name, unit.name, chunk, symbol, size, where)

    # ---- which data, and whose custom code

    def _exchange(self, unit: ChangedUnit, change: Change) -> DatumRow:
        """Constant data whose running bytes the match proves, so that they can be exchanged in place and put back."""
        if change.pre is None or change.post is None:
            raise ValueError(f"{change.name} is not on both sides")
        section, offset, size = unit.exact_place(change.pre, change.name)
        if size != change.post.size or section.is_text or not unit.part.builder.is_compared(unit.number, section):
            raise unit.error(
                "datum_not_matched",
                change.name,
                f"The data {change.name} changes, but what the running kernel has there cannot be proven by the match.",
                "Change the patch so that it does without, or exchange the data by custom code.",
                data=change.name,
                section=section.name,
            )
        symbol = unit.part.builder.local_symbol(unit.number, section.name, offset, change.pre.name, size)
        unit.part.builder.need(symbol)
        return DatumRow(change.name, unit.name, self._carry(unit, change.post), symbol, size)

    def _hooks(self, unit: ChangedUnit) -> Iterator[HookRow]:
        """The rows of ``RBL_HOOK()``: a stage, and the function to call."""
        for piece in unit.post.all:
            if piece.section.name == HOOKS:
                (function,) = [r.piece for r in unit.post.references(piece)]
                if function is None:
                    raise ValueError(f"{piece.name} names no function of its unit")
                yield HookRow(int.from_bytes(piece.data[:4], "little"), unit.name, self._carry(unit, function))

    # ---- what is carried

    def _carry(self, unit: ChangedUnit, piece: Piece) -> Chunk:
        """Replacement code, and data: of the module's init only what is itself init code."""
        unit = self._in_part(unit, part_name(unit.object_name, unit.part.init and piece.lifetime == "init"))
        key = unit.part.name, id(piece)
        chunk = self.of_piece.get(key)
        if chunk is None:
            section, nobits = section_name(piece), piece.section.nobits
            chunk = Chunk(
                self._label(unit, piece),
                section,
                piece.section.flags,
                nobits,
                alignment(piece),
                b"" if nobits else unit.post.masked(piece),
                piece.size,
                piece.kind,
                unit=unit.name,
                part=unit.part.name,
                piece=piece,
            )
            self.of_piece[key] = chunk
            self.chunks.append(chunk)
            self.todo.append((unit, piece, chunk))
        return chunk

    def _label(self, unit: ChangedUnit, piece: Piece) -> str:
        if piece.kind == "fragment":
            return f"bytes of {piece.section.name}"
        main, is_part = main_part(piece.name)
        if is_part and main in unit.post.by_name:
            # objtool finds the function of a cold part by its name.
            return self._carry(unit, unit.post.by_name[main]).label + piece.name[len(main) :]
        return self._unique(piece.name + LABEL_SUFFIX)

    def _unique(self, wanted: str) -> str:
        label, count = wanted, 0
        while label in self.labels:
            label, count = f"{wanted}.{count}", count + 1
        self.labels.add(label)
        return label

    def _carry_literal(self, literal: MergedConstant) -> Chunk:
        chunk = self.of_literal.get(literal)
        if chunk is None:
            data = literal.data
            chunk = Chunk("literal", ".rodata.literals", SHF_ALLOC, False, literal.align, data, len(data), "literal")
            self.of_literal[literal] = chunk
            self.chunks.append(chunk)
        return chunk

    # ---- what fields point to

    def _resolve(self, unit: ChangedUnit, piece: Piece, chunk: Chunk) -> None:
        owner = piece.name or piece.section.name
        rewritten = rewritten_ranges(unit.post, piece)
        for r in unit.post.references(piece):
            use = BRANCH if is_branch(piece, r) else ADDRESS
            field = self._field(unit, piece, r, owner, use)
            if isinstance(field.target, str) and field.symbol is not None:
                if piece.section.name == ".altinstr_replacement" or any(field.offset in span for span in rewritten):
                    field = self._rewritten_field(unit, owner, r, field, use)
                self._refuse_thunk(unit, owner, field)
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
        self.chunks += (
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
            return CarriedField(r.offset, r.type, self._carry_literal(r.target), r.addend)
        if isinstance(r.target, str):
            return self._named_field(unit, r.target, r, owner, use)
        if unit.is_inside(piece, r):
            return CarriedField(r.offset, r.type, self._carry(unit, r.target), r.addend)
        return self._piece_field(unit, r.target, r, owner, use)

    def _piece_field(self, unit: ChangedUnit, target: Piece, r: Reference, owner: str, use: str) -> CarriedField:
        """A field that points to ``target`` of ``unit``: carried, or where it runs."""
        pre = unit.correlation.pre_of(target)
        if pre is None or target.has_no_identity:
            self._refuse_uncarriable(unit, target, owner)
            return CarriedField(r.offset, r.type, self._carry(unit, target), r.addend)
        change = unit.replaced.get(id(target))
        if change is not None:
            # Of a weak function another definition may be in force; its own name leads to whichever is.
            called = use == BRANCH and not target.is_weak
            if called or use == ENTRY or target is not change.post:
                return CarriedField(r.offset, r.type, self._carry(unit, target), r.addend)
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
        where = definer(self.exports, name, unit.object_name)
        if name not in self.exports and name not in unit.undefined and unit.object_name != VMLINUX:
            for needed in (VMLINUX, *sorted(unit.needs(self.exports))):
                theirs, piece = self.defined.get((needed, name), (None, None))
                if theirs is not None and piece is not None and is_exported_by(theirs.post.object, name):
                    if theirs.correlation.pre_of(piece) is None:
                        return CarriedField(r.offset, r.type, self._carry(theirs, piece), r.addend)
                    where = needed
        if where not in (VMLINUX, unit.object_name) and where not in unit.needs(self.exports) | self._needed(unit):
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
        theirs, piece = self.defined.get((unit.object_name, name), (None, None))
        return (self._in_part(theirs, unit.part.name), piece) if theirs is not None and piece is not None else None

    def _needed(self, unit: ChangedUnit) -> set[str]:
        return set(self.needs(unit.object_name)) if unit.object_name != VMLINUX else set()

    def _is_exported(self, name: str) -> bool:
        return name in self.exports and self.exports[name].module == VMLINUX

    def _exported_field(self, name: str, r: Reference) -> CarriedField:
        if self.exports[name].namespace:
            self.namespaces.add(self.exports[name].namespace)
        if name.startswith(TRAMPOLINE):
            # objtool would list calls of a trampoline that it knows a second time.
            self.weak.setdefault(name)
        return CarriedField(r.offset, r.type, name, r.addend)

    def _outside_field(self, unit: ChangedUnit, r: Reference, label: str, symbol: int) -> CarriedField:
        unit.part.builder.need(symbol)
        self.weak.setdefault(label)
        return CarriedField(r.offset, r.type, label, r.addend, symbol)

    # ---- what cannot be carried

    @staticmethod
    def _refuse_uncarriable(unit: ChangedUnit, piece: Piece, owner: str) -> None:
        carriable = piece.lifetime in (*LIVING_CODE, *CARRIED_DATA, "fragments")
        carriable |= unit.part.init and piece.lifetime == "init"
        if carriable and not (piece.kind == "fragment" and piece.section.is_writable):
            return
        raise unit.error(
            "unsupported_reference",
            owner,
            f"{owner} uses {target_name(piece)}, which is new and lies in section {piece.section.name}; a module "
            "cannot have such a section.",
            "Change the patch so that it does not need it.",
            target=target_name(piece),
            section=piece.section.name,
        )

    def _rewritten_field(
        self, unit: ChangedUnit, owner: str, r: Reference, field: CarriedField, use: str
    ) -> CarriedField:
        """A field in code that the kernel rewrites before the helper can write: the loader has to fill it in.

        A call or jump goes to a stub, which jumps on.
        """
        if use != BRANCH or field.symbol is None or not isinstance(field.target, str) or r.meaning:
            raise self._unresolvable(unit, owner, field)
        key = unit.part.name, field.symbol, field.addend
        stub = self.stubs.get(key)
        if stub is None:
            label = self._unique(f"{field.target}{LABEL_SUFFIX}.stub")
            code, kind = unit.exact.arch.jump, unit.exact.arch.branch_types[4]
            jump = CarriedField(len(code) - kind.size, kind, field.target, field.addend, field.symbol)
            stub = Chunk(label, ".text.rbl_stubs", SHF_ALLOC | SHF_EXECINSTR, False, 1, code, len(code), "function")
            stub.fields, stub.unit, stub.part = [jump], unit.name, unit.part.name
            self.stubs[key] = stub
            self.chunks.append(stub)
        return CarriedField(field.offset, field.type, stub, -field.size)

    def _refuse_thunk(self, unit: ChangedUnit, owner: str, field: CarriedField) -> None:
        if isinstance(field.target, str) and field.target.startswith(unit.exact.arch.rewritten_calls):
            raise self._unresolvable(unit, owner, field)

    @staticmethod
    def _unresolvable(unit: ChangedUnit, owner: str, field: CarriedField) -> RebootlessError:
        return unit.error(
            "unresolvable_field",
            owner,
            f"{owner} refers to {field.target} in code that the kernel rewrites when it loads the module, and it is "
            "not exported to modules.",
            "Report this function: what the kernel writes there has to be decided when the update is built.",
            target=field.target,
            offset=field.offset,
        )

    def _refuse_unknown_sections(self) -> None:
        """A section that nothing is known about must not describe carried code: what it does would be lost."""
        for unit in self.units:
            carried = {id(c.piece) for c in self.chunks if c.kind == "function" and c.unit == unit.name}
            for piece in unit.post.all:
                if piece.lifetime != "unknown" or piece.section.name.startswith(".rbl."):
                    continue
                if (unit.object_name, id(piece)) in self.of_piece:
                    continue
                for r in unit.post.references(piece):
                    if id(r.target) in carried:
                        raise unit.error(
                            "unknown_special_section",
                            target_name(r.target),
                            f"section {piece.section.name} refers to {target_name(r.target)}, and what the kernel does "
                            "with it is not known.",
                            "Report this section's name.",
                            section=piece.section.name,
                        )
