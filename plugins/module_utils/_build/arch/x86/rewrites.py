# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What x86 kernels write over their own code, one function for each mechanism.

Each takes the places that a special section names and yields ``Rewrite``s; a rewrite says which contents its bytes can
have once the kernel has been there.  Everything follows the kernel's source: the file named in each docstring.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.instructions import (
    CALL,
    DS_PREFIX,
    INT3,
    JMP8,
    JMP32,
    LFENCE,
    LOCK_PREFIX,
    NOPS,
    RET,
    TRAMPOLINE_UD,
    XOR5RAX,
    add_nops,
    decode,
    is_conditional_jump,
    optimize_nops,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.kinds import (
    ALTERNATIVE,
    FENTRY,
    LOCK,
    PARAVIRT,
    RETPOLINE,
    RETURN,
    STATIC_BRANCH,
    STATIC_CALL,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.sections import RUNTIME_CONSTANTS
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.contents import (
    INDIRECT_PC32,
    PC8,
    PC32,
    Content,
    Field,
    Literal,
    field_of,
    joined,
    plain,
    relative,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.rewriting import (
    KEY,
    TRAMPOLINE,
    Rewrite,
    TableEntry,
    Variant,
    broken,
    entries,
    one_of,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import ObjectCode, Section

# The thunks' order is that of the registers' numbers (arch/x86/include/asm/GEN-for-each-reg.h).
REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
RETURN_THUNK = "__x86_return_thunk"
THUNK_PREFIX = "__x86_indirect_thunk_"


def callee(section: Section, offset: int, opcode: bytes) -> str:
    """The name of what the call or jump ``opcode`` at ``offset`` goes to; "" if there is no such instruction."""
    field = offset + len(opcode)
    fits = [r for r in section.relocations_in(field, field + 1) if r.type.field == PC32 and r.addend == -4]
    return fits[0].symbol.name if fits and section.data[offset:field] == opcode else ""


def fentry(pre: ObjectCode, entry: TableEntry) -> Iterator[Rewrite]:
    """A call of ``__fentry__``, which ftrace turns into a nop at boot (arch/x86/kernel/ftrace.c).

    Any other content (a tracer's or a live patch's call) is no content of this place: it has to be refused.
    """
    section, offset = entry.location(0, pre)
    if callee(section, offset, bytes([CALL])) != "__fentry__":
        raise broken(pre, section, offset, "no call of __fentry__ where __mcount_loc has one")
    yield Rewrite(section, offset, 5, FENTRY, one_of(Content(NOPS[5])))


def return_contents() -> list[Content]:
    """A patched return: without and with a return thunk (patch_return)."""
    return [plain(RET, INT3, INT3, INT3, INT3), relative(bytes([JMP32]), "x86_return_thunk", 0, INDIRECT_PC32)]


def return_site(pre: ObjectCode, entry: TableEntry) -> Iterator[Rewrite]:
    """A jump to the return thunk (apply_returns in arch/x86/kernel/alternative.c)."""
    yield return_at(pre, *entry.location(0, pre))


def return_at(pre: ObjectCode, section: Section, offset: int) -> Rewrite:
    """The rewrite of the jump to the return thunk at ``offset``."""
    if callee(section, offset, bytes([JMP32])) != RETURN_THUNK:
        raise broken(pre, section, offset, "no jump to __x86_return_thunk where .return_sites has one")
    return Rewrite(section, offset, 5, RETURN, one_of(*return_contents()))


def retpoline_site(pre: ObjectCode, entry: TableEntry) -> Iterator[Rewrite]:
    """A call or jump to a retpoline thunk (patch_retpoline and emit_its_trampoline, arch/x86/kernel/alternative.c)."""
    yield retpoline_at(pre, *entry.location(0, pre))


def retpoline_at(pre: ObjectCode, section: Section, offset: int) -> Rewrite:
    """The rewrite of the call or jump to a retpoline thunk at ``offset``."""
    length, mnemonic = decode(section.data[offset:])
    opcode = section.data[offset : offset + length - 4]
    thunk = callee(section, offset, opcode)
    name = thunk[len(THUNK_PREFIX) :] if thunk.startswith(THUNK_PREFIX) else ""
    if not opcode or name not in REGISTERS:
        raise broken(pre, section, offset, "no call or jump to a retpoline thunk where .retpoline_sites has one")
    register = REGISTERS.index(name)
    branches = [indirect_branch(opcode, register, lfence, length) for lfence in (b"", LFENCE)]
    # The thunk's address is the kernel's choice, for each site anew; what stands there is not.
    thunk_code = Literal(indirect_jump(register) + bytes([INT3]), ("its", section.index, offset))
    contents = [optimize_nops(Content(code)) for code in branches if code is not None]
    return Rewrite(section, offset, length, RETPOLINE, one_of(*contents, relative(opcode, thunk_code)))


def indirect_jump(register: int, call: bool = False) -> bytes:
    """``jmp *%reg`` or ``call *%reg`` (emit_indirect)."""
    prefix = b"\x41" if register >= 8 else b""
    return prefix + bytes([0xFF, (0xD0 if call else 0xE0) + register % 8])


def indirect_branch(opcode: bytes, register: int, lfence: bytes, length: int) -> bytes | None:
    """What patch_retpoline writes for a thunk call of ``opcode`` and ``length``; None if it does not fit."""
    op, code = opcode[-1], b""
    if len(opcode) == 2 and opcode[0] == 0x0F:  # Jcc: the inverse condition jumps over it
        code = bytes([0x70 + ((op & 0xF) ^ 1), length - 2])
        op = JMP32
    code += lfence + indirect_jump(register, op == CALL)
    if op == JMP32 and len(code) < length:
        code += bytes([INT3])
    return code + b"\x90" * (length - len(code)) if len(code) <= length else None


def static_call_site(pre: ObjectCode, entry: TableEntry) -> Iterator[Rewrite]:
    """An inline static call: to what its key points to, or one of the forms for NULL and RET0.

    Source: __static_call_transform in arch/x86/kernel/static_call.c; struct static_call_site in
    include/linux/static_call_types.h (the low bits of the key say whether it is a tail call).
    """
    section, offset = entry.location(0, pre)
    reference = field_of(entry.fields[4]) if 4 in entry.fields else None
    if reference is None:
        raise broken(pre, entry.table, entry.offset, "a static call site without a key")
    key, key_offset, tail = reference.target, reference.addend & ~3, bool(reference.addend & 1)
    if isinstance(key, str) and key.startswith(TRAMPOLINE):  # a module that sees only the trampoline (objtool)
        key = KEY + key[len(TRAMPOLINE) :]
    yield static_call_at(pre, section, offset, key, key_offset, tail)


def static_call_at(
    pre: ObjectCode, section: Section, offset: int, key: Section | str | Literal, key_offset: int, tail: bool
) -> Rewrite:
    """The rewrite of the call, or tail call, of the static call whose key is at ``key + key_offset``."""
    length, mnemonic = decode(section.data[offset:])
    opcode = section.data[offset : offset + length - 4]
    conditional = is_conditional_jump(opcode)
    if not conditional and opcode != bytes([JMP32 if tail else CALL]):
        raise broken(pre, section, offset, "no call or jump where .static_call_sites has one")

    contents = [relative(opcode, key, key_offset, INDIRECT_PC32)]
    if conditional:
        contents += [relative(opcode, "__static_call_return"), relative(opcode, RETURN_THUNK)]
    elif tail:
        contents += return_contents()
    else:
        contents += [Content(NOPS[5]), Content(XOR5RAX)]
    return Rewrite(section, offset, length, STATIC_CALL, one_of(*contents))


def static_call_trampolines(pre: ObjectCode, section: Section) -> Iterator[Rewrite]:
    """The trampolines ``__SCT__*``, which jump where their key ``__SCK__*`` points (arch_static_call_transform)."""
    for symbol in section.symbols:
        if not symbol.name.startswith(TRAMPOLINE):
            continue
        if section.data[symbol.value + 5 : symbol.value + 8] != TRAMPOLINE_UD:
            raise broken(pre, section, symbol.value, f"{symbol.name} is no static call trampoline")

        def variants(current: Content, key: str = KEY + symbol.name[len(TRAMPOLINE) :]) -> Iterator[Variant]:
            yield None, current
            yield None, relative(bytes([JMP32]), key, 0, INDIRECT_PC32)
            for content in return_contents():
                yield None, content

        yield Rewrite(section, symbol.value, 5, STATIC_CALL, variants)


def static_branch(pre: ObjectCode, entry: TableEntry) -> Iterator[Rewrite]:
    """A static branch: a nop, or a jump to its target (arch/x86/kernel/jump_label.c)."""
    section, offset = entry.location(0, pre)
    target_section, target = entry.location(4, pre)
    length, mnemonic = decode(section.data[offset:])
    if length not in (2, 5):
        raise broken(pre, section, offset, f"an instruction of {length} bytes where __jump_table has a branch")
    distance = target - (offset + length)
    if target_section is section:
        jump = bytes([JMP8 if length == 2 else JMP32]) + distance.to_bytes(length - 1, "little", signed=True)
        taken = Content(jump)
    elif length == 5:
        taken = relative(bytes([JMP32]), target_section, target)
    else:
        taken = relative(bytes([JMP8]), target_section, target, PC8)

    nop = Content(NOPS[length])
    yield Rewrite(section, offset, length, STATIC_BRANCH, lambda current: [(None, nop), (None, taken)])


def paravirt_site(pre: ObjectCode, entry: TableEntry) -> Iterator[Rewrite]:
    """A call through ``pv_ops`` (paravirt_patch in arch/x86/kernel/paravirt.c; struct paravirt_patch_site)."""
    section, offset = entry.location(0, pre)
    type_, length = entry.data[8], entry.data[9]
    if length < 5:
        raise broken(pre, section, offset, f"{length} bytes where .parainstructions has a call")

    rest = Content(add_nops(length - 5))
    contents = (
        joined(relative(bytes([CALL]), "pv_ops", 8 * type_, INDIRECT_PC32), rest),
        joined(relative(bytes([CALL]), "paravirt_BUG"), rest),
        Content(add_nops(length)),
    )
    yield Rewrite(section, offset, length, PARAVIRT, lambda current: [(None, content) for content in contents])


def runtime_constants(pre: ObjectCode, table: Section) -> Iterator[Rewrite]:
    """Bytes that the boot makes the value of a variable (arch/x86/include/asm/runtime-const.h of 6.12)."""
    prefix = next(prefix for prefix in RUNTIME_CONSTANTS if table.name.startswith(prefix))
    (type_, dummy), name = RUNTIME_CONSTANTS[prefix], table.name[len(prefix) :]
    symbol = next((s for s in pre.symbols if s.name == name and s.section is not None), None)
    target: Section | str = symbol.section if symbol and symbol.section else name
    field = Field(0, type_, target, symbol.value if symbol and symbol.section else 0)
    for entry in entries(pre, table, 4):
        section, offset = entry.location(0, pre)
        if section.data[offset : offset + len(dummy)] != dummy:
            raise broken(pre, section, offset, f"no constant where {table.name} has one")
        yield Rewrite(section, offset, len(dummy), ALTERNATIVE, one_of(Content(bytes(len(dummy)), (field,))))


def lock_prefix(pre: ObjectCode, entry: TableEntry) -> Iterator[Rewrite]:
    """A lock prefix, which a machine with one CPU replaces (alternatives_smp_unlock, alternatives_smp_lock)."""
    section, offset = entry.location(0, pre)

    def variants(current: Content) -> Iterator[Variant]:
        yield None, current
        for one, other in ((LOCK_PREFIX, DS_PREFIX), (DS_PREFIX, LOCK_PREFIX)):
            if current == plain(one):
                yield None, plain(other)

    yield Rewrite(section, offset, 1, LOCK, variants)
