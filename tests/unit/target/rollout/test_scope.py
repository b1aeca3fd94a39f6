# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said to systemd, and what its answers mean; tests/integration/test_rollout_host.py asks a real one."""

from __future__ import annotations

import os
import pathlib
import socket
import struct
import threading
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout import scope


def message(kind: int, body: bytes = b"", fields: bytes = b"") -> bytes:
    start = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), 1, len(fields))
    return start + fields + bytes(-len(fields) % 8) + body


@pytest.fixture
def systemd(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[t.Callable[..., list[bytes]]]:
    """Answers one client with these bytes: after its name, and after its call; what it said comes into the list."""
    path = str(tmp_path / "private")
    monkeypatch.setattr(scope, "SOCKET", path)
    monkeypatch.setattr(scope, "TIMEOUT_S", 2)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    said: list[bytes] = []

    def serve(*answers: bytes) -> None:
        client, _address = server.accept()
        with client:
            for answer in answers:
                said.append(client.recv(4096))
                client.sendall(answer)

    def start(*answers: bytes) -> list[bytes]:
        threading.Thread(target=serve, args=answers, daemon=True).start()
        return said

    yield start
    server.close()


def test_a_host_without_systemd(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope, "SOCKET", str(tmp_path / "none"))
    assert not scope.enter("x.scope")


def test_this_process_is_named(systemd: t.Callable[..., list[bytes]]) -> None:
    said = systemd(b"OK 1234\r\n", message(4, b"a signal", b"fields") + message(2, b"/job/7"))
    assert scope.enter("soak-7.scope")
    assert said[0] == b"\0AUTH EXTERNAL %s\r\n" % str(os.geteuid()).encode().hex().encode()
    call = said[1].partition(b"BEGIN\r\n")[2]
    _order, _kind, _flags, _version, body, _serial, fields = struct.unpack_from("<cBBBIII", call)
    assert len(call) == 16 + fields + -fields % 8 + body
    assert b"StartTransientUnit\0" in call and b"ssa(sv)a(sa(sv))\0" in call
    assert call[-body:].startswith(struct.pack("<I", 12) + b"soak-7.scope\0")
    assert struct.pack("<I", os.getpid()) in call[-body:]


@pytest.mark.parametrize(
    "answers",
    [
        (b"REJECTED EXTERNAL\r\n",),
        (b"OK 1\r\n", message(3, b"no such method")),
        (b"OK 1\r\n", b"B" + message(2)[1:]),
        (b"OK 1\r\n", struct.pack("<cBBBIII", b"l", 2, 0, 1, 1 << 31, 1, 0)),
    ],
)
def test_a_refusal_is_none(systemd: t.Callable[..., list[bytes]], answers: tuple[bytes, ...]) -> None:
    systemd(*answers)
    assert not scope.enter("x.scope")


@pytest.mark.parametrize("answers", [(b"",), (b"OK 1",), (b"OK 1\r\n", b""), (b"OK 1\r\n", message(2, b"half")[:-1])])
def test_a_connection_that_ends_is_an_error(systemd: t.Callable[..., list[bytes]], answers: tuple[bytes, ...]) -> None:
    systemd(*answers)
    with pytest.raises(OSError):
        scope.enter("x.scope")
