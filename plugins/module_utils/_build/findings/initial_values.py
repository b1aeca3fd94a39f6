# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the initial value of a variable or constant changes, member by member."""

from __future__ import annotations

import dataclasses

from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_variables import (
    DebugVariables,
    Leaf,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import (
    MergedConstant,
    Piece,
    Pieces,
    Reference,
)


@dataclasses.dataclass(frozen=True)
class ValueChange:
    """One member's change: ``where`` is *net_device_ops.ndo_open of foo*, the values are written as C would."""

    where: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.where}: {self.before} -> {self.after}"


def value_changes(
    pre: Pieces, a: Piece, pre_types: DebugVariables, post: Pieces, b: Piece, post_types: DebugVariables
) -> list[ValueChange]:
    """What differs between two pieces of data of one size, by member; in words of bytes where no type is known."""
    sides = _Side(pre, a), _Side(post, b)
    changes: list[ValueChange] = []
    for wanted in _runs(_differing(*sides)):
        leaves = list(post_types.leaves(b, wanted)) or list(pre_types.leaves(a, wanted)) or _words(wanted)
        for leaf in leaves:
            before, after = (side.value(leaf) for side in sides)
            if before != after:
                changes.append(ValueChange(_where(leaf, source_name(b.name)), before, after))
    return list(dict.fromkeys(changes))


class _Side:
    def __init__(self, pieces: Pieces, piece: Piece):
        self.data = pieces.masked(piece)
        self.references = {r.offset: r for r in pieces.references(piece)}

    def value(self, leaf: Leaf) -> str:
        reference = self.references.get(leaf.bit // 8)
        if reference is not None:
            return _target(reference)
        number = int.from_bytes(self.data[leaf.bit // 8 : (leaf.bit + leaf.bits + 7) // 8], "little")
        number = number >> (leaf.bit % 8) & ((1 << leaf.bits) - 1)
        if leaf.signed and number >> (leaf.bits - 1):
            number -= 1 << leaf.bits
        return hex(number) if leaf.pointer and number else str(number)


def _target(r: Reference) -> str:
    if isinstance(r.target, MergedConstant):
        text = r.target.data.rstrip(b"\0")
        return '"' + text.decode("latin-1").encode("unicode_escape").decode().replace('"', '\\"') + '"'
    name = r.target if isinstance(r.target, str) else source_name(r.target.name) or r.target.section.name
    return f"{name}+{r.meaning}" if r.meaning else name


def _differing(x: _Side, y: _Side) -> list[int]:
    """The offsets of the bytes that differ; of a field, its first."""
    found = {offset for offset, (a, b) in enumerate(zip(x.data, y.data)) if a != b}
    for offset in {*x.references, *y.references}:
        ours, theirs = x.references.get(offset), y.references.get(offset)
        if ours is None or theirs is None or _target(ours) != _target(theirs):
            found.add(offset)
    return sorted(found)


def _runs(offsets: list[int]) -> list[range]:
    runs: list[range] = []
    for offset in offsets:
        if runs and runs[-1].stop == offset:
            runs[-1] = range(runs[-1].start, offset + 1)
        else:
            runs.append(range(offset, offset + 1))
    return runs


def _words(wanted: range) -> list[Leaf]:
    """Where nothing is known of the type: the aligned 8-byte words around the bytes."""
    return [Leaf(f" at byte {at}", "", 8 * at, 64, False, True) for at in range(wanted.start & ~7, wanted.stop, 8)]


def _where(leaf: Leaf, name: str) -> str:
    if not leaf.struct:
        return f"{name}{leaf.path}"
    outer, _dot, member = leaf.path.rpartition(".")
    return f"{leaf.struct}.{member} of {name}{outer}"


def source_name(name: str) -> str:
    """A variable's name without the number that the compiler gives to static locals."""
    base, dot, number = name.rpartition(".")
    return base if dot and number.isdigit() else name
