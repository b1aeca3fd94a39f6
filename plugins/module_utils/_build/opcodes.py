# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instructions as the kernel's patching code knows them: opcodes, nops, lengths.  Private to rebootless.splice."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.contents import Content
from ansible_collections.rebootless.splice.plugins.module_utils._build.deps import capstone

# arch/x86/include/asm/text-patching.h
CALL, JMP32, JMP8, RET, INT3, LOCK_PREFIX, DS_PREFIX = 0xE8, 0xE9, 0xEB, 0xC3, 0xCC, 0xF0, 0x3E
LFENCE = bytes.fromhex("0faee8")
# arch/x86/kernel/static_call.c: clears eax and fills a call; marks a trampoline.
XOR5RAX = bytes.fromhex("2e2e2e31c0")
TRAMPOLINE_UD = bytes.fromhex("0fb9cc")

# arch/x86/include/asm/nops.h: BYTES_NOP1 to BYTES_NOP8 of 64-bit kernels.
NOPS = {
    length: bytes.fromhex(code)
    for length, code in enumerate(
        ("90", "6690", "0f1f00", "0f1f4000", "0f1f440000", "660f1f440000", "0f1f8000000000", "0f1f840000000000"), 1
    )
}


def add_nops(length: int) -> bytes:
    """The nops that fill ``length`` bytes (add_nops in arch/x86/kernel/alternative.c)."""
    return NOPS[8] * (length // 8) + (NOPS[length % 8] if length % 8 else b"")


def decode(data: bytes) -> tuple[int, str]:
    """Length and mnemonic of the first instruction; ``(0, "")`` if it is none."""
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    return next(((size, mnemonic) for start, size, mnemonic, operands in decoder.disasm_lite(data[:15], 0, 1)), (0, ""))


def optimize_nops(content: Content) -> Content:
    """Runs of one-byte nops made long ones (optimize_nops in arch/x86/kernel/alternative.c of 6.1).

    Raises ``ValueError`` for an instruction that cannot be decoded here; the kernel might know it.
    """
    data, position = bytearray(content.data), 0
    while position < len(data):
        size, mnemonic = decode(bytes(data[position:]))
        if not size:
            raise ValueError(f"unknown instruction {data[position : position + 15].hex()}")
        if data[position] == 0x90 and size == 1:
            end = position
            while end < len(data) and data[end] == 0x90:
                end += 1
            if end - position > 1:
                data[position:end] = add_nops(end - position)
            size = end - position
        position += size
    return Content(bytes(data), content.fields)
