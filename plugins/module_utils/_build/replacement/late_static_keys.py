# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static branches and static calls of carried code whose keys are in loadable modules.

The kernel reads an update module's ``__jump_table`` and ``.static_call_sites`` when it loads the update, when the
module with the key need not be there yet.  Sources: kernel/jump_label.c, kernel/static_call_inline.c,
tools/objtool/special.c.
"""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import SHF_ALLOC, SHF_WRITE
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import (
    CarriedField,
    Chunk,
    Part,
)

JUMP_TABLE, STATIC_CALLS = "__jump_table", ".static_call_sites"
JUMP_ENTRIES = ".rbl.jump_entries."  # and the part's name: the helper registers these when its object is there
FALSE_KEY = "rbl_false_key"  # templates.UPDATE_C
_KEY_AT = {JUMP_TABLE: 8, STATIC_CALLS: 4}  # struct jump_entry, struct static_call_site
_FLAGS = 3  # low bits of a jump entry's key: branch taken, rewritten at start (include/linux/jump_label.h)
_ALIGN = 8  # the low bits of the key's address are flags, so that the field itself has to be aligned


def is_late(part: Part, entry: Chunk) -> bool:
    """Whether an entry's key is known only when the part's object, a loadable module, is there."""
    at = _KEY_AT.get(entry.section)
    return part.object_name != VMLINUX and any(f.offset == at and f.symbol is not None for f in entry.fields)


def make_late(part: Part, entry: Chunk) -> list[Chunk]:
    """What is emitted instead of the entry, of which ``is_late``; array entries are added to ``part``.

    A static branch has an entry that objtool and the kernel see, whose key never changes, and one for the helper.  A
    static call has none: its code goes on calling the trampoline, which the kernel keeps up to date.
    """
    if entry.section == STATIC_CALLS:
        return []
    at = _KEY_AT[JUMP_TABLE]
    array = Chunk(
        f"entry of {JUMP_ENTRIES}{part.name}",
        JUMP_ENTRIES + part.name.replace(":", "."),
        SHF_ALLOC | SHF_WRITE,
        False,
        _ALIGN,
        entry.data,
        entry.size,
        "entry",
        list(entry.fields),
        entry.unit,
        entry.part,
    )
    entry.fields = [
        CarriedField(f.offset, f.type, FALSE_KEY, f.addend & _FLAGS) if f.offset == at else f for f in entry.fields
    ]
    part.jump_entries.append(array)
    return [entry, array]
