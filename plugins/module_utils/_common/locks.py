# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between processes: flock(2) on a file.

The kernel drops such a lock when its holder dies, so a killed task blocks no other one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t

POLL = 0.1  # seconds
PROC_LOCKS = "/proc/locks"


class LockHeld(Exception):
    """Another process has the lock on ``path``; ``pid`` is its number, None where that cannot be seen."""

    def __init__(self, path: str, pid: int | None) -> None:
        super().__init__(f"{path} is locked by {'another process' if pid is None else f'process {pid}'}.")
        self.path = path
        self.pid = pid


@contextlib.contextmanager
def locked(
    path: str | os.PathLike[str], timeout: float | None = None, mode: int = 0o644, flags: int = 0
) -> t.Iterator[int]:
    """Holds the lock on a file until the block ends, and yields the file's descriptor.

    The file is made with ``mode`` if it is missing, and opened for reading and writing; ``flags`` (``os.O_APPEND``)
    are added.  It waits ``timeout`` seconds for the lock: for ever with None, not at all with 0.  Not reentrant.
    Raises ``OSError`` if the file cannot be opened, and ``LockHeld``.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, mode)
    try:
        if timeout is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _wait(descriptor, os.fspath(path), timeout)
        yield descriptor
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: str, timeout: float) -> None:
    end = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise LockHeld(path, holder(descriptor)) from None
        time.sleep(POLL)


def holder(descriptor: int) -> int | None:
    """The process that took the lock, from ``/proc/locks`` (proc(5)).

    Its lines read ``1: FLOCK  ADVISORY  WRITE 714 00:1a:1063 0 EOF``: the fifth word is the process (0 or -1 if it is
    in another PID namespace), the sixth the file's device and inode.  Where stat(2) shows another device than the
    kernel's own (btrfs, overlayfs) no line has the file, and the holder stays unknown.
    """
    status = os.fstat(descriptor)
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError), open(PROC_LOCKS, encoding="ascii") as stream:
        for words in map(str.split, stream):
            if words[1:2] == ["FLOCK"] and words[5] == file and int(words[4]) > 0:
                return int(words[4])
    return None
