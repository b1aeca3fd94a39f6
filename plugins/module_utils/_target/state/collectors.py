# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which directories a host's metrics have been written to, so that every later change is written there, too.

A revert by an update's name, for example, comes without the plan that named the directory.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

FILE = "metrics.json"  # in the state directory: a list of paths


def known(state_directory: str) -> list[str]:
    """The directories; none if the list is missing or damaged, since only the metrics depend on it."""
    path = os.path.join(state_directory, FILE)
    try:
        with open(path, "rb") as stream:
            found = strict_json.parse(stream.read())
    except (OSError, ValueError, RebootlessError):
        return []
    return [row for row in found if isinstance(row, str)] if isinstance(found, list) else []


def remember(state_directory: str, directory: str) -> None:
    """Adds a directory.  That a disk is full keeps nothing from being done: the next step tries again."""
    before = known(state_directory)
    if directory not in before:
        _save(state_directory, [*before, directory])


def forget(state_directory: str, directory: str) -> None:
    """Drops a directory."""
    _save(state_directory, [row for row in known(state_directory) if row != directory])


def forget_if_alone(state_directory: str) -> None:
    """Drops the list, and the directory, of a host that keeps nothing else: there is nothing more to be told."""
    with contextlib.suppress(OSError):
        if os.listdir(state_directory) == [FILE]:
            disk.remove(os.path.join(state_directory, FILE))
            disk.drop_empty(state_directory)


def _save(state_directory: str, directories: t.Sequence[str]) -> None:
    path = os.path.join(state_directory, FILE)
    with contextlib.suppress(OSError):
        if directories:
            os.makedirs(state_directory, 0o700, exist_ok=True)
            disk.replace_durably(path, strict_json.write(list(directories)) + b"\n", 0o644)
        else:
            disk.remove(path)
