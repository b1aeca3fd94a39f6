# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's machine protocol (docs/interop/qmp-spec of QEMU) over a Unix socket."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

TIMEOUT_S = 20.0


class Qmp:
    """A connection to one machine's monitor, to be used as a context manager."""

    def __init__(self, path: str, timeout: float = TIMEOUT_S) -> None:
        self.path = path
        self._timeout = timeout

    def __enter__(self) -> Qmp:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(self._timeout)
        try:
            self._connect()
            self._stream = self._socket.makefile("rw", encoding="utf-8")
            self._receive("QMP")
            self.command("qmp_capabilities")
        except OSError as exc:
            self._socket.close()
            raise RebootlessError(
                "monitor_unreachable",
                f"The machine's QEMU monitor does not answer: {exc.strerror or exc}.",
                "Look whether the machine runs, with the lab_info module.",
                path=self.path,
            ) from exc
        return self

    def __exit__(self, *unused: object) -> None:
        self._stream.close()
        self._socket.close()

    def _connect(self) -> None:
        # A Unix socket's name holds 107 bytes; by way of its directory every path fits.
        directory = os.open(os.path.dirname(self.path), os.O_PATH)
        try:
            self._socket.connect(f"/proc/self/fd/{directory}/{os.path.basename(self.path)}")
        finally:
            os.close(directory)

    def command(self, name: str, /, **arguments: Any) -> Any:
        """Executes one command and returns its answer; events in between are dropped."""
        self._stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._stream.flush()
        answer = self._receive("return", "error")
        if "error" in answer:
            raise RebootlessError(
                "monitor_refused",
                f"QEMU refused {name}: {answer['error'].get('desc')}",
                "Check the command against the running QEMU's version.",
                command=name,
            )
        return answer["return"]

    def human(self, line: str) -> str:
        """Executes a line of the human monitor, such as ``gdbserver unix:…``, and returns what it printed."""
        return str(self.command("human-monitor-command", **{"command-line": line}))

    def _receive(self, *keys: str) -> dict[str, Any]:
        while True:
            line = self._stream.readline()
            if not line:
                raise ConnectionResetError(0, "the monitor closed the connection")
            message: dict[str, Any] = json.loads(line)
            if any(key in message for key in keys):
                return message
