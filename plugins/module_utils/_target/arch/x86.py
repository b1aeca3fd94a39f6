# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""x86-64: its jumps and calls in running code, and its kernel images.

Sources: Intel SDM, vol. 2; arch/x86/entry/syscalls/syscall_64.tbl; Documentation/arch/x86/boot.rst, fields ``header``
and ``kernel_version``.
"""

from __future__ import annotations

import struct

FINIT_MODULE, DELETE_MODULE, KEYCTL = 313, 176, 250
JUMP = struct.Struct("<Bi")  # jmp rel32
JUMP_OPCODE, CALL_OPCODE = 0xE9, 0xE8
UNTRACED = bytes.fromhex("0f1f440000")  # the nop at the entry of a function that is not traced (x86_nops[5])
ENDBR64 = bytes.fromhex("f30f1efa")
ENTRY_SIZE = len(ENDBR64) + len(UNTRACED)
HEADER, MAGIC = 0x202, b"HdrS"
POINTER, POINTER_BASE = 0x20E, 0x200


def jump(address: int, target: int) -> bytes:
    """The jump at ``address`` to ``target``."""
    return JUMP.pack(JUMP_OPCODE, target - (address + JUMP.size))


def untraced(entry: bytes) -> tuple[int, bytes] | None:
    """What stands at a function's entry without a tracer, and how far from its start; None if no tracer is called."""
    skipped = len(ENDBR64) if entry.startswith(ENDBR64) else 0
    return (skipped, UNTRACED) if entry[skipped : skipped + 1] == bytes([CALL_OPCODE]) else None


def image_banner(head: bytes) -> str:
    """What a kernel image, of which ``head`` is the beginning, says of its version; "" if it is none."""
    if head[HEADER : HEADER + len(MAGIC)] != MAGIC:
        return ""
    (pointer,) = struct.unpack_from("<H", head, POINTER)
    return head[pointer + POINTER_BASE :].partition(b"\0")[0].decode("ascii", "replace") if pointer else ""
