# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A distribution's kernel image as a target for the matcher, before anything runs.

Sources: elf(5); the kernel's image has one loaded segment for text, data, per-CPU data and init code each.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import struct
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.table import architecture_of_elf
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.deps import elf_exceptions, elffile
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel import boot_image, kallsyms_table
from ansible_collections.rebootless.splice.plugins.module_utils._common.build_id import parse_build_id


@dataclasses.dataclass(frozen=True)
class Segment:
    """Memory from ``address`` on: ``data``, then zeros up to ``size``."""

    address: int
    size: int
    data: memoryview


class VmlinuxImage:
    """The kernel in a ``vmlinuz`` or ``vmlinux``: ``arch``, ``build_id`` (hex), ``segments``, ``symbols``.

    Addresses are those of the link, without KASLR.

    A target for ``Matcher``: ``read``, ``lookup``, ``prefetch``.  Opening takes a fraction of a second, for
    decompression, and so does the first use of the symbols.  Raises ``RebootlessError`` (``bad_image``,
    ``missing_tool``).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        kernel = boot_image.read_kernel(path)
        try:
            self._load(kernel)
        except (elf_exceptions.ELFError, ValueError) as error:
            raise boot_image.bad_image(path, str(error)) from error

    def _load(self, kernel: bytes) -> None:
        elf = elffile.ELFFile(io.BytesIO(kernel))
        self.arch = architecture_of_elf(elf["e_machine"])
        view = memoryview(kernel)
        self.segments: list[Segment] = []
        self.build_id = ""
        for segment in elf.iter_segments():
            data = view[segment["p_offset"] : segment["p_offset"] + segment["p_filesz"]]
            if len(data) != segment["p_filesz"]:
                raise ValueError("it is truncated")
            if segment["p_type"] == "PT_LOAD":
                self.segments.append(Segment(segment["p_vaddr"], segment["p_memsz"], data))
            elif segment["p_type"] == "PT_NOTE":
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
