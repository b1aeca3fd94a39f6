# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for the locks of a cache: who waits is told who has the lock, and urgent work goes first.

    <lock>          flock(2), held by the process that works; its text says who that is (``_Note``)
    <lock>.urgent   the gate: every urgent process that waits for the lock has a read lock on it (an open file
                    description lock, fcntl(2)); its text is the note of the last one

Who is not urgent leaves a lock alone while its gate is locked.  The kernel drops both locks when a process dies, so
neither a killed holder nor a killed waiter holds another one up; what a killed one left in a file counts for nothing.

A process becomes urgent while an urgent one waits for a lock that it holds: a build that was begun without haste, and
that an urgent one needs, no longer stands behind builds of other updates.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import os
import struct
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._common import locks, processes, strict_json

POLL = 0.1  # seconds between two looks at a lock
PATIENCE = 1.0  # seconds; who has waited that long looks more often, and so comes before one that has just had a turn
OFTEN = 0.02
GATE = ".urgent"
_FLOCK = struct.Struct("@hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, process
_WHOLE = (os.SEEK_SET, 0, 0, 0)
_NOTE = 4096  # bytes; more is no note
_SUBJECT = 200  # characters
_SOMEBODY = "another process"


@dataclasses.dataclass(frozen=True)
class Work:
    """What a process does: ``subject`` in a few words, for others that wait for it; ``say`` tells what it waits for
    itself; ``urgent`` work gets a lock before all that is not."""

    subject: str = ""
    say: Callable[[str], None] = lambda text: None
    urgent: bool = False


class _Process:
    """What this process does, and the locks that its threads hold."""

    def __init__(self) -> None:
        self.work = Work(os.path.basename(sys.argv[0]))
        self.held: list[Path] = []

    def is_urgent(self) -> bool:
        return self.work.urgent or any(map(_is_gate_locked, tuple(self.held)))


_PROCESS = _Process()


@contextlib.contextmanager
def working(subject: str, say: Callable[[str], None], urgent: bool = False) -> Iterator[None]:
    """Says what this process does until the block ends; it is one work, whichever thread takes a lock."""
    before = _PROCESS.work
    _PROCESS.work = Work(subject, say, urgent)
    try:
        yield
    finally:
        _PROCESS.work = before


@contextlib.contextmanager
def held(path: Path, name: str, urgent: bool = False) -> Iterator[None]:
    """Holds the lock on ``path``, which messages call ``name``, waiting until it is free.  Not reentrant.

    ``urgent`` makes this wait urgent, also if the process' work is not.  Raises ``OSError`` if the file, or its gate,
    cannot be opened or locked.
    """
    with _opened(path) as lock:
        with contextlib.ExitStack() as gate:
            _Wait(lock, path, name, gate, urgent).until_taken()
        _PROCESS.held.append(path)
        try:
            _sign(lock)
            yield
        finally:
            _PROCESS.held.remove(path)
            _write(lock, "")
            # Not left to close(2): a child that was forked in the meantime has a copy of the descriptor.
            fcntl.flock(lock, fcntl.LOCK_UN)


@contextlib.contextmanager
def ahead(path: Path) -> Iterator[bool]:
    """Keeps those who are not urgent from the lock on ``path`` until the block ends, if this process is urgent.

    Yields whether it is.  Raises ``OSError`` as ``held`` does.
    """
    urgent = _PROCESS.is_urgent()
    with _locked_gate(path) if urgent else contextlib.nullcontext():
        yield urgent


class _Wait:
    """One wait for the lock ``lock``; ``gate`` ends with it."""

    def __init__(self, lock: int, path: Path, name: str, gate: contextlib.ExitStack, urgent: bool) -> None:
        self._lock, self._path, self._name = lock, path, name
        self._gate, self._gate_locked = gate, False
        # Once urgent, always so: it would take its own lock on the gate for another's.
        self._urgent = urgent
        self._seen = self._told = ""

    def until_taken(self) -> None:
        begun = time.monotonic()
        while not self._take():
            if self._urgent and not self._gate_locked:
                self._gate.enter_context(_locked_gate(self._path))
                self._gate_locked = True
            elif time.monotonic() - begun >= POLL:
                self._tell()
            time.sleep(POLL if time.monotonic() - begun < PATIENCE else OFTEN)
        if self._told:
            _PROCESS.work.say(f"has the lock {self._name}, after {time.monotonic() - begun:.1f} s")

    def _take(self) -> bool:
        self._urgent = self._urgent or _PROCESS.is_urgent()
        if not self._urgent and _is_gate_locked(self._path):
            return False
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _tell(self) -> None:
        """Says who has the lock, or which urgent process gets it next, whenever that is another one.

        It has to be seen twice: a lock that is free just now, or whose note is half written, names no process.
        """
        who, since = _holder(self._lock)
        text = f"{who} has had since {since}" if since else f"{who} has"
        if who == _SOMEBODY and not self._urgent and _is_gate_locked(self._path):
            with _opened(Path(f"{self._path}{GATE}")) as gate:
                who, since = _holder(gate)
            text = f"{who}, urgent since {since}, gets first" if since else f"{who}, urgent, gets first"
        if who == self._seen != self._told:
            self._told = who
            _PROCESS.work.say(f"waits for the lock {self._name}, which {text}")
        self._seen = who


@dataclasses.dataclass(frozen=True)
class _Note:
    """Who has locked a file: ``pid`` and ``start`` (ticks since boot) are a process of ``place``, which is one boot
    of one machine and a PID namespace in it; ``since`` is in seconds since the epoch."""

    pid: int
    start: int
    place: str
    subject: str
    since: float

    @classmethod
    def of_this_process(cls) -> _Note:
        pid = os.getpid()
        return cls(pid, processes.process(pid).start, _place(), _PROCESS.work.subject, time.time())

    @classmethod
    def read(cls, text: str) -> _Note | None:
        """The note that a file holds; None if it is none, or only a part of one."""
        try:
            row = strict_json.parse(text.encode())
            subject = "".join(filter(str.isprintable, row["subject"]))[:_SUBJECT]
            note = cls(row["pid"], row["start"], str(row["place"]), subject, row["since"])
            sound = strict_json.is_whole(note.pid) and strict_json.is_whole(note.start)
            return note if sound and strict_json.is_number(note.since) and note.when() else None
        except (KeyError, OverflowError, OSError, TypeError, ValueError):
            return None

    def text(self) -> str:
        return strict_json.exact(dataclasses.asdict(self)).decode()

    def is_current(self) -> bool:
        """Whether its process is there; of one that cannot be seen from here, such as in a container, it may be."""
        if self.place != _place():
            return True
        try:
            found = processes.process(self.pid)
        except OSError:
            return False
        return found.start == self.start and found.state not in ("Z", "X")

    def who(self) -> str:
        elsewhere = "" if self.place == _place() else " of another container or machine"
        subject = f" ({self.subject})" if self.subject else ""
        return f"process {self.pid}{elsewhere}{subject}"

    def when(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))


