# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling how far long work has come, while a module runs.

Ansible shows nothing of a module before it ends; who waits can follow the file ``progress.log`` in the cache.
"""

from __future__ import annotations

import time
from typing import Callable

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Say


def teller(cache: Cache, subject: str, log: Callable[[str], None]) -> Say:
    """A function that appends a line about ``subject`` to the cache's ``progress.log`` and hands it to ``log``."""
    path = cache.directory() / "progress.log"

    def say(text: str) -> None:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {subject}: {text}\n")
        log(f"{subject}: {text}")

    return say
