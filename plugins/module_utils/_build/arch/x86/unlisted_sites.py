# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places that the kernel rewrites and no table of the object names.

With indirect branch tracking, objtool runs when the kernel or a module is linked, not for each unit: a unit's object
has no ``.return_sites``, ``.retpoline_sites``, ``.static_call_sites``, ``.ibt_endbr_seal``.  What objtool will find is
found here in the same way, by what calls and jumps lead to (annotate_call_site, add_return_call and read_symbols in
tools/objtool/check.c of 6.12).
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.instructions import (
    CALL,
    ENDBR64,
    ENDBR_POISON,
    JMP32,
    instructions,
    is_conditional_jump,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.kinds import ENDBR
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.rewrites import (
    RETURN_THUNK,
    THUNK_PREFIX,
    retpoline_at,
    return_at,
    static_call_at,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.contents import (
    PC32,
    Content,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.rewriting import (
    KEY,
    TRAMPOLINE,
    Rewrite,
    broken,
    one_of,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import (
    ObjectCode,
    Relocation,
    Section,
)

CS_PREFIX = b"\x2e"
REPLACEMENTS = ".altinstr_replacement"  # objtool leaves calls in it alone


def static_calls_in_code(pre: ObjectCode, section: Section) -> Iterator[Rewrite]:
    """Calls and jumps to trampolines of static calls; a jump is a tail call."""
    if section.name == REPLACEMENTS:
        return
    for relocation in _branch_fields(section, TRAMPOLINE):
        start, opcode = _branch(pre, section, relocation)
        key = KEY + relocation.symbol.name[len(TRAMPOLINE) :]
        yield static_call_at(pre, section, start, key, 0, opcode != bytes([CALL]))


def retpolines_in_code(pre: ObjectCode, section: Section) -> Iterator[Rewrite]:
    """Calls and jumps to retpoline thunks."""
    if section.name == REPLACEMENTS:
        return
    for relocation in _branch_fields(section, THUNK_PREFIX):
        start, opcode = _branch(pre, section, relocation)
        # Branches to the thunks of r8 to r15 have a prefix, so that an indirect branch fits.
        if section.data[start - 1 : start] == CS_PREFIX and start not in dict(instructions(section.data)):
            start -= 1
        yield retpoline_at(pre, section, start)


def returns_in_code(pre: ObjectCode, section: Section) -> Iterator[Rewrite]:
    """Jumps to the return thunk."""
    for relocation in _branch_fields(section, RETURN_THUNK):
        yield return_at(pre, section, _branch(pre, section, relocation)[0])


def landing_marks_in_code(pre: ObjectCode, section: Section) -> Iterator[Rewrite]:
    """Landing marks, which the kernel takes away where no pointer leads to (apply_seal_endbr).

    Which these are is known only when everything is linked.
    """
    if ENDBR64 not in section.data:
        return
    for start, end in instructions(section.data):
        if section.data[start:end] == ENDBR64:
            yield Rewrite(section, start, len(ENDBR64), ENDBR, one_of(Content(ENDBR_POISON)))


def _branch_fields(section: Section, prefix: str) -> Iterator[Relocation]:
    for relocation in section.relocations:
        if relocation.symbol.name.startswith(prefix) and relocation.type.field == PC32:
            yield relocation


def _branch(pre: ObjectCode, section: Section, relocation: Relocation) -> tuple[int, bytes]:
    """Where the call or jump with that field begins, its prefix aside, and its opcode."""
    field = relocation.offset
    for opcode in (section.data[field - 1 : field], section.data[field - 2 : field]):
        known = opcode in (bytes([CALL]), bytes([JMP32])) if len(opcode) == 1 else is_conditional_jump(opcode)
        if known and relocation.addend == -4:
            return field - len(opcode), opcode
    raise broken(pre, section, field, f"a reference to {relocation.symbol.name} that is no call or jump")
