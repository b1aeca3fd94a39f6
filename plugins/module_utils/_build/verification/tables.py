# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables that the kernel reads beside code, entry by entry, as the check knows them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import check as machine
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.reader import (
    Area,
    Object,
    RelocatedField,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.refusal import not_proven
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

JUMPS, STATIC_CALLS = "__jump_table", ".static_call_sites"
ENTRIES_OF_TRACERS = "__mcount_loc"
LATE_JUMPS = ".rbl.jump_entries."  # and a part's name: as __jump_table, for the helper

# Bytes of an entry, whose field 0 says which code it is about.
SIZES = {
    **machine.SIZES,
    ENTRIES_OF_TRACERS: 8,  # scripts/recordmcount.c
    JUMPS: 16,  # include/linux/jump_label.h
    STATIC_CALLS: 8,  # include/linux/static_call_types.h
    "_kprobe_blacklist": 8,  # include/asm-generic/kprobes.h
    "_error_injection_whitelist": 16,  # include/asm-generic/error-injection.h
}
KEY = {JUMPS: 8, STATIC_CALLS: 4}  # where the key stands in an entry

# What objtool makes anew of a module's code, and what no module has.
_NOT_CARRIED = re.compile(
    rf"{machine.NOT_CARRIED}|\.discard\.|\.printk_index$|\.note|\.eh_frame"
    r"|__patchable_function_entries$"
)
# Variables, constants and lists in which functions stand so as to be called, shown or looked up, never to be written.
_NO_TABLE = re.compile(
    rf"{machine.NO_TABLE}"
    r"|\.(data|bss|rodata|ref\.(data|rodata|text)|init|exit|meminit|memexit|cpuinit|modinfo|gnu\.|rbl\.|export_symbol"
    r"|initcall|con_initcall|exitcall|lsm_info|early_lsm_info|pci_fixup"
    r"|static_call_tramp_key|BTF_ids|builtin_fw|fixup)"
    r"|__(ksymtab|kcrctab|param|modver|tracepoint|tracepoints|bpf_raw_tp|syscalls_metadata|dyndbg|earlycon|acpi_probe"
    r"|thermal|timer_acpi|trace_printk_fmt|(stop|dl|rt|fair|idle|ext)_sched)|___k(symtab|crctab)|_ftrace_e"
)


@dataclasses.dataclass(eq=False)
class TableEntry:
    """One entry: ``data`` has zeros for its ``fields``, whose offsets count from the entry's start ``at``."""

    area: Area
    at: int
    data: bytes
    fields: list[RelocatedField]

    @property
    def code(self) -> RelocatedField:
        """The field that says which code the entry is about."""
        return self.fields[0]

    @property
    def flags(self) -> int:
        """The low bits of a static branch's key: whether it is likely, and whether objtool takes it out."""
        return self.fields[-1].points_to & 3

    @property
    def lengths(self) -> tuple[int, int]:
        """Of an alternative: of the instructions that are replaced, and of what replaces them."""
        return self.data[-2], self.data[-1]

    @property
    def written(self) -> int:
        """How many bytes of the code the kernel writes before an update's fields are filled in; 0 if it writes none."""
        if self.area.name == ENTRIES_OF_TRACERS:
            return machine.CALL_SIZE
        return machine.written(self.area.name, self.data)


def is_table(name: str) -> bool:
    """Whether a section is a table whose entries go with the code that they are about."""
    return name in SIZES or name == machine.ALTERNATIVES or name.startswith((*machine.RUNTIME_CONSTANTS, LATE_JUMPS))


def is_known(name: str) -> bool:
    """Whether it is known of a section that it says nothing about code that would have to be carried."""
    return bool(_NOT_CARRIED.match(name) or _NO_TABLE.match(name))


def entries(obj: Object, area: Area) -> Iterator[TableEntry]:
    """The entries of a table, in order.  Raises ``RebootlessError`` (``module_not_proven``) if it is none."""
    size = _size(obj, area)
    if size == 0:
        return
    for at in range(0, area.size, size):
        fields = [dataclasses.replace(f, offset=f.offset - at) for f in area.fields_in(at, at + size)]
        if not fields or fields[0].offset != 0 or at + size > area.size:
            raise _not_whole(obj, area, at)
        data = bytearray(area.data[at : at + size])
        for f in fields:
            data[f.offset : f.offset + f.width] = bytes(f.width)
        yield TableEntry(area, at, bytes(data), fields)


def _size(obj: Object, area: Area) -> int:
    if area.size == 0:
        return 0
    if area.name != machine.ALTERNATIVES:
        return SIZES[JUMPS] if _is_late(area) else SIZES.get(area.name, machine.RUNTIME_CONSTANT_SIZE)
    for size in machine.ALTERNATIVE_SIZES:
        places = [at + field for at in range(0, area.size, size) for field in (0, machine.ADDRESS_OF_REPLACEMENT)]
        if [f.offset for f in area.fields_in(0, area.size)] == places and area.size % size == 0:
            return size
    raise _not_whole(obj, area, 0)


def _is_late(area: Area) -> bool:
    return area.name.startswith(LATE_JUMPS)


def _not_whole(obj: Object, area: Area, at: int) -> RebootlessError:
    return not_proven(
        f"what stands at {at:#x} of {area.name} is no whole entry", obj.path, section=area.name, offset=at
    )
