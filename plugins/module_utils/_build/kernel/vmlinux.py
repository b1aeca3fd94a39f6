# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A distribution's kernel image as a target for the matcher, before anything runs.  Private to rebootless.splice.

Sources: elf(5); the kernel's image has one loaded segment for text, data, per-CPU data and init code each.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel import boot_image, kallsyms_table
from ansible_collections.rebootless.splice.plugins.module_utils._common.build_id import parse_build_id

ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
ELFCLASS64_LSB = b"\x7fELF\x02\x01"
EM_X86_64 = 62
PT_LOAD, PT_NOTE = 1, 4


@dataclasses.dataclass(frozen=True)
class Segment:
    """Memory from ``address`` on: ``data``, then zeros up to ``size``."""

    address: int
    size: int
    data: memoryview


class VmlinuxImage:
    """The kernel in a ``vmlinuz`` or ``vmlinux``: ``build_id`` (hex), ``segments``, and ``symbols``.

    Addresses are those of the link, without KASLR.

    A target for ``Matcher``: ``read``, ``lookup``, ``prefetch``.  Opening takes a fraction of a second, for
    decompression, and so does the first use of the symbols.  Raises ``RebootlessError`` (``bad_image``,
    ``missing_tool``).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        elf = boot_image.read_kernel(path)
        try:
            self._load(elf)
        except (struct.error, ValueError) as error:
            raise boot_image.bad_image(path, str(error)) from error

    def _load(self, elf: bytes) -> None:
        header = ELF_HEADER.unpack_from(elf)
        if header[0][:6] != ELFCLASS64_LSB or header[2] != EM_X86_64:
            raise ValueError("it is no x86-64 kernel")
        table, row_size, count = header[5], header[9], header[10]
        view = memoryview(elf)
        self.segments: list[Segment] = []
        self.build_id = ""
        for at in range(table, table + row_size * count, row_size):
            kind, _flags, offset, address, _physical, file_size, size, _align = PROGRAM_HEADER.unpack_from(elf, at)
            data = view[offset : offset + file_size]
            if len(data) != file_size:
                raise ValueError("it is truncated")
            if kind == PT_LOAD:
                self.segments.append(Segment(address, size, data))
            elif kind == PT_NOTE:
                self.build_id = self.build_id or parse_build_id(bytes(data))
        if not self.segments or not self.build_id:
            raise ValueError("it has no loaded segments" if self.build_id else "it has no build ID")

    @functools.cached_property
    def symbols(self) -> list[tuple[str, str, int]]:
        """The kernel's own symbol table (kallsyms) as (type letter, name, address), in its order."""
        # The tables are in .rodata, which shares a segment with the code, the first and mostly the largest one.
        why: Exception | None = None
        for segment in sorted(self.segments, key=lambda segment: len(segment.data), reverse=True):
            try:
                return kallsyms_table.decode(bytes(segment.data))
            except (struct.error, ValueError, IndexError) as error:
                why = why or error
        raise boot_image.bad_image(self.path, f"its symbol table cannot be read ({why})") from why

    @functools.cached_property
    def _addresses(self) -> dict[str, list[int]]:
        addresses: dict[str, list[int]] = {}
        for _letter, name, address in self.symbols:
            addresses.setdefault(name, []).append(address)
        return addresses

    def read(self, address: int, length: int) -> bytes | None:
        """``length`` bytes of the loaded kernel, or None if they are not all in one segment."""
        for segment in self.segments:
            offset = address - segment.address
            if offset >= 0 and offset + length <= segment.size:
                data = bytes(segment.data[offset : offset + length])
                return data + bytes(length - len(data))
        return None

    def lookup(self, name: str, object_name: str) -> list[int]:
        """Every address of that name; only the kernel itself is here, no loadable module."""
        return self._addresses.get(name, []) if object_name in ("", "vmlinux") else []

    def prefetch(self, names: set[tuple[str, str]]) -> None:
        """All names are at hand."""
