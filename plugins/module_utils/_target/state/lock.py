# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One operation on a host's updates at a time."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import locks
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

PATH = "/run/rebootless.lock"


@contextlib.contextmanager
def host_lock(timeout: float, path: str = PATH) -> t.Iterator[None]:
    """Holds the host's lock; waits for it ``timeout`` seconds, then raises ``RebootlessError`` code ``host_locked``."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locks.locked(path, timeout, 0o600))
        except locks.LockHeld as error:
            raise RebootlessError(
                "host_locked",
                f"Another task was changing this host's updates for longer than {timeout:g} seconds.",
                "Wait until it has ended, then try again, or raise lock_timeout.",
                path=path,
                **({} if error.pid is None else {"pid": error.pid}),
            ) from None
        yield
