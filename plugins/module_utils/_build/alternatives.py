# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alternatives: code that the kernel exchanges at boot for what its CPU is best with.  Private to rebootless.splice."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.contents import (
    PC8,
    PC32,
    POSITION_DEPENDENT,
    Content,
    joined,
    plain,
    relative,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects import ObjectFile, Section
from ansible_collections.rebootless.splice.plugins.module_utils._build.opcodes import (
    CALL,
    JMP8,
    JMP32,
    NOPS,
    optimize_nops,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.rewrites import (
    ALTERNATIVE,
    Entry,
    Rewrite,
    Variant,
    broken,
)

ALT_INSTR_6_1 = struct.Struct("<iiHBB")  # where, replacement, CPU feature, length, length of the replacement
FEATURE_INVERTED_6_1 = 1 << 15
FEATURE_ALWAYS = 3 * 32 + 21  # arch/x86/include/asm/cpufeatures.h: X86_FEATURE_ALWAYS


def alternative_6_1(
    pre: ObjectFile, entry: Entry, before: Callable[[Section, int, int], list[Content]]
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
