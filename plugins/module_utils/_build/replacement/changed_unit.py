# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A changed unit, and what the maker of replacement code asks of its pieces."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Architecture
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import Section
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import Decision
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import Change
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import Export, definer
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import (
    Entry,
    MergedConstant,
    Piece,
    Pieces,
    Reference,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import is_branch
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import Chunk, Part
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

JUMP_ENTRY_KEY = 8  # offset in struct jump_entry
# The module loader looks for these by their exact names.
_LOADERS_SECTIONS = (".data..percpu", ".data..ro_after_init", "__dyndbg")
# What is in these must not be probed, and the module loader tells kprobes so.
_UNPROBED_TEXT = (".noinstr.text", ".kprobes.text")


class ChangedUnit:
    """What is decided about a unit, and what is looked up in it; ``number`` is that of its part's match program.

    A unit of a module whose init code is replaced is looked at twice: for the module's part, and for that of its init.
    """

    def __init__(self, decision: Decision, part: Part):
        change = decision.change
        self.decision, self.change, self.part = decision, change, part
        places = decision.running.places
        self.number = part.builder.add_unit(change.object_name, change.unit, change.pre, part.init, places)
        self.name, self.object_name, self.exact = change.unit, change.object_name, change.pre
        self.correlation = change.difference.correlation
        self.post: Pieces = self.correlation.post
        self.replaced: dict[int, Change] = {
            id(piece): function
            for function in change.difference.functions
            if function.change == "changed"
            for piece in (function.post, *function.post_parts)
            if piece is not None
        }
        self.undefined = {s.name for s in self.exact.symbols if s.undefined and s.name and s.binding != "weak"}
        self._symbols = {s.name: s for s in self.exact.symbols if s.section is not None and s.kind != "section"}
        self.referred_sections = {r.target_section for s in self.exact.sections if s.is_text for r in s.relocations}

    def exact_place(self, piece: Piece, owner: str) -> tuple[Section, int, int]:
        """``(section, offset, size)`` in the exact pre object of the running ``piece`` (of pre)."""
        symbol = self._symbols.get(piece.name)
        if symbol is None or symbol.section is None or (piece.kind == "data" and symbol.size != piece.size):
            raise self.error(
                "pre_mismatch",
                owner,
                f"{piece.name} is in the object compiled with sections, but not in that with the kernel's flags.",
                "Report this unit: its two compilations name things differently.",
                symbol=piece.name,
            )
        return symbol.section, symbol.value, symbol.size or piece.size

    def needs(self, exports: Mapping[str, Export]) -> set[str]:
        """The modules that have to be loaded before the unit's own, as far as its running code tells."""
        return {definer(exports, name, self.object_name) for name in self.undefined} - {VMLINUX, self.object_name}

    def never_returns(self, piece: Piece, call: Reference) -> bool:
        """Whether a call does not come back: it is the last instruction, or its target is declared so."""
        if call.offset + call.size == piece.size:
            return True
        return target_name(call.target) in self.change.difference.types[1].never_return

    def error(self, code: str, owner: str, sentence: str, next_step: str = "", **details) -> RebootlessError:
        """An error about the function or data ``owner`` of this unit."""
        return RebootlessError(code, f"{self.name}: {sentence}", next_step, unit=self.name, function=owner, **details)


def is_call(piece: Piece, r: Reference) -> bool:
    """Whether the field is the distance of a call."""
    return is_branch(piece, r) and piece.arch.ends_with_call(piece.data[: r.offset])


def rewritten_ranges(pieces: Pieces, piece: Piece) -> list[range]:
    """Where the kernel writes other instructions before an update module's fields can be resolved."""
    ranges = []
    for entry in pieces.entries(piece):
        length = piece.arch.rewritten_at_load.get(entry.section.name)
        if length is not None:
            ranges.append(range(entry.offset, entry.offset + length(entry.data)))
    return ranges


def take_out_branch(arch: Architecture, chunk: Chunk, entry: Entry) -> None:
    """Makes a static branch a nop that is compiled as a jump to be one (bit 1 of its key).

    objtool does it (handle_jump_alt), when it links if there is indirect branch tracking, else for each unit.
    """
    key = next((r for r in entry.references if r.offset == JUMP_ENTRY_KEY), None)
    start = entry.offset
    nop = arch.nop_for_jump(chunk.data[start:])
    if key is None or not key.addend & 2 or not nop:
        return
    chunk.data = chunk.data[:start] + nop + chunk.data[start + len(nop) :]
    chunk.fields = [f for f in chunk.fields if not start <= f.offset < start + len(nop)]


def section_name(piece: Piece) -> str:
    """The section of the update module that ``piece`` goes to."""
    name = piece.section.name
    if piece.kind == "function" and not name.startswith(_UNPROBED_TEXT):
        return f".text.{piece.name}"
    return next((n for n in _LOADERS_SECTIONS if name.startswith(n)), name)


def alignment(piece: Piece) -> int:
    """In bytes: the section's, as far as the piece's offset in it keeps to that."""
    return largest_alignment(piece.section, piece.start)


def largest_alignment(section: Section, start: int) -> int:
    """In bytes: the section's, as far as ``start`` in it keeps to that."""
    align = max(section.align, 1)
    while start % align:
        align //= 2
    return align


def identifier(path: str) -> str:
    """A unit's path as a part of a symbol."""
    return "".join(c if c.isalnum() else "_" for c in path.removesuffix(".o"))


def target_name(target: Piece | MergedConstant | str) -> str:
    """What messages call the target of a reference."""
    if isinstance(target, Piece):
        return target.name or f"unnamed bytes of {target.section.name}"
    return target if isinstance(target, str) else "a string"