def _holder(descriptor: int) -> tuple[str, str]:
    """Who has locked the file, and since when, as far as its note and ``/proc/locks`` tell."""
    note = _Note.read(os.pread(descriptor, _NOTE, 0).decode("utf-8", "replace"))
    if note is not None and note.is_current():
        return note.who(), note.when()
    pid = locks.holder(descriptor)
    return (_SOMEBODY if pid is None else f"process {pid}"), ""


@functools.lru_cache(maxsize=None)
def _place() -> str:
    """The boot and the PID namespace that a process' number belongs to."""
    boot = Path(processes.PROC, "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {os.readlink(f'{processes.PROC}/self/ns/pid')}"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked_gate(path: Path) -> Iterator[None]:
    with _opened(Path(f"{path}{GATE}")) as gate:
        fcntl.fcntl(gate, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_RDLCK, *_WHOLE))
        try:
            _sign(gate)
            yield
        finally:
            fcntl.fcntl(gate, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, *_WHOLE))


def _is_gate_locked(path: Path) -> bool:
    """Asks without taking anything, so that two who ask at the same time do not see each other."""
    try:
        gate = os.open(f"{path}{GATE}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False  # no urgent process has ever waited for it
    try:
        answer = fcntl.fcntl(gate, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, *_WHOLE))
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
    finally:
        os.close(gate)


def _sign(descriptor: int) -> None:
    """Puts this process' note into a file; where that cannot be done, such as on a full disk, who waits sees less."""
    with contextlib.suppress(OSError):
        _write(descriptor, _Note.of_this_process().text())


def _write(descriptor: int, text: str) -> None:
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
