# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel logs while something is tried.  Private to rebootless.splice.

Source: Documentation/ABI/testing/dev-kmsg.
"""

from __future__ import annotations

import os

DEVICE = "/dev/kmsg"
RECORD_SIZE = 8192  # bytes; a record that does not fit is lost, and none is larger (PRINTKRB_RECORD_MAX)
MAX_LINES = 20


class KernelLog:
    """The log's lines from the moment this object is made; none where the log cannot be read."""

    def __init__(self) -> None:
        try:
            self._descriptor = os.open(DEVICE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError:
            self._descriptor = -1

    def lines(self) -> list[str]:
        """The last lines since then, oldest first, each without its prefix.  Closes the log."""
        found: list[str] = []
        while self._descriptor >= 0:
            try:
                record = os.read(self._descriptor, RECORD_SIZE)
            except BrokenPipeError:  # the next record was overwritten; reading goes on behind it
                continue
            except OSError:
                break
            found.append(record.decode("utf-8", "replace").partition(";")[2].partition("\n")[0])
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        return found[-MAX_LINES:]
