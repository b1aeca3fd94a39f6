# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scope of systemd for a process that has to outlive the session or the service that started it.

systemd ends all processes of a service that is over, such as one that runs ansible-pull, and those of a session where a
host says so (``KillUserProcesses``).  It is asked by its own socket, as systemctl does as root: a minimal host runs no
D-Bus daemon.  Sources: the D-Bus specification (authentication, marshalling); org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import os
import socket
import struct

SOCKET = "/run/systemd/private"
TIMEOUT_S = 10
PATH, INTERFACE, MEMBER, DESTINATION, SIGNATURE = 1, 2, 3, 6, 8  # fields of a header
METHOD_CALL, METHOD_RETURN = 1, 2
MAX_REPLY = 1 << 20


def enter(name: str) -> bool:
    """Moves this process into the new scope ``name``; False if systemd does not run here, or refuses.

    Raises ``OSError`` if systemd does not answer.
    """
    if not os.path.exists(SOCKET):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bus:
        bus.settimeout(TIMEOUT_S)
        bus.connect(SOCKET)
        bus.sendall(b"\0AUTH EXTERNAL %s\r\n" % str(os.geteuid()).encode().hex().encode())
        if not _line(bus).startswith(b"OK "):
            return False
        bus.sendall(b"BEGIN\r\n" + _call(name, os.getpid()))
        return _answer(bus) == METHOD_RETURN


def _call(name: str, pid: int) -> bytes:
    """StartTransientUnit(name, "fail", [("PIDs", [pid])], []), of the types ``ssa(sv)a(sa(sv))``."""
    pids = _text("PIDs") + b"\2au\0"
    pids += _padding(len(pids), 4) + struct.pack("<II", 4, pid)
    body = _text(name)
    body += _padding(len(body), 4) + _text("fail")
    body += _padding(len(body), 4) + struct.pack("<I", len(pids))
    body += _padding(len(body), 8) + pids + struct.pack("<I", 0)
    body += _padding(len(body), 8)
    header = b""
    for code, kind, value in (
        (PATH, b"o", "/org/freedesktop/systemd1"),
        (INTERFACE, b"s", "org.freedesktop.systemd1.Manager"),
        (MEMBER, b"s", "StartTransientUnit"),
        (DESTINATION, b"s", "org.freedesktop.systemd1"),
    ):
        header += _padding(len(header), 8) + bytes([code]) + b"\1" + kind + b"\0" + _text(value)
    signature = b"ssa(sv)a(sa(sv))"
    header += _padding(len(header), 8) + bytes([SIGNATURE]) + b"\1g\0" + bytes([len(signature)]) + signature + b"\0"
    start = struct.pack("<cBBBIII", b"l", METHOD_CALL, 0, 1, len(body), 1, len(header))
    return start + header + _padding(len(start) + len(header), 8) + body


def _text(value: str) -> bytes:
    """A string; it is aligned to 4 bytes."""
    content = value.encode()
    return struct.pack("<I", len(content)) + content + b"\0"


def _padding(length: int, alignment: int) -> bytes:
    return bytes(-length % alignment)


def _line(bus: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\r\n") and len(line) < MAX_REPLY:
        line += _exactly(bus, 1)
    return line


def _answer(bus: socket.socket) -> int:
    """The type of the first message that answers the call; signals are passed over."""
    while True:
        order, kind, _flags, _version, body, _serial, fields = struct.unpack("<cBBBIII", _exactly(bus, 16))
        rest = fields + -fields % 8 + body
        if order != b"l" or rest > MAX_REPLY:
            return 0
        _exactly(bus, rest)
        if kind != 4:  # a signal
            return int(kind)


def _exactly(bus: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        more = bus.recv(size - len(content))
        if not more:
            raise OSError("systemd has closed the connection")
        content += more
    return content
