# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that live in memory only, for kernel interfaces and loaders that want a path."""

from __future__ import annotations

import contextlib
import os
import typing as t


@contextlib.contextmanager
def memory_file(content: bytes, name: str) -> t.Iterator[str]:
    """A path under which this process can open ``content`` while the context lasts (memfd_create(2)).

    ``name`` is only a label, visible in ``/proc/<pid>/maps``.  What was opened or mapped meanwhile stays valid.
    """
    descriptor = os.memfd_create(name)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
