# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One operation on a host's updates at a time.  Private to rebootless.splice."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

PATH = "/run/rebootless.lock"
POLL = 0.1  # seconds


@contextlib.contextmanager
def host_lock(timeout: float, path: str = PATH) -> t.Iterator[None]:
    """Holds the host's lock (flock(2)); waits for it ``timeout`` seconds, then raises ``RebootlessError`` code
    ``host_locked``.

    The kernel drops the lock when its holder dies, so a killed task blocks nobody.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait(descriptor, timeout, path)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, timeout: float, path: str) -> None:
    end = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise RebootlessError(
                    "host_locked",
                    f"Another task was changing this host's updates for longer than {timeout:g} seconds.",
                    "Wait until it has ended, then try again, or raise lock_timeout.",
                    path=path,
                ) from None
        time.sleep(POLL)
