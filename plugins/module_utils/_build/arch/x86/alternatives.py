# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alternatives: code that the kernel exchanges at boot for what its CPU is best with."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.instructions import (
    CALL,
    INT3,
    JMP8,
    JMP32,
    NOPS,
    decode,
    optimize_nops,
    optimize_nops_6_12,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.kinds import ALTERNATIVE
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.contents import (
    INDIRECT_PC32,
    PC8,
    PC32,
    POSITION_DEPENDENT,
    Content,
    joined,
    plain,
    relative,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.rewriting import (
    Rewrite,
    TableEntry,
    Variant,
    broken,
    entries,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import ObjectCode, Section

ALT_INSTR_6_1 = struct.Struct("<iiHBB")  # where, replacement, CPU feature, length, length of the replacement
FEATURE_INVERTED_6_1 = 1 << 15
ALT_INSTR_6_12 = struct.Struct("<iiHHBB")  # where, replacement, CPU feature, flags, and the lengths
FLAG_NOT_6_12, FLAG_DIRECT_CALL_6_12 = 1, 2
FEATURE_ALWAYS = 3 * 32 + 21  # arch/x86/include/asm/cpufeatures.h: X86_FEATURE_ALWAYS


def alternative_6_1(
    pre: ObjectCode, entry: TableEntry, before: Callable[[Section, int, int], list[Content]]
) -> Iterator[Rewrite]:
    """One alternative (apply_alternatives of 6.1): the replacement, or the original, with long nops.

    ``before(section, start, end)`` are the contents that a range of the replacements can have when the alternatives
    are applied, since retpolines in it have been rewritten by then.
    """
    section, offset = entry.location(0, pre)
    _where, _replacement, word, length, replacement_length = ALT_INSTR_6_1.unpack(entry.data)
    if replacement_length > length:
        raise broken(pre, section, offset, "an alternative longer than what it replaces")
    if not length:
        return
    feature, wanted = word & ~FEATURE_INVERTED_6_1, not word & FEATURE_INVERTED_6_1
    replacements = [Content(b"")]
    if replacement_length:
        where, start = entry.location(4, pre)
        replacements = before(where, start, start + replacement_length)
    padding = Content(b"\x90" * (length - replacement_length))
    replaced = [
        optimize_nops(joined(form, padding))
        for replacement in replacements
        for form in moved_6_1(section, offset, replacement)
    ]

    def variants(current: Content) -> Iterator[Variant]:
        for content in replaced:
            yield (feature, wanted), content
        if feature != FEATURE_ALWAYS or not wanted:
            yield (feature, not wanted), optimize_nops(current)

    yield Rewrite(section, offset, length, ALTERNATIVE, variants)


def moved_6_1(section: Section, offset: int, code: Content) -> list[Content]:
    """The forms that a replacement takes at ``section + offset``: 6.1 adjusts nothing but a lone call or jump.

    Raises ``ValueError`` for a replacement that it would break.
    """
    is_branch = len(code) == 5 and code.data[0] in (CALL, JMP8, JMP32)
    distances = [f for f in code.fields if f.type in POSITION_DEPENDENT]
    if not distances and not is_branch:
        return [code]
    if not is_branch or [f.offset for f in distances] != [1] or code.data[0] == JMP8:
        raise ValueError("a replacement has a relative field that the kernel does not adjust")
    target = distances[0]
    if code.data[0] == CALL or target.type != PC32:
        return [code]
    # recompute_jump() takes the two-byte form for targets up to 127 bytes ahead (and, by a slip, for none behind).
    if target.target is section:
        distance = target.addend + 4 - offset
        short = joined(plain(JMP8, (distance - 2) & 0xFF), Content(NOPS[3]))
        return [short if 0 <= distance <= 129 else code]
    return [code, joined(relative(bytes([JMP8]), target.target, target.addend + 4, PC8), Content(NOPS[3]))]


def alternatives_6_12(
    pre: ObjectCode, table: Section, before: Callable[[Section, int, int], list[Content]]
) -> Iterator[Rewrite]:
    """All alternatives of an object (apply_alternatives of 6.12); ``before`` as for ``alternative_6_1``.

    Consecutive entries for the same place are nested alternatives: they all have the length of the longest.
    """
    rows = [(entry, entry.location(0, pre)) for entry in entries(pre, table, ALT_INSTR_6_12.size)]
    for (section, offset), group in itertools.groupby(rows, key=lambda row: row[1]):
        nested = [entry for entry, _place in group]
        length = max(ALT_INSTR_6_12.unpack(entry.data)[4] for entry in nested)
        for entry in nested:
            yield from _alternative_6_12(pre, entry, section, offset, length, before)


def _alternative_6_12(
    pre: ObjectCode,
    entry: TableEntry,
    section: Section,
    offset: int,
    length: int,
    before: Callable[[Section, int, int], list[Content]],
) -> Iterator[Rewrite]:
    _where, _replacement, feature, flags, _length, size = ALT_INSTR_6_12.unpack(entry.data)
    if size > length or flags & ~(FLAG_NOT_6_12 | FLAG_DIRECT_CALL_6_12):
        raise broken(pre, section, offset, "an alternative with unknown flags, or longer than what it replaces")
    if not length:
        return
    wanted = not flags & FLAG_NOT_6_12
    where, start = entry.location(4, pre) if size else (section, 0)
    replacements = before(where, start, start + size) if size else [Content(b"")]

    def replaced(current: Content) -> Iterator[Content]:
        if flags & FLAG_DIRECT_CALL_6_12:
            yield from direct_call(current)
            return
        for replacement in replacements:
            code = joined(replacement, Content(b"\x90" * (length - size)))
            for form in moved_6_12(section, offset, code, where, range(start, start + size + 1)):
                yield optimize_nops_6_12(form)

    def variants(current: Content) -> Iterator[Variant]:
        for content in replaced(current):
            yield (feature, wanted), content
        if feature != FEATURE_ALWAYS or not wanted:
            yield (feature, not wanted), optimize_nops_6_12(current)

    yield Rewrite(section, offset, length, ALTERNATIVE, variants)


def direct_call(current: Content) -> Iterator[Content]:
    """What becomes of ``call *pointer``: a call of what the pointer points to, or nothing (alt_replace_call).

    What is no such call any more has been exchanged by an alternative before this one, and the kernel would stop.
    """
    if current.data[:2] != b"\xff\x15" or len(current) != 6 or [f.offset for f in current.fields] != [2]:
        return
    pointer = current.fields[0]
    yield joined(relative(bytes([CALL]), pointer.target, pointer.addend + 4, INDIRECT_PC32), plain(0x90))
    yield joined(relative(bytes([CALL]), "BUG_func"), plain(0x90))
    yield Content(NOPS[6])


def moved_6_12(section: Section, offset: int, code: Content, where: Section, block: range) -> list[Content]:
    """The forms that a replacement takes at ``section + offset`` (__apply_relocation of 6.12).

    All distances are adjusted, those within the replacement (``block`` of ``where``) excepted; jumps become short
    ones if they can.  Raises ``ValueError`` for a field that it would not adjust.
    """
    forms = [code]
    fields = {f.offset: f for f in code.fields if f.type in POSITION_DEPENDENT}
    if any(f.target is where and f.addend + 4 in block for f in fields.values()):
        raise ValueError("a replacement refers to itself through a relocated field")
    position = 0
    while position < len(code):
        size, _mnemonic = decode(code.data[position:])
        if not size:
            raise ValueError(f"unknown instruction {code.data[position : position + 15].hex()}")
        field = fields.get(position + 1)
        if size == 5 and code.data[position] == JMP32 and field is not None:
            target, addend = field.target, field.addend + 4
            distance = addend - (offset + position + 2)
            padding = bytes([INT3]) * 3
            if target is not section:
                short = joined(relative(bytes([JMP8]), target, addend, PC8), Content(padding))
                forms += [form.overwritten(position, short) for form in forms]
            elif -128 <= distance <= 127:
                short = Content(bytes([JMP8, distance & 0xFF]) + padding)
                forms = [form.overwritten(position, short) for form in forms]
        position += size
    return forms
