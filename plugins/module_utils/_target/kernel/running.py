# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running kernel as a target for the matcher, for check mode."""

from __future__ import annotations

import bisect
import types

from ansible_collections.rebootless.splice.plugins.module_utils._target.arch.table import running
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kallsyms import Kallsyms
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kcore import Kcore
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.tracing import traced_functions

HIDDEN = "-"  # bytes of memory, where kernel.kptr_restrict hides addresses


class RunningKernel:
    """``read``, ``lookup`` and ``prefetch`` for ``Matcher``, while the context lasts.

    It shows what the helper module's own match sees (kmod/running.c): the original bytes under the jumps and the data
    of applied updates, and no calls of mere tracers at the entries of functions.  A jump that is not what the helper
    module wrote is shown as it is.  Errors are those of ``Kcore``, ``Kallsyms`` and ``arch.table.running``.
    """

    def __init__(self, memory: Kcore | None = None, symbols: Kallsyms | None = None) -> None:
        self._arch = running()
        self._memory = memory or Kcore()
        self._symbols = symbols or Kallsyms()
        self._traced = traced_functions()
        self._traced_addresses: list[int] = []  # ascending; all functions of a kernel may be traced at once
        self._overlays = self._originals()

    def __enter__(self) -> RunningKernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._memory.__exit__(kind, error, trace)

    def prefetch(self, names: set[tuple[str, str]]) -> None:
        self._symbols.prefetch(names | self._traced)
        self._traced_addresses = sorted(address for traced in self._traced for address in self._symbols.lookup(*traced))

    def lookup(self, name: str, object_name: str) -> list[int]:
        return self._symbols.lookup(name, object_name)

    def read(self, address: int, length: int) -> bytes | None:
        data = self._memory.read(address, length)
        if data is None:
            return None
        for start, shown in self._overlays + self._untraced_entries(address, length):
            if start < address + length and address < start + len(shown):
                data = _overlay(data, shown, start - address)
        return data

    def _originals(self) -> list[tuple[int, bytes]]:
        """(address, bytes that stood there) for each jump and each exchanged datum in place."""
        originals = []
        for name in sysfs.names():
            for row in sysfs.functions(name):
                if not row["jump"] or row["saved_bytes"] == HIDDEN:
                    continue
                address, saved = int(row["jump_address"], 16), bytes.fromhex(row["saved_bytes"])
                jump = self._arch.jump(address, int(row["new_address"], 16))
                if self._memory.read(address, len(jump)) == jump:
                    originals.append((address, saved))
            originals += [
                (int(row["address"], 16), bytes.fromhex(row["saved_bytes"]))
                for row in sysfs.data(name)
                if row["exchanged"] and row["saved_bytes"] != HIDDEN
            ]
        return originals

    def _untraced_entries(self, address: int, length: int) -> list[tuple[int, bytes]]:
        """(address, nop) for each call of a tracer that reaches into a piece of memory."""
        first = bisect.bisect_right(self._traced_addresses, address - self._arch.entry_size)
        last = bisect.bisect_left(self._traced_addresses, address + length)
        entries = []
        for function in self._traced_addresses[first:last]:
            untraced = self._arch.untraced(self._memory.read(function, self._arch.entry_size) or b"")
            if untraced is not None:
                entries.append((function + untraced[0], untraced[1]))
        return entries


def _overlay(data: bytes, over: bytes, offset: int) -> bytes:
    """``data`` with ``over`` written at ``offset``, which can be negative or reach beyond the end."""
    start, end = max(offset, 0), min(offset + len(over), len(data))
    return data[:start] + over[start - offset : end - offset] + data[end:]
