# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an address that a function computes may get out of it: a walk over its instructions, register by register."""

from __future__ import annotations

from collections.abc import Set

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.decoder import capstone
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.instructions import detailed
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.rewrites import RETURN_THUNK
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Around

_ARGUMENTS = frozenset(("rdi", "rsi", "rdx", "rcx", "r8", "r9"))
_FRAME_MAGIC = 0x41B58AB3
_CLOBBERED = _ARGUMENTS | {"rax", "r10", "r11"}  # by calls
# ISO C: they return what they have filled.
_RETURN_THE_FIRST = frozenset(
    (
        *("memcpy", "__memcpy", "memmove", "__memmove", "memset", "__memset"),
        *("strcpy", "strncpy", "strcat", "strncat"),
    )
)
_FRAME = "the frame"  # beside the registers: something on the stack holds the address
_WHOLE = {
    **{f"e{n}": f"r{n}" for n in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")},
    **{f"{n}x": f"r{n}x" for n in "abcd"},
    **{f"{n}l": f"r{n}x" for n in "abcd"},
    **{f"{n}": f"r{n}" for n in ("si", "di", "bp", "sp")},
    **{f"{n}l": f"r{n}" for n in ("si", "di", "bp", "sp")},
    **{f"r{n}{part}": f"r{n}" for n in range(8, 16) for part in "dwb"},
}


def lets_out(code: bytes, offset: int, around: Around, registers: Set[str] | None = None) -> bool:
    """Whether the address computed at the field at ``offset`` of ``code`` may leave it or serve to copy what is there.

    With ``registers``, the addresses are in these where the code at ``offset`` begins.

    The registers that hold the address, or one computed from it, are followed along the function's own jumps.  It gets
    out where one of them is stored, is an argument of a call, is returned, or is the source of a string instruction.
    """
    instructions = detailed(code)
    if registers is not None:
        return _Flow(instructions, None, around).lets_out(offset, frozenset(registers))
    at = next((i for i in instructions if i.address <= offset < i.address + i.size), None)
    if at is None:
        return True
    if at.mnemonic == "cmp" or _describes_frame(instructions, at):  # with the address of the end
        return False
    if not _begins(at):
        return True
    return _Flow(instructions, at, around).lets_out(at.address, frozenset())


def _describes_frame(instructions: list, store) -> bool:
    """Whether it stores the description of the function's stack frame in that frame, as gcc does with KASAN.

    At the beginning of the frame stands ``ASAN_STACK_FRAME_MAGIC`` (gcc/asan.h), behind it the description.  KASAN
    reads it while a function stands on the stack (``print_decoded_frame_descr()`` of mm/kasan/report_generic.c).
    """
    place = _stored_at(store)
    if place is None:
        return False
    base, displacement = place
    begins = [i for i in instructions if i.address < store.address and _stored_at(i) == (base, displacement - 8)]
    return any(i.operands[1].imm == _FRAME_MAGIC for i in begins)


def _stored_at(i) -> tuple[int, int] | None:
    """Register and displacement of the place where an instruction stores a constant; None if it does something else."""
    if i.mnemonic not in ("mov", "movabs") or i.operands[1].type != capstone.x86.X86_OP_IMM:
        return None
    place = i.operands[0]
    if place.type != capstone.x86.X86_OP_MEM or place.mem.index:
        return None
    return place.mem.base, place.mem.disp


class _Flow:
    def __init__(self, instructions: list, start, around: Around) -> None:
        self.start, self.around, self.leads = start, around, around.leads
        self.by_address = {i.address: i for i in instructions}

    def lets_out(self, begin: int, registers: frozenset[str]) -> bool:
        if not self.leads.keys() <= self.by_address.keys():
            return True  # what is no instruction leads somewhere
        states: dict[int, frozenset[str]] = {}
        todo: list[tuple[int, frozenset[str]]] = [(begin, registers)]
        while todo:
            address, state = todo.pop()
            i = self.by_address.get(address)
            if i is None:
                return True  # it goes on where nothing is known
            if address in states and state <= states[address]:
                continue
            states[address] = state = state | states.get(address, frozenset())
            after = self._after(i, set(state))
            if after is None:
                return True
            # One that faults has not written its registers, as far as is known.
            todo += [(lead, state | after) for lead in self.leads.get(address, ()) if state | after]
            if not after:
                continue  # wherever it goes on, no register holds an address there
            following = self._following(i, frozenset(after))
            if following is None:
                return True
            todo += [(address, frozenset(after)) for address in following]
        return False

    def _following(self, i, tainted: frozenset[str]) -> list[int] | None:
        """Where it goes on in the function; None if that is not known."""
        if i.mnemonic in ("ret", "int3") or (i.mnemonic == "jmp" and self._leaves(i)):
            return []
        # WARN() goes on behind it, BUG() does not, nor does a call of __stack_chk_fail() that ends the function.
        if i.mnemonic in ("ud2", "call"):
            return [following for following in (i.address + i.size,) if following in self.by_address]
        # A static branch that is compiled as a jump may be a nop.
        following = [] if i.mnemonic == "jmp" and i.address not in self.leads else [i.address + i.size]
        if i.mnemonic.startswith("j"):
            if i.operands[0].type != capstone.x86.X86_OP_IMM:
                return None
            if self._leaves(i):  # to its cold part, say
                return None if self._inside(i, tainted) else following
            following.append(i.operands[0].imm)
        return following

    def _target(self, i) -> str | None:
        """The name of what the instruction means outside of the function; None if it means nothing there."""
        return next((self.around.leaving[o] for o in self._fields(i)), None)

    def _fields(self, i) -> list[int]:
        return [o for o in range(i.address, i.address + i.size) if o in self.around.leaving]

    def _inside(self, i, tainted: Set[str]) -> bool:
        """Whether what a branch leads to lets out what is in these registers."""
        fields = self._fields(i)
        return not fields or self.around.inside(fields[0], frozenset(tainted))

    def _leaves(self, i) -> bool:
        return self._target(i) is not None

    def _after(self, i, tainted: set[str]) -> set[str] | None:
        """The registers that hold an address behind ``i``; None if one gets out."""
        if i is self.start:
            return tainted | {_begins(i)}
        memory = [o for o in i.operands if o.type == capstone.x86.X86_OP_MEM]
        registers = [o for o in i.operands if o.type == capstone.x86.X86_OP_REG]
        if i.mnemonic in ("call", "ret") or (i.mnemonic == "jmp" and self._leaves(i)):
            if self._target(i) == "__fentry__":
                return tainted
            if self._target(i) == "__stack_chk_fail":  # finds the arguments of the function, and stops the kernel
                return set()
            if self._target(i) in self.around.readers:
                returned = {"rax"} if self._target(i) in _RETURN_THE_FIRST and "rdi" in tainted else set()
                return (tainted - _CLOBBERED) | returned
            returns = i.mnemonic == "ret" or self._target(i) == RETURN_THUNK
            # A jump may lead to the function's own cold part, which finds every register as it is.
            out = tainted & (_ARGUMENTS | {_FRAME} if i.mnemonic == "call" else {"rax"} if returns else tainted)
            # What is called may know where the frame is.
            lost = out and (returns or (i.mnemonic == "call" and _FRAME in out) or self._inside(i, out))
            return None if lost else tainted - _CLOBBERED
        if "movs" in i.mnemonic and not registers and "rsi" in tainted:
            return None
        if i.mnemonic == "lea":
            sources = {_register(i, r) for o in memory for r in (o.mem.base, o.mem.index) if r}
        else:
            sources = {_register(i, o.reg) for o in registers if o.access & capstone.CS_AC_READ}
        stores = i.mnemonic == "push" or (i.mnemonic != "lea" and any(o.access & capstone.CS_AC_WRITE for o in memory))
        if stores and sources & tainted and i.mnemonic not in ("cmp", "test"):
            return tainted | {_FRAME} if all(_is_of_frame(i, o) for o in memory) else None
        loads = i.mnemonic != "lea" and any(_is_from_register(i, o) for o in memory)
        if i.mnemonic == "pop" or "rsp" in sources or loads:
            sources.add(_FRAME)  # any register may hold an address in it
        same = len(registers) == 2 and registers[0].reg == registers[1].reg
        if i.mnemonic in ("xor", "sub") and (same or any(_is_canary(o) for o in memory)):
            sources = set()  # makes it 0
        written = {_register(i, o.reg) for o in registers if o.access & capstone.CS_AC_WRITE} - {"rsp"}
        return tainted | written if sources & tainted else tainted - written


def _begins(i) -> str:
    """Where an instruction puts the address that it has a field for; "" if that is neither a register nor the frame."""
    if i.operands and i.operands[0].type == capstone.x86.X86_OP_REG:
        return _register(i, i.operands[0].reg)
    on_frame = i.mnemonic == "mov" and _is_of_frame(i, i.operands[0])
    return _FRAME if i.mnemonic == "push" or on_frame else ""


def _is_canary(operand) -> bool:
    """Whether it is what a function compares with what it found on its stack, at the end (``gs:0x28``)."""
    memory = operand.mem
    return memory.segment == capstone.x86.X86_REG_GS and memory.disp == 0x28 and not memory.base and not memory.index


def _is_of_frame(i, operand) -> bool:
    return bool(operand.mem.base) and _register(i, operand.mem.base) == "rsp"


def _is_from_register(i, operand) -> bool:
    return any(number and _register(i, number) != "rip" for number in (operand.mem.base, operand.mem.index))


def _register(i, number: int) -> str:
    name = i.reg_name(number)
    return _WHOLE.get(name, name)
