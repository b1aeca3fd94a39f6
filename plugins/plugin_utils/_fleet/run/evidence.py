# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence of a rollout: a file of JSON lines that only grows.

Each line has, as ``previous``, the SHA-256 of the line before it, so that a line that was changed, taken out or put in
later shows, unless all lines after it were written anew; the digest of the last line, kept elsewhere, shows that too.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import locks, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row

FILE = "evidence.jsonl"
FIRST = "0" * 64  # `previous` of the first line
CHUNK = 65536
RESERVE = 1 << 20  # bytes: for the lines of all hosts that are being worked on


# What every line has; what an event has nothing to say of stays so.
EMPTY: dict[str, t.Any] = {
    **dict.fromkeys(("batch", "host", "step", "state")),
    **dict.fromkeys(("code", "sentence", "next_step"), ""),
}


def line(event: str, plan: str, update: Row, by: str, details: Row, **more: t.Any) -> Row:
    """A line for ``append``: ``plan`` is its digest, ``update`` a name and a version, ``by`` who started the run."""
    return {**EMPTY, "event": event, "plan": plan, "update": update, "by": by, "details": details, **more}


class EvidenceLine(t.NamedTuple):
    """One line.  ``entry`` is None if it was not written to its end; ``follows`` says whether it names the line before
    it; ``digest`` is its own SHA-256; ``ended`` whether its newline is there."""

    entry: dict[str, t.Any] | None
    follows: bool
    digest: str
    ended: bool


def now() -> str:
    """The time in UTC, to the millisecond."""
    moment = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1000):03d}Z"


def demand_room(path: str) -> None:
    """Raises ``RebootlessError`` code ``not_writable`` unless there is room for what hosts will say.

    Asked before a host is touched: nothing shall happen there of which nothing could be written down.
    """
    try:
        room = os.statvfs(os.path.dirname(path) or ".")
    except OSError as error:
        raise _not_writable(path, str(error.strerror)) from error
    free = room.f_bavail * room.f_frsize
    if free < RESERVE or (room.f_files and not room.f_favail):
        what = f"only {free} bytes are free" if free < RESERVE else "no inode is free"
        raise _not_writable(path, f"{what} on its file system, of {RESERVE} that are wanted")


def _not_writable(path: str, why: str) -> RebootlessError:
    return RebootlessError(
        "not_writable",
        f"The evidence {path} cannot be written: {why}.",
        "Make room there, then start the same command again; without evidence no host is touched.",
        path=path,
    )


def append(path: str, lines: t.Iterable[dict[str, t.Any]], sync: bool = False) -> str:
    """Writes lines at the end and returns the digest of the last one; ``sync`` waits until the disk has them.

    Each gets ``time`` and ``previous``.  Several processes may write at once.  What a process that was killed left of a
    line stays in its place and counts as a line.  Raises ``RebootlessError`` code ``not_writable``.
    """
    try:
        return _append(path, lines, sync)
    except OSError as error:
        raise _not_writable(path, str(error.strerror)) from error


def _append(path: str, lines: t.Iterable[dict[str, t.Any]], sync: bool) -> str:
    with locks.locked(path, flags=os.O_APPEND) as descriptor:
        last, ended = _last_line(descriptor)
        previous = FIRST if last is None else canonical.sha256(last)
        text = b"" if ended else b"\n"
        for line in lines:
            full = {"time": now(), **line, "previous": previous}
            encoded = strict_json.write(full, sort_keys=True)
            previous = canonical.sha256(encoded)
            text += encoded + b"\n"
        while text:
            text = text[os.write(descriptor, text) :]
        if sync:
            os.fsync(descriptor)
        return previous


def read(path: str) -> t.Iterator[dict[str, t.Any]]:
    """The lines that can be read, in order; what was not written to its end is passed over."""
    if not os.path.exists(path):
        return
    with open(path, "rb") as file:
        for line in walk(file):
            if line.entry is not None:
                yield line.entry


def walk(lines: t.Iterable[bytes]) -> t.Iterator[EvidenceLine]:
    """What ``lines`` (with their newlines) say, and whether the chain holds from each to the next.

    A line that was torn by a kill is part of the chain: the next one has its digest.
    """
    previous = FIRST
    for line in lines:
        stripped = line.rstrip(b"\n")
        entry = _entry(stripped)
        follows = entry is None or entry.get("previous") == previous
        previous = canonical.sha256(stripped)
        yield EvidenceLine(entry, follows, previous, stripped != line)


def _entry(line: bytes) -> dict[str, t.Any] | None:
    try:
        entry = strict_json.parse(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def verify(path: str) -> tuple[int, int | None]:
    """How many lines there are, and the number, from 1, of the first one that does not follow the line before it."""
    number, broken = 0, None
    with open(path, "rb") as file:
        for number, line in enumerate(walk(file), 1):
            if broken is None and not line.follows:
                broken = number
    return number, broken


def _last_line(descriptor: int) -> tuple[bytes | None, bool]:
    """The last line without its end, ``None`` of an empty file; and whether it has its end."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        return None, True
    tail, position = b"", size
    while position > 0:
        step = min(CHUNK, position)
        position -= step
        tail = os.pread(descriptor, step, position) + tail
        if b"\n" in tail[:-1]:
            break
    ended = tail.endswith(b"\n")
    return (tail[:-1] if ended else tail).rpartition(b"\n")[2], ended
