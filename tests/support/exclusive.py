# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One maker at a time: workers of a run share what they make in the cache."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import locks


@contextlib.contextmanager
def locked(path: pathlib.Path) -> t.Iterator[None]:
    """A lock on the file or directory ``path`` that is about to be made, between the workers of a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.locked(path.parent / f"{path.name}.lock"):
        yield
