# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's own static branches: code that it rewrites when one of its keys flips.

Source: include/linux/jump_label.h (``struct jump_entry``), arch/x86/kernel/jump_label.c.
"""

from __future__ import annotations

import struct
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kallsyms import Kallsyms
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kcore import Kcore
from ansible_collections.rebootless.splice.tests.corpus.guest import memory

ENTRY = struct.Struct("<iiq")  # distances of the code, its target and the key, each from its own field
TABLE = ("__start___jump_table", "__stop___jump_table")
NOPS = (bytes.fromhex("6690"), bytes.fromhex("0f1f440000"))
LONGEST = 5
CODE = struct.Struct("<i")  # the first field of an entry
STAND_INS = "rbl_stand_ins"  # kmod/stand_ins.c


class Branches:
    """The sites of the kernel's static branches (not those of its modules), by address."""

    def __init__(self, memory: Kcore) -> None:
        symbols = Kallsyms()
        symbols.prefetch({(name, "vmlinux") for name in TABLE})
        start, end = (symbols.lookup(name, "vmlinux")[0] for name in TABLE)
        self._memory = memory
        self._targets = sites(start, memory.read(start, end - start) or b"")

    def is_one(self, address: int) -> bool:
        """Whether the byte at an address is of a site, and the site holds what the kernel writes there."""
        for code in range(address - LONGEST + 1, address + 1):
            target = self._targets.get(code)
            if target is None:
                continue
            for instruction in instructions(code, target):
                if address < code + len(instruction) and self._memory.read(code, len(instruction)) == instruction:
                    return True
        return False


def is_moved(kernel: Kcore, row: memory.Difference) -> bool:
    """Whether it is of the entry of a branch that a jump lies over: its code is a stand-in of the helper's then."""
    field = row.address - row.address % CODE.size
    now = kernel.read(field, CODE.size)
    if now is None or row.address + len(row.after) > field + CODE.size:
        return False
    code = field + CODE.unpack(now)[0]
    return memory.names_at([code])[code].startswith(f"{STAND_INS}+")


def sites(start: int, table: bytes) -> dict[int, int]:
    """The target of each site in a table that lies at ``start``."""
    found = {}
    for at in range(0, len(table) // ENTRY.size * ENTRY.size, ENTRY.size):
        code, target, _key = ENTRY.unpack_from(table, at)
        found[start + at + code] = start + at + 4 + target
    return found


def instructions(code: int, target: int) -> t.Iterator[bytes]:
    """What may stand at a site: a nop or a jump to its target, short or long."""
    yield from NOPS
    yield b"\xe9" + struct.pack("<i", target - (code + 5))
    if -128 <= target - (code + 2) < 128:
        yield b"\xeb" + struct.pack("<b", target - (code + 2))
