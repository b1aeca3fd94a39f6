# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacement code: what of the post objects an update carries, and what each of its fields points to.

Carried are the changed and the new functions, new data, and the strings and constants that they use.  Everything else
is referred to where it runs: as a symbol of the match program, whose address the helper writes into the field (``struct
rbl_fixup`` of ``kmod/rebootless.h``), or by name if the kernel exports it to modules.  Each object that is changed, the
kernel or a loadable module, has a part and a match program of its own, and so has a module's init code.  A call of a
replaced function goes to its replacement; its address stays the old one, so that pointers compare equal, unless the old
one cannot be pointed to (``uses.has_new_landing_mark``).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Kernel
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.claims import HOOKS
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import (
    EXCHANGE,
    REPLACE,
    REPLACE_AT_LOAD,
    Decision,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import Change
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import Export, definer
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.jumps import jump_offset
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.program_builder import ProgramBuilder
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Piece
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.carrier import Carrier
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.changed_unit import ChangedUnit
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.fields import FieldResolver, Needs
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.handed_out import (
    constants_let_out,
    handed_out,
)
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
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.refusals import (
    refuse_unknown_sections,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_ORDER = {"function": 0, "fragment": 1, "data": 2, "literal": 3, "entry": 4}  # of chunks, by their kind


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
        with_init = {d.change.object_name for d in decisions if d.init_functions}
        self.parts: dict[str, Part] = {}
        for name in sorted({d.change.object_name for d in decisions}, key=lambda name: (name != VMLINUX, name)):
            for init in (False, True) if name in with_init else (False,):
                part = Part(name, ProgramBuilder(kernel, functools.partial(definer, exports)), init)
                self.parts[part.name] = part
        # By part and decision: what a part's code refers to is in that part's own match program.
        looked_at = {
            (part.name, id(d)): ChangedUnit(d, part)
            for part in self.parts.values()
            for d in decisions
            if d.change.object_name == part.object_name
        }
        self.units = [looked_at[d.change.object_name, id(d)] for d in decisions]
        self.carrier = Carrier(looked_at)
        self.fields = FieldResolver(self.units, self.carrier, exports, needs)

    def make(self) -> Replacement:
        for unit in self.units:
            for change, fate in unit.decision.functions.items():
                if fate.how == REPLACE:
                    unit.part.functions += self._replace(unit, change)
                elif fate.how == REPLACE_AT_LOAD:
                    of_init = self.carrier.in_part(unit, part_name(unit.object_name, init=True))
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
        while self.carrier.todo:
            unit, piece, chunk = self.carrier.todo.pop(0)
            self.fields.resolve(unit, piece, chunk)
            self.parts[unit.object_name].handed_out += constants_let_out(unit.correlation, piece)
        chunks = self.carrier.chunks
        chunks.sort(key=lambda c: _ORDER[c.kind])
        refuse_unknown_sections(self.units, self.carrier)
        for chunk in chunks:
            fixups: list[CarriedField | Constant] = [field for field in chunk.fields if field.symbol is not None]
            fixups += chunk.constants
            if fixups:
                self.parts[chunk.part].fixups += [(chunk, field) for field in fixups]
        return Replacement(chunks, list(self.parts.values()), sorted(self.fields.namespaces), list(self.fields.weak))

    # ---- which functions are replaced

    def _replace(self, unit: ChangedUnit, change: Change) -> Iterator[FunctionRow]:
        """Rows for the running pieces of a changed or removed function."""
        chunk = None
        if change.pre is not None and change.post is not None:
            chunk = self.carrier.carry(unit, change.post)
            for part in change.post_parts:
                self.carrier.carry(unit, part)
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
        return DatumRow(change.name, unit.name, self.carrier.carry(unit, change.post), symbol, size)

    def _hooks(self, unit: ChangedUnit) -> Iterator[HookRow]:
        """The rows of ``RBL_HOOK()``: a stage, and the function to call."""
        for piece in unit.post.all:
            if piece.section.name == HOOKS:
                (function,) = [r.piece for r in unit.post.references(piece)]
                if function is None:
                    raise ValueError(f"{piece.name} names no function of its unit")
                yield HookRow(int.from_bytes(piece.data[:4], "little"), unit.name, self.carrier.carry(unit, function))
