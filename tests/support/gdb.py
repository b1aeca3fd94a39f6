# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A debugger's connection to a machine, for tests that change the memory of a running kernel behind its back.

The protocol is the GDB manual's appendix "GDB Remote Serial Protocol"; the machine stands still while it is connected.
"""

from __future__ import annotations

import os
import pathlib
import re
import socket
import tempfile

from ansible_collections.rebootless.splice.tests.support.monitor import Monitor

TIMEOUT_S = 20.0
PACKET = re.compile(rb"\$([^#]*)#..", re.DOTALL)


class Debugger:
    """Reads and writes virtual addresses of a machine; a context manager that lets it go on at the end."""

    def __init__(self, monitor: str) -> None:
        self._monitor = monitor
        self._received = b""

    def __enter__(self) -> Debugger:
        self._directory = tempfile.TemporaryDirectory()
        path = pathlib.Path(self._directory.name) / "gdb.sock"
        with Monitor(self._monitor) as monitor:
            monitor.human(f"gdbserver unix:{path},server=on,wait=off")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(os.fspath(path))
        # A machine that ran tells unasked that it stopped (signal 2); the answer to "?" is signal 5.
        told = self._command("?")
        while not told.startswith("T05"):
            told = self._packet()
        return self

    def __exit__(self, *unused: object) -> None:
        self._command("D")
        self._socket.close()
        with Monitor(self._monitor) as monitor:
            monitor.human("gdbserver none")
        self._directory.cleanup()

    def read(self, address: int, length: int) -> bytes:
        """Bytes of the kernel's memory."""
        return bytes.fromhex(self._command(f"m{address:x},{length:x}"))

    def write(self, address: int, content: bytes) -> None:
        """Writes the kernel's memory, also where the kernel itself may not."""
        answer = self._command(f"M{address:x},{len(content):x}:{content.hex()}")
        assert answer == "OK", answer

    def _command(self, text: str) -> str:
        body = text.encode()
        self._socket.sendall(b"$" + body + b"#" + f"{sum(body) % 256:02x}".encode())
        return self._packet()

    def _packet(self) -> str:
        while not (packet := PACKET.search(self._received)):
            self._received += self._socket.recv(4096)
        self._received = self._received[packet.end() :]
        self._socket.sendall(b"+")
        return packet.group(1).decode()
