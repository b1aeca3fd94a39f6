# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine printed on its serial console."""

from __future__ import annotations

import os
import re

#: kernel/panic.c prints this in front of every reason
PANIC = re.compile(r"Kernel panic - not syncing: (?P<reason>[^\r\n]*)")
#: kernel/rcu/tree_stall.h prints this when a processor slept through a timer that was due
LOST_TIMER = re.compile(r"Possible timer handling issue on cpu=\d+")
BOOT = "Linux version "
TAIL_LINES = 40


def read_console(path: str, offset: int = 0) -> str:
    """The text of a serial log from byte `offset` on; empty if there is no log yet."""
    try:
        with open(path, "rb") as log:
            log.seek(min(offset, os.fstat(log.fileno()).st_size))
            return log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def panic_reason(text: str) -> str | None:
    """The reason of the last kernel panic in a console text, None if there is none."""
    reasons = PANIC.findall(text)
    return reasons[-1].strip() if reasons else None


def lost_timer(text: str) -> bool:
    """Whether the kernel that booted last says that one of its processors gets no timer interrupts."""
    return LOST_TIMER.search(text.rpartition(BOOT)[2]) is not None


def tail(text: str, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a console text."""
    return text.replace("\r", "").splitlines()[-lines:]
