# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update module carries of the post objects: a chunk for each piece, made when something first needs it."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import SHF_ALLOC
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import main_part
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import MergedConstant, Piece
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.changed_unit import (
    ChangedUnit,
    alignment,
    section_name,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import Chunk, part_name

LABEL_SUFFIX = ".rbl"  # of all that is carried: tracing and probing by name go on to mean what they meant


class Carrier:
    """The chunks, in the order in which they were needed.

    ``looked_at`` has each unit by the name of a part and the ``id()`` of its decision.  ``todo`` are the chunks whose
    fields have not been resolved.
    """

    def __init__(self, looked_at: dict[tuple[str, int], ChangedUnit]) -> None:
        self._looked_at = looked_at
        self.chunks: list[Chunk] = []
        self.of_piece: dict[tuple[str, int], Chunk] = {}
        self.todo: list[tuple[ChangedUnit, Piece, Chunk]] = []
        self._of_literal: dict[MergedConstant, Chunk] = {}
        self._labels: set[str] = set()

    def carry(self, unit: ChangedUnit, piece: Piece) -> Chunk:
        """Replacement code, and data: of the module's init only what is itself init code."""
        unit = self.in_part(unit, part_name(unit.object_name, unit.part.init and piece.lifetime == "init"))
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
            return self.carry(unit, unit.post.by_name[main]).label + piece.name[len(main) :]
        return self.unique(piece.name + LABEL_SUFFIX)

    def unique(self, wanted: str) -> str:
        """``wanted``, or it with a number if there is such a label."""
        label, count = wanted, 0
        while label in self._labels:
            label, count = f"{wanted}.{count}", count + 1
        self._labels.add(label)
        return label

    def carry_literal(self, literal: MergedConstant) -> Chunk:
        """The one chunk of a string or constant; all users share it."""
        chunk = self._of_literal.get(literal)
        if chunk is None:
            data = literal.data
            chunk = Chunk("literal", ".rodata.literals", SHF_ALLOC, False, literal.align, data, len(data), "literal")
            self._of_literal[literal] = chunk
            self.chunks.append(chunk)
        return chunk

    def in_part(self, unit: ChangedUnit, part: str) -> ChangedUnit:
        """The unit as the code of another part of its object sees it."""
        return self._looked_at[part, id(unit.decision)]
