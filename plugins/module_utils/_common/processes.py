# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells of a process."""

from __future__ import annotations

import typing as t

PROC = "/proc"


class Process(t.NamedTuple):
    """A process; a later one that gets the same number has another ``start``."""

    state: str  # "R", "S", ...; "Z" and "X" have ended
    start: int  # ticks since boot


def process(pid: int, proc: str = PROC) -> Process:
    """Fields 3 and 22 of ``/proc/<pid>/stat`` (proc(5)).  Raises ``OSError`` if there is no such process."""
    with open(f"{proc}/{pid}/stat", "rb") as stream:
        # The second field, the program's name, may hold blanks and parentheses.
        fields = stream.read().rpartition(b")")[2].split()
    return Process(fields[0].decode("ascii"), int(fields[19]))
