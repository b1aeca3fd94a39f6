# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's monitor."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import threading

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.qmp import Qmp
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


def monitor(path: pathlib.Path, *answers: dict) -> threading.Thread:
    server = socket.socket(socket.AF_UNIX)
    here = os.open(path.parent, os.O_PATH)
    server.bind(f"/proc/self/fd/{here}/{path.name}")
    server.listen()

    def serve() -> None:
        connection, _address = server.accept()
        with connection, connection.makefile("rw") as stream:
            stream.write(json.dumps({"QMP": {}}) + "\n")
            stream.flush()
            for answer in ({"return": {}}, *answers):
                stream.readline()
                stream.write(json.dumps({"event": "STOP"}) + "\n" + json.dumps(answer) + "\n")
                stream.flush()
        server.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_monitor_answers_between_events_at_any_length_of_path(tmp_path):
    path = tmp_path / ("d" * 120) / "qmp.sock"
    path.parent.mkdir()
    thread = monitor(path, {"return": {"status": "running"}})
    with Qmp(str(path)) as qmp:
        assert qmp.command("query-status") == {"status": "running"}
    thread.join()


def test_monitor_that_refuses_is_an_error_with_its_words(tmp_path):
    thread = monitor(tmp_path / "qmp.sock", {"error": {"desc": "no such command"}})
    with Qmp(str(tmp_path / "qmp.sock")) as qmp, pytest.raises(RebootlessError) as caught:
        qmp.command("nonsense")
    assert caught.value.code == "monitor_refused" and "no such command" in caught.value.sentence
    thread.join()


def test_monitor_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(RebootlessError) as caught, Qmp(str(tmp_path / "qmp.sock")):
        pass
    assert caught.value.code == "monitor_unreachable"
