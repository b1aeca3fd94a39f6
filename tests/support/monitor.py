# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's QEMU monitor: the library qemu.qmp, at any length of the socket's path."""

from __future__ import annotations

import os
import pathlib
import typing as t

from qemu.qmp.legacy import QEMUMonitorProtocol

TIMEOUT_S = 20.0


class Monitor(QEMUMonitorProtocol):
    """A connection to one machine's monitor, to be used with ``with``."""

    def __init__(self, path: str | pathlib.Path) -> None:
        # A Unix socket's name holds 107 bytes; by way of its directory every path fits.
        self._directory = os.open(os.path.dirname(path), os.O_PATH)
        super().__init__(f"/proc/self/fd/{self._directory}/{os.path.basename(path)}")
        self.settimeout(TIMEOUT_S)

    def __enter__(self) -> Monitor:
        try:
            self.connect()
        finally:
            os.close(self._directory)
        return self

    def cmd(self, cmd: str, **kwds: object) -> t.Any:
        """Executes one command and returns what QEMU answers; raises ``ExecuteError`` for what it refuses."""
        return super().cmd(cmd, **kwds)

    def human(self, line: str) -> str:
        """Executes a line of the human monitor, such as ``gdbserver unix:…``, and returns what it printed."""
        return str(self.cmd("human-monitor-command", **{"command-line": line}))
