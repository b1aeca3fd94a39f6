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
CHUNK = 1024  # bytes of memory in a packet; QEMU's stub takes twice as many
# The numbers of registers in QEMU's gdb-xml/i386-64bit.xml, and how many bytes each has.
RSP, RIP, EFLAGS = 7, 16, 17
SIZES = {RSP: 8, RIP: 8, EFLAGS: 4}


class Unreadable(Exception):
    """There is no memory at an address."""


class Connection:
    """A client of the debugging stub that listens at the Unix socket ``path``; a context manager that closes it.

    Closing it leaves the machine as it stands: ``detach`` lets it go on.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self._received = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        # A Unix socket's name holds 107 bytes; by way of its directory every path fits.
        directory = os.open(os.path.dirname(path), os.O_PATH)
        try:
            self._socket.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        finally:
            os.close(directory)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *unused: object) -> None:
        self._socket.close()

    def command(self, text: str, timeout: float = TIMEOUT_S) -> str:
        """Sends one packet and returns the answer."""
        body = text.encode()
        self._socket.sendall(b"$" + body + b"#" + f"{sum(body) % 256:02x}".encode())
        return self.packet(timeout)

    def packet(self, timeout: float = TIMEOUT_S) -> str:
        """The next packet that the machine sends."""
        self._socket.settimeout(timeout)
        while not (packet := PACKET.search(self._received)):
            received = self._socket.recv(4096)
            if not received:
                raise EOFError("the machine has closed the debugger's connection")
            self._received += received
        self._received = self._received[packet.end() :]
        self._socket.sendall(b"+")
        return packet.group(1).decode()

    def describe_registers(self) -> None:
        """Agrees on the registers' numbers; without it QEMU's stub sets none of them alone."""
        self.command("qSupported:xmlRegisters=i386")
        self.command("qXfer:features:read:target.xml:0,ffb")

    def detach(self) -> None:
        """Lets the machine go on."""
        self.command("D")

    def read(self, address: int, length: int) -> bytes:
        """Bytes of the kernel's memory.  Raises ``Unreadable``."""
        content = b""
        while len(content) < length:
            here = address + len(content)
            answer = self.command(f"m{here:x},{min(CHUNK, length - len(content)):x}")
            if answer.startswith("E"):
                raise Unreadable(f"{here:#x}: {answer}")
            content += bytes.fromhex(answer)
        return content

    def write(self, address: int, content: bytes) -> None:
        """Writes the kernel's memory, also where the kernel itself may not."""
        for start in range(0, len(content), CHUNK):
            part = content[start : start + CHUNK]
            self._accepted(f"M{address + start:x},{len(part):x}:{part.hex()}")

    def register(self, number: int) -> int:
        """What a register holds: ``RSP``, ``RIP``, ``EFLAGS``."""
        return int.from_bytes(bytes.fromhex(self.command(f"p{number:x}")), "little")

    def set_register(self, number: int, value: int) -> None:
        """Makes a register hold something else."""
        self._accepted(f"P{number:x}={value.to_bytes(SIZES[number], 'little').hex()}")

    def stop_at(self, address: int) -> None:
        """The machine will stop before the instruction at ``address``; nothing is written there."""
        self._accepted(f"Z1,{address:x},1")

    def do_not_stop_at(self, address: int) -> None:
        """Takes ``stop_at`` back."""
        self._accepted(f"z1,{address:x},1")

    def go_on(self, timeout: float) -> int:
        """Lets the machine run until it stops, and returns where it stands."""
        answer = self.command("c", timeout)
        if not answer.startswith("T"):
            raise RuntimeError(f"the machine has not stopped: {answer}")
        return self.register(RIP)

    def _accepted(self, text: str) -> None:
        answer = self.command(text)
        assert answer == "OK", (text[:40], answer)


class Debugger:
    """Reads and writes virtual addresses of a machine; a context manager that lets it go on at the end."""

    def __init__(self, monitor: str) -> None:
        self._monitor = monitor

    def __enter__(self) -> Debugger:
        self._directory = tempfile.TemporaryDirectory()
        path = pathlib.Path(self._directory.name) / "gdb.sock"
        with Monitor(self._monitor) as monitor:
            monitor.human(f"gdbserver unix:{path},server=on,wait=off")
        self._connection = Connection(path)
        # A machine that ran tells unasked that it stopped (signal 2); the answer to "?" is signal 5.
        told = self._connection.command("?")
        while not told.startswith("T05"):
            told = self._connection.packet()
        return self

    def __exit__(self, *unused: object) -> None:
        with self._connection:
            self._connection.detach()
        with Monitor(self._monitor) as monitor:
            monitor.human("gdbserver none")
        self._directory.cleanup()

    def read(self, address: int, length: int) -> bytes:
        """Bytes of the kernel's memory."""
        return self._connection.read(address, length)

    def write(self, address: int, content: bytes) -> None:
        """Writes the kernel's memory, also where the kernel itself may not."""
        self._connection.write(address, content)
