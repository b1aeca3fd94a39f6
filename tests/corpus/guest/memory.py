# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a kernel's memory must not change: code and constants, of the kernel itself and of its modules."""

from __future__ import annotations

import lzma
import pathlib
import subprocess
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kallsyms import Kallsyms
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kcore import Kcore
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.modinfo import sections

PAGE = 4096
# (first symbol, symbol behind the end): include/asm-generic/vmlinux.lds.h
KERNEL_AREAS = (("_stext", "_etext"), ("__start_rodata", "__end_rodata"))
# Sections of a module file: <linux/elf.h>.
SHF_WRITE, SHF_ALLOC = 1, 2
# Gone when its init has run (module_init_section); written to by it alone (module_mark_ro_after_init).
INIT, READ_ONLY_AFTER_INIT = ".init", (".data..ro_after_init", "__jump_table")
MAX_DIFFERENCES = 32


class AllSymbols(Kallsyms):
    """The symbol table with the symbols of update modules, which the product leaves out of it.

    What a module defines that is not there is 0: so the loader fills in a weak symbol without a definition.
    """

    def lookup(self, name: str, object_name: str) -> list[int]:
        return super().lookup(name, object_name) or [0]

    def prefetch(self, names: set[tuple[str, str]]) -> None:
        wanted = {name.encode() for name, _object_name in names}
        found: dict[str, list[tuple[str, int]]] = {name: [] for name, _object_name in names}
        for line in self._read().splitlines():
            fields = line.split()
            if len(fields) >= 3 and fields[2] in wanted:
                module = fields[3].strip(b"[]").decode() if len(fields) > 3 else "vmlinux"
                found[fields[2].decode()].append((module, int(fields[0], 16)))
        self._addresses.update(found)


class Area(t.NamedTuple):
    """Bytes of an object (``vmlinux`` or a module) from an address on."""

    object_name: str
    start: int
    data: bytes


class Difference(t.NamedTuple):
    object_name: str
    address: int
    before: bytes
    after: bytes

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "object": self.object_name,
            "address": f"{self.address:#x}",
            "before": self.before[:32].hex(),
            "after": self.after[:32].hex(),
            "length": len(self.after),
        }


def read_areas(memory: Kcore, modules: t.Iterable[str]) -> list[Area]:
    """The kernel's code and constants, and those of the loaded ones of ``modules``."""
    symbols = Kallsyms()
    symbols.prefetch({(name, "vmlinux") for pair in KERNEL_AREAS for name in pair})
    ranges = [
        ("vmlinux", symbols.lookup(first, "vmlinux")[0], symbols.lookup(last, "vmlinux")[0])
        for first, last in KERNEL_AREAS
    ]
    for module in modules:
        ranges += [(module, start, end) for start, end in module_ranges(module)]
    areas = []
    for name, start, end in ranges:
        data = memory.read(start, end - start)
        if data is None:
            raise OSError(f"/proc/kcore does not hold {name} at {start:#x}")
        areas.append(Area(name, start, data))
    return areas


def module_ranges(name: str) -> list[tuple[int, int]]:
    """From where to where a loaded module has code and constants, ascending; nothing if it is not there."""
    if not is_loaded(name):
        return []
    addresses, sizes = section_addresses(name), constant_sections(module_file(name))
    return sorted((addresses[section], addresses[section] + size) for section, size in sizes if section in addresses)


def module_file(name: str) -> bytes:
    """The ELF file of an installed module."""
    path = subprocess.run(["modinfo", "-n", name], capture_output=True, text=True, check=True).stdout.strip()
    content = pathlib.Path(path).read_bytes()
    return lzma.decompress(content) if path.endswith(".xz") else content


def constant_sections(module: bytes) -> t.Iterator[tuple[str, int]]:
    """Names and sizes of the sections of a module file that stay in memory and are not written to."""
    for section, (_name, _type, flags, _address, _offset, size, *_rest) in sections(module):
        name = section.decode("ascii")
        constant = not flags & SHF_WRITE or name in READ_ONLY_AFTER_INIT
        if flags & SHF_ALLOC and size and constant and not name.startswith(INIT):
            yield name, size


def module_base(name: str) -> int:
    """Where a loaded module begins in memory."""
    for line in pathlib.Path("/proc/modules").read_text(encoding="ascii").splitlines():
        fields = line.split()
        if fields[0] == name:
            return int(fields[5], 16)
    raise ProcessLookupError(f"the module {name} is not loaded")


def section_addresses(name: str) -> dict[str, int]:
    """The addresses of a loaded module's sections, by name."""
    directory = pathlib.Path("/sys/module", name, "sections")
    return {path.name: int(path.read_text(encoding="ascii"), 16) for path in directory.iterdir()}


def is_loaded(name: str) -> bool:
    """Whether a loadable module is there, and has not been built in."""
    return pathlib.Path("/sys/module", name, "initstate").exists()


def differences(before: list[Area], after: list[Area]) -> list[Difference]:
    """Where the bytes differ, in ascending order: the first of them."""
    found: list[Difference] = []
    for old, new in zip(before, after, strict=True):
        if old[:2] != new[:2] or len(old.data) != len(new.data):
            raise OSError(f"{old.object_name} has moved from {old.start:#x} to {new.start:#x}")
        if old.data == new.data:
            continue
        for page in range(0, len(old.data), PAGE):
            if old.data[page : page + PAGE] != new.data[page : page + PAGE]:
                found += _in_page(old, new, page)
    return found[:MAX_DIFFERENCES]


def _in_page(old: Area, new: Area, page: int) -> t.Iterator[Difference]:
    end = min(page + PAGE, len(old.data))
    at = page
    while at < end:
        if old.data[at] == new.data[at]:
            at += 1
            continue
        stop = at
        while stop < end and old.data[stop] != new.data[stop]:
            stop += 1
        yield Difference(old.object_name, old.start + at, old.data[at:stop], new.data[at:stop])
        at = stop


def names_at(addresses: t.Iterable[int]) -> dict[int, str]:
    """``symbol+offset`` for each address."""
    wanted = sorted(set(addresses))
    if not wanted:
        return {}
    nearest: dict[int, tuple[int, str]] = dict.fromkeys(wanted, (0, "?"))
    with open("/proc/kallsyms", encoding="ascii") as table:
        for line in table:
            address, _kind, name = line.split()[:3]
            value = int(address, 16)
            for address_wanted in wanted:
                if nearest[address_wanted][0] < value <= address_wanted:
                    nearest[address_wanted] = (value, name)
    return {address: f"{name}+{address - value:#x}" for address, (value, name) in nearest.items()}
