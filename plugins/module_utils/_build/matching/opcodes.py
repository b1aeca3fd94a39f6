# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instructions as the kernel's patching code knows them: opcodes, nops, lengths.  Private to rebootless.splice."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.deps import capstone
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.contents import Content

# arch/x86/include/asm/text-patching.h
CALL, JMP32, JMP8, RET, INT3, LOCK_PREFIX, DS_PREFIX = 0xE8, 0xE9, 0xEB, 0xC3, 0xCC, 0xF0, 0x3E
LFENCE = bytes.fromhex("0faee8")
# arch/x86/kernel/static_call.c: clears eax and fills a call; marks a trampoline.
XOR5RAX = bytes.fromhex("2e2e2e31c0")
TRAMPOLINE_UD = bytes.fromhex("0fb9cc")

# arch/x86/include/asm/ibt.h: a landing mark, and what the kernel writes over those that nothing leads to.
ENDBR64, ENDBR_POISON = bytes.fromhex("f30f1efa"), bytes.fromhex("660f1f00")

# arch/x86/include/asm/nops.h: BYTES_NOP1 to BYTES_NOP8 of 64-bit kernels.
NOPS = {
    length: bytes.fromhex(code)
    for length, code in enumerate(
        ("90", "6690", "0f1f00", "0f1f4000", "0f1f440000", "660f1f440000", "0f1f8000000000", "0f1f840000000000"), 1
    )
}

# The same file of 6.5 and later: BYTES_NOP9 to BYTES_NOP11.
LONG_NOPS = {**NOPS, **{8 + more: bytes([0x66] * (more - 1) + [0x2E]) + NOPS[8] for more in (1, 2, 3)}}
# Before an opcode: legacy prefixes, of which F3 makes a pause of a nop, and REX.
PREFIXES = frozenset((0x66, 0x67, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0xF0, 0xF2, 0xF3))


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


def optimize_nops_6_12(content: Content) -> Content:
    """Runs of nops of any length made one (optimize_nops in arch/x86/kernel/alternative.c of 6.12).

    Raises ``ValueError`` for an instruction that cannot be decoded here; the kernel might know it.
    """
    data, position = bytearray(content.data), 0
    while position < len(data):
        end = position + _size(data, position)
        if is_nop(data[position:end]):
            if end == len(data):
                break
            while end < len(data) and is_nop(data[end : end + _size(data, end)]):
                end += _size(data, end)
            data[position:end] = one_nop(end - position)
        position = end
    return Content(bytes(data), content.fields)


def _size(data: bytearray, position: int) -> int:
    size, _mnemonic = decode(bytes(data[position:]))
    if not size:
        raise ValueError(f"unknown instruction {data[position : position + 15].hex()}")
    return size


def is_nop(instruction: bytes | bytearray) -> bool:
    """Whether the kernel takes an instruction for a nop (insn_is_nop): NOP without REP, and NOPL."""
    start = 0
    while start < len(instruction) - 1 and (instruction[start] in PREFIXES or instruction[start] & 0xF0 == 0x40):
        start += 1
    if instruction[start] == 0x90:
        return start == 0 or instruction[0] != 0xF3
    return bytes(instruction[start : start + 2]) == b"\x0f\x1f"


def one_nop(length: int) -> bytes:
    """A nop of that length, or a jump over breakpoints (add_nop)."""
    if length in LONG_NOPS:
        return LONG_NOPS[length]
    jump = bytes([JMP8, length - 2]) if length < 128 else bytes([JMP32]) + (length - 5).to_bytes(4, "little")
    return jump + bytes([INT3]) * (length - len(jump))
