# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only x86-64 means, as ``verification`` knows it.

All other files of this folder serve what makes modules.  This one shares nothing with them, so that what one of both
takes wrong the other notices.
"""

from __future__ import annotations

import dataclasses
import struct

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.decoder import capstone

MACHINE = "EM_X86_64"

# ---- relocations: AMD64 ABI, table 4.9

R_NONE, R_64, R_PC32, R_GOTPCREL, R_32, R_32S, R_PC64 = 0, 1, 2, 9, 10, 11, 24
R_PLT32 = 4
# Type -> bytes of the field.  Those behind R_PC64 the kernel's objects have in code that no module can carry.
WIDTHS = {R_NONE: 0, R_64: 8, R_PC32: 4, R_PLT32: 4, R_32: 4, R_32S: 4, R_PC64: 8}
WIDTHS.update({R_GOTPCREL: 4, 12: 2, 13: 2, 14: 1, 15: 1, 41: 4, 42: 4})
RELATIVE = (R_PC32, R_PLT32, R_PC64)
POINTER = R_64
BRANCH = R_PLT32
DISTANCES = frozenset((R_PC32, R_PLT32))  # the linker takes one for the other
# Type -> enum rbl_reloc_type of kmod/relocs.h.
FIXUP_TYPES = {R_64: 1, R_PC32: 2, R_PLT32: 2, R_32: 3, R_32S: 4, R_PC64: 6}

# ---- instructions

SHORT_BRANCH = 3  # bytes of the longest branch whose distance is one byte: a prefix, the opcode, the distance
DISTANCE = 4  # bytes of a branch's distance otherwise, at its end
CALL_SIZE = 5
LANDING_MARK = b"\xf3\x0f\x1e\xfa"  # endbr64
STUB = b"\xe9\0\0\0\0"  # jmp
STUB_FIELD = 1  # where its distance is
JUMPS = {0xEB: 2, 0xE9: 5}  # opcode -> bytes of the instruction
NOPS = {2: b"\x66\x90", 5: b"\x0f\x1f\x44\0\0"}  # as the kernel has them: arch/x86/include/asm/nops.h
_ENDS = ("jmp", "ret", "retq", "int3", "ud2", "iretq", "sysretq", "hlt")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """An instruction, by offset in its section; ``branch_to`` is where a direct call or jump leads, else None."""

    start: int
    end: int
    is_branch: bool
    is_end: bool
    branch_to: int | None


def instructions(code: bytes, start: int) -> list[Instruction]:
    """The instructions of ``code``, which begins at ``start`` of its section; what is none counts byte by byte."""
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    decoder.skipdata = True
    found = []
    for at, size, mnemonic, operand in decoder.disasm_lite(code, start):
        word = mnemonic.split()[-1]
        branch = word == "call" or word.startswith(("j", "loop"))
        direct = branch and (operand.startswith("0x") or operand.isdigit())
        found.append(Instruction(at, at + size, direct, word in _ENDS, int(operand, 0) if direct else None))
    return found


# ---- indirect branch tracking: x86-64 psABI, "Program property"; include/uapi/linux/elf.h

PROPERTIES = ".note.gnu.property"
_FEATURES, _TRACKED = 0xC0000002, 0x1  # GNU_PROPERTY_X86_FEATURE_1_AND, .._IBT


def says_tracked(note: bytes) -> bool:
    """Whether a note of properties says that the object has landing marks (``-fcf-protection=branch``)."""
    at, end = 16, len(note)  # behind sizes, type and "GNU"
    while at + 12 <= end:
        type_, size, value = struct.unpack_from("<III", note, at)
        if type_ == _FEATURES:
            return bool(value & _TRACKED)
        at += 8 + (size + 7) // 8 * 8
    return False


# ---- tables beside code

ALTERNATIVES, REPLACEMENTS = ".altinstructions", ".altinstr_replacement"
# struct alt_instr: 12 bytes until 6.2, 14 since its flags are apart (arch/x86/include/asm/alternative.h).
ALTERNATIVE_SIZES = (12, 14)
ADDRESS_OF_REPLACEMENT = 4  # in struct alt_instr; its last two bytes are the lengths of the instruction and of it
PARAVIRT = ".parainstructions"
SIZES = {
    PARAVIRT: 16,  # arch/x86/include/asm/paravirt_types.h
    ".smp_locks": 4,  # arch/x86/include/asm/alternative.h
    "__bug_table": 12,  # arch/x86/include/asm/bug.h
    "__ex_table": 12,  # arch/x86/include/asm/extable.h
}
RUNTIME_CONSTANTS = {"runtime_ptr_": 8, "runtime_shift_": 1}  # beginning of a table's name -> bytes that it is about
RUNTIME_CONSTANT_SIZE = 4  # of an entry: arch/x86/include/asm/runtime-const.h
# What objtool lists of a linked module: branches to these, or to what begins so.
RETURNS, RETPOLINES = ".return_sites", ".retpoline_sites"
THUNKS = {RETURNS: "__x86_return_thunk", RETPOLINES: "__x86_indirect_thunk_"}
# Patterns of sections whose entries go with no code of a module: objtool makes them anew, or only the boot reads them.
NOT_CARRIED = r"\.(return|retpoline|call|cfi)_sites$|\.ibt_endbr_seal$|\.orc_"
NO_TABLE = r"\.(x86_cpu_dev|apicdrivers|iommu_table|altinstr_aux)"
THUNK_OPCODES = (1, 2)  # bytes in front of the distance: call and jmp have one, conditional jumps two


def written(table: str, entry: bytes) -> int:
    """How many bytes of code the kernel writes for an entry before an update's fields are filled in."""
    if table == ALTERNATIVES:
        return entry[-2]
    if table == PARAVIRT:
        return entry[9]  # instr, type, len
    return CALL_SIZE if table in THUNKS else 0
