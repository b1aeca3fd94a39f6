# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's log, record by record.

Source: Documentation/ABI/testing/dev-kmsg.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

DEVICE = "/dev/kmsg"
RECORD_SIZE = 8192  # bytes; a record that does not fit is lost, and none is larger (PRINTKRB_RECORD_MAX)
MAX_LINES = 20


class LogRecord(t.NamedTuple):
    """``4,812,5140900,-;WARNING: x`` is a record of the kernel (facility 0), level 4, with the number 812."""

    facility: int  # 0 is the kernel's, which no program can take
    level: int  # 4 is KERN_WARNING; smaller is worse
    number: int
    text: str


class KernelLog:
    """The log's lines from the moment this object is made; none where the log cannot be read."""

    def __init__(self) -> None:
        try:
            self._descriptor = open_log()
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError:
            self._descriptor = -1

    def lines(self) -> list[str]:
        """The last lines since then, oldest first, each without its prefix.  Closes the log."""
        found: list[str] = []
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                found += (record.text for record in records(self._descriptor))
            os.close(self._descriptor)
            self._descriptor = -1
        return found[-MAX_LINES:]


def open_log(device: str = DEVICE) -> int:
    """A descriptor that stands before the oldest record; reading it does not wait.  Raises ``OSError``."""
    return os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def records(descriptor: int) -> t.Iterator[LogRecord]:
    """The records that have not been read yet, oldest first.  Raises ``OSError``."""
    while True:
        try:
            content = os.read(descriptor, RECORD_SIZE)
        except BlockingIOError:  # there are no more
            return
        except BrokenPipeError:  # the next record was overwritten; reading goes on behind it
            continue
        if not content:
            return
        record = parse_record(content)
        if record is not None:
            yield record


def parse_record(content: bytes) -> LogRecord | None:
    """A record as read(2) returns it; None if it does not look like one."""
    prefix, _semicolon, rest = content.partition(b";")
    try:
        priority, number = (int(field) for field in prefix.split(b",")[:2])
    except ValueError:
        return None
    return LogRecord(priority >> 3, priority & 7, number, rest.partition(b"\n")[0].decode("utf-8", "replace"))
