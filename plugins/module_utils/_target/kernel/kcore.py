# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running kernel's memory, from ``/proc/kcore``.

Sources: fs/proc/kcore.c (an ELF core file with one loaded segment for each part of the address space), elf(5).
"""

from __future__ import annotations

import errno
import os
import struct
import types

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts

PATH = "/proc/kcore"
ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
ELFCLASS64_LSB = b"\x7fELF\x02\x01"
ET_CORE, PT_LOAD = 4, 1


class Kcore:
    """Kernel memory while the context lasts: ``with Kcore() as kcore``, then ``Kcore.read``.

    Raises ``RebootlessError``: ``kcore_forbidden`` (no root, or lockdown), ``kcore_missing``, ``kcore_unusable``.
    """

    def __init__(self, path: str = PATH) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _refusal(path, error) from error
        try:
            self._segments = self._read_headers()
        except (OSError, struct.error, ValueError, OverflowError) as error:
            os.close(self._descriptor)
            raise RebootlessError(
                "kcore_unusable",
                f"The kernel's memory in {path} cannot be used: {error}.",
                "Apply without check mode: the helper module matches in the kernel, without this file.",
            ) from error

    def __enter__(self) -> Kcore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def read(self, address: int, length: int) -> bytes | None:
        """``length`` bytes at ``address``, or None if the kernel has none there."""
        for start, size, offset in self._segments:
            if start <= address and address + length <= start + size:
                try:
                    data = os.pread(self._descriptor, length, offset + address - start)
                except (OSError, OverflowError):  # the latter: no file has an offset beyond 63 bits
                    return None
                return data if len(data) == length else None
        return None

    def _read_headers(self) -> list[tuple[int, int, int]]:
        """(address, size, offset in the file) of each segment."""
        header = ELF_HEADER.unpack(os.pread(self._descriptor, ELF_HEADER.size, 0))
        if header[0][:6] != ELFCLASS64_LSB or header[1] != ET_CORE:
            raise ValueError("it is no 64-bit core file")
        table, row_size, count = header[5], header[9], header[10]
        if row_size != PROGRAM_HEADER.size:
            raise ValueError("its program headers have an unknown size")
        rows = PROGRAM_HEADER.iter_unpack(os.pread(self._descriptor, row_size * count, table))
        return [(row[3], row[6], row[2]) for row in rows if row[0] == PT_LOAD]


def _refusal(path: str, error: OSError) -> RebootlessError:
    if error.errno not in (errno.EPERM, errno.EACCES):
        return RebootlessError(
            "kcore_missing",
            f"The kernel does not offer its memory in {path}: {error.strerror}.",
            "Apply without check mode: the helper module matches in the kernel, without this file.",
        )
    lockdown = facts.lockdown()
    if lockdown == "confidentiality":
        return RebootlessError(
            "kcore_forbidden",
            f"The kernel is locked down to confidentiality, which forbids {path}.",
            "Apply without check mode: the helper module matches in the kernel, without this file.",
            lockdown=lockdown,
        )
    return RebootlessError(
        "kcore_forbidden",
        f"Reading {path} is not permitted.",
        "Run the task as root (become: true), outside of containers.",
    )
