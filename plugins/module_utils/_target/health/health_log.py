# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel has logged since a moment, and which of it is bad.

Sources: Documentation/ABI/testing/dev-kmsg; the texts are those of Linux 6.1 to 6.12 (arch/x86/kernel/dumpstack.c,
lib/bug.c, kernel/panic.c, kernel/watchdog.c, kernel/hung_task.c, kernel/rcu/tree_stall.h, lib/ubsan.c).
"""

from __future__ import annotations

import os
import re
import select
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.log import DEVICE, open_log, records

MARK_WAIT_S = 1.0
WARNING_LEVEL = 4  # KERN_WARNING; smaller is worse

# What it is, and the line that says so.  The first that fits names it, so the special come before the general.
SIGNS: tuple[tuple[str, re.Pattern], ...] = (
    ("lockup", re.compile(r"soft lockup|hard LOCKUP|workqueue lockup")),
    ("RCU stall", re.compile(r"^rcu.*(detected.*stall|kthread.*starved|self-detected stall)")),
    ("hung task", re.compile(r"^INFO: task .* blocked (for more than|on )")),
    # Each of the kernel's own faults ends so; a fault of a program, which the kernel logs too, doesn't.
    ("oops", re.compile(r"\[#\d+\]|^BUG: (unable to handle|kernel NULL pointer)")),
    ("panic", re.compile(r"^Kernel panic")),
    ("BUG", re.compile(r"\bBUG: |^kernel BUG at |^UBSAN: ")),
    ("WARNING", re.compile(r"^WARNING: |\] WARNING: ")),
)
# Of the helper module (pr_fmt of kmod/), about an update or a loadable module; at the level of a warning, a refusal.
OWN = re.compile(r"^rebootless: [^\s:]+: ")


class HealthLine(t.NamedTuple):
    number: int
    level: int
    text: str


class HealthLog:
    """The kernel's own lines behind the one with the number ``after``; ``lost`` counts those that were overwritten.

    Lines that programs write into the log are passed over: the kernel marks them.  Raises ``RebootlessError`` code
    ``log_unreadable``.
    """

    def __init__(self, after: int, device: str = DEVICE) -> None:
        self.seen = after
        self.lost = 0
        try:
            self._descriptor = open_log(device)
        except OSError as error:
            raise _unreadable(error) from error

    def fileno(self) -> int:
        """For select(2): ready when there is more."""
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)

    def lines(self) -> list[HealthLine]:
        """The lines since the last call, oldest first."""
        found = []
        for record in records(self._descriptor):
            if record.number <= self.seen:
                continue
            self.lost += record.number - self.seen - 1
            self.seen = record.number
            if record.facility == 0:
                found.append(HealthLine(record.number, record.level, record.text))
        return found


def last_number(mark: str, device: str = DEVICE) -> int:
    """Writes a line into the kernel log, where the operator finds it, and returns its number.

    Raises ``RebootlessError`` code ``log_unreadable``.
    """
    try:
        descriptor = open_log(device)
    except OSError as error:
        raise _unreadable(error) from error
    try:
        os.lseek(descriptor, 0, os.SEEK_END)
        _write(device, mark)
        end = time.monotonic() + MARK_WAIT_S
        while time.monotonic() < end:
            numbers = [record.number for record in records(descriptor)]
            if numbers:
                return numbers[-1]
            select.select([descriptor], [], [], 0.05)
        # The kernel takes no lines from programs (printk.devkmsg=off): the last that is there will do.
        os.lseek(descriptor, 0, os.SEEK_SET)
        return max((record.number for record in records(descriptor)), default=-1)
    except OSError as error:
        raise _unreadable(error) from error
    finally:
        os.close(descriptor)


def bad_lines(
    lines: list[HealthLine], patterns: t.Sequence[str] = (), ignore: t.Sequence[str] = ()
) -> list[tuple[str, str]]:
    """(what it is, text) of each line that tells of damage; ``patterns`` are more such lines, ``ignore`` fewer."""
    more, fewer = [re.compile(text) for text in patterns], [re.compile(text) for text in ignore]
    found = []
    for line in lines:
        sign = _sign(line, more)
        if sign and not any(pattern.search(line.text) for pattern in fewer):
            found.append((sign, line.text))
    return found


def _sign(line: HealthLine, more: list[re.Pattern]) -> str:
    for sign, pattern in SIGNS:
        if pattern.search(line.text):
            return sign
    if OWN.search(line.text) and line.level <= WARNING_LEVEL:
        return "refusal"
    return "line that the plan calls bad" if any(pattern.search(line.text) for pattern in more) else ""


def _write(device: str, mark: str) -> None:
    try:
        descriptor = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, f"<5>{mark}\n".encode())
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _unreadable(error: OSError) -> RebootlessError:
    return RebootlessError(
        "log_unreadable",
        f"The kernel's log {DEVICE} cannot be read: {error.strerror}.",
        "Run the task as root on the host itself; without the log an oops would go unnoticed.",
        errno=error.errno,
    )
