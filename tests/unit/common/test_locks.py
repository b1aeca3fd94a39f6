# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between processes that really run beside each other."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import locks


@contextlib.contextmanager
def other_holder(path, seconds="60"):
    """Another process (util-linux' flock) that has the lock until it is stopped."""
    command = ["flock", "--no-fork", path, "sh", "-c", f"echo held; exec sleep {seconds}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


def test_refuses_at_once_and_names_the_holder(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    with other_holder(path) as process:
        start = time.monotonic()
        with pytest.raises(locks.LockHeld) as refused, locks.locked(path, timeout=0):
            pass
        assert time.monotonic() - start < 5
        assert (refused.value.path, refused.value.pid) == (str(path), process.pid)
        assert str(refused.value) == f"{path} is locked by process {process.pid}."
        monkeypatch.setattr(locks, "PROC_LOCKS", str(tmp_path / "missing"))
        with pytest.raises(locks.LockHeld, match="by another process") as refused, locks.locked(path, timeout=0):
            pass
        assert refused.value.pid is None


@pytest.mark.parametrize("timeout", [None, 30])
def test_waits_until_the_holder_is_gone(tmp_path, timeout):
    path = tmp_path / "lock"
    with other_holder(path) as process:
        threading.Timer(0.3, process.kill).start()
        with locks.locked(path, timeout=timeout):
            assert process.wait() != 0, "a killed holder has no lock any more"


def test_gives_up_after_its_time(tmp_path):
    path = tmp_path / "lock"
    with other_holder(path):
        start = time.monotonic()
        with pytest.raises(locks.LockHeld), locks.locked(path, timeout=0.3):
            pass
        assert 0.3 <= time.monotonic() - start < 5


def test_the_lock_ends_with_the_block_and_with_its_error(tmp_path):
    path = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), locks.locked(path, mode=0o600, flags=os.O_APPEND) as descriptor:
        os.write(descriptor, b"line\n")
        raise ZeroDivisionError
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    with locks.locked(path, timeout=0) as descriptor:
        assert os.read(descriptor, 10) == b"line\n", "taking a lock empties no file"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError), locks.locked(tmp_path / "missing" / "lock"):
        pass
