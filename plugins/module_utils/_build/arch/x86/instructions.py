# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instructions of x86-64: how they are decoded, and opcodes and nops as the kernel's patching code knows them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.decoder import capstone
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.contents import Content

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
_ADDRESS = re.compile(r"(0x[0-9a-f]+|\d)$")
_BRANCH = re.compile(r"(call|j[a-z]+|loop[a-z]*)$")
# Before an opcode: legacy prefixes, of which F3 makes a pause of a nop, and REX.
PREFIXES = frozenset((0x66, 0x67, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0xF0, 0xF2, 0xF3))


def add_nops(length: int) -> bytes:
    """The nops that fill ``length`` bytes (add_nops in arch/x86/kernel/alternative.c)."""
    return NOPS[8] * (length // 8) + (NOPS[length % 8] if length % 8 else b"")


def decode(data: bytes) -> tuple[int, str]:
    """Length and mnemonic of the first instruction; ``(0, "")`` if it is none."""
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    return next(((size, mnemonic) for start, size, mnemonic, operands in decoder.disasm_lite(data[:15], 0, 1)), (0, ""))


def _decoder(detail: bool = False) -> capstone.Cs:
    """One that counts a byte that it does not know as an instruction of one byte (of ``id`` 0)."""
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    decoder.skipdata = True
    decoder.detail = detail
    return decoder


def instructions(code: bytes) -> list[tuple[int, int]]:
    """``[(start, end)]`` of the instructions in ``code``; bytes that cannot be decoded count one each."""
    return [(start, start + size) for start, size, mnemonic, operands in _decoder().disasm_lite(code, 0)]


def detailed(code: bytes) -> list:
    """The instructions in ``code`` as capstone describes them, with operands; without bytes that it does not know."""
    return [i for i in _decoder(detail=True).disasm(code, 0) if i.id]


def memory_operand_fields(code: bytes) -> frozenset[int]:
    """The offsets in ``code`` of fields that are the address of an operand in memory, which the instruction uses.

    ``lea`` is none of these: it computes an address, and that may go anywhere.
    """
    uses = (i for i in detailed(code) if i.id != capstone.x86.X86_INS_LEA)
    return frozenset(i.address + i.disp_offset for i in uses if i.disp_size > 0)


def direct_branches(code: bytes, start: int) -> Iterator[tuple[int, int, int]]:
    """``(offset of the distance in code, its size, destination)`` of each direct call and jump.

    ``code`` lies at ``start``, in which destinations are counted, too.
    """
    for address, size, mnemonic, operand in _decoder().disasm_lite(code, start):
        if _ADDRESS.match(operand) and _BRANCH.match(mnemonic.split()[-1]):
            width = 4 if size >= 5 else 1
            yield address + size - width - start, width, int(operand, 0)


def is_conditional_jump(opcode: bytes) -> bool:
    """Whether ``opcode`` is that of ``Jcc`` with a distance of 4 bytes."""
    return len(opcode) == 2 and opcode[0] == 0x0F and opcode[1] & 0xF0 == 0x80


def ends_with_call(code: bytes) -> bool:
    """Whether the last byte of ``code`` is the opcode of a direct call."""
    return code[-1:] == bytes([CALL])


def ends_with_branch(code: bytes) -> bool:
    """Whether ``code`` ends with the opcode of a direct call or jump that has a distance of 4 bytes."""
    return code[-1:] in (bytes([CALL]), bytes([JMP32])) or is_conditional_jump(code[-2:])


def nop_for_jump(code: bytes) -> bytes:
    """The nop that takes the place of the unconditional jump at the start of ``code``; empty if there is none."""
    return NOPS.get({JMP8: 2, JMP32: 5}.get(code[0], 0), b"")


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
