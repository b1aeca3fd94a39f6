# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks that last as long as an ansible-playbook process, and no longer.

Ansible runs each task in a process of its own, so a lock of the kernel would end with the task.  The lock is a file
that names the process of the whole run; it is stale, and the next run takes it over, when that process is gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import locks, processes, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.action import playbook_process

PROC = "/proc"


@dataclasses.dataclass(frozen=True)
class Holder:
    """A process, told from another one of the same number, also after a reboot.

    ``start`` is field 22 of ``/proc/<pid>/stat``; ``namespace`` names the set of processes that ``pid`` counts in.
    """

    pid: int
    start: int
    boot_id: str
    node: str
    namespace: str
    user: str

    @property
    def by(self) -> str:
        """Who runs it, and where."""
        return f"{self.user}@{self.node}"

    @property
    def name(self) -> str:
        """What tells it from all others, in a word that can be kept."""
        return f"{self.node}/{self.pid}/{self.start}"

    def same_process(self, other: Holder) -> bool:
        return dataclasses.astuple(self)[:5] == dataclasses.astuple(other)[:5]


def process(pid: int) -> Holder:
    """The holder for a process that runs now on this machine.  Raises ``OSError`` if there is none."""
    with open(f"{PROC}/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    return Holder(pid, _start(pid), boot_id, os.uname().nodename, _namespace(), user())


def this_run() -> Holder:
    """The main process of this run of Ansible, in a child of which this is called."""
    return process(playbook_process())


def user() -> str:
    """The name of who runs this process; its number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def is_stale(holder: Holder, here: Holder) -> bool | None:
    """Whether the process is gone for certain; ``None``: it cannot be seen from here."""
    if holder.boot_id != here.boot_id:
        return True if holder.node == here.node else None
    if holder.namespace != here.namespace:
        return None
    try:
        return _start(holder.pid) != holder.start
    except OSError:
        return True


def acquire(path: str, holder: Holder, what: str, force: bool = False) -> Holder | None:
    """Takes the lock file for ``holder``; returns the dead process that had it before, if there was one.

    ``what`` completes the sentence *Another run is at work on …*.  ``force`` takes a lock away whose holder cannot be
    seen from here.  Raises ``RebootlessError`` (``locked``, ``lock_unclear``).
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with _opened(path) as file:
        before = _read(file)
        if before is not None and not before.same_process(holder):
            _demand_stale(path, before, holder, what, force)
        file.seek(0)
        file.truncate()
        file.write(strict_json.exact(dataclasses.asdict(holder), sort_keys=True, indent=1).decode() + "\n")
        return before if before is not None and not before.same_process(holder) else None


def release(path: str, holder: Holder) -> None:
    """Gives the lock back; does nothing if another process has it now."""
    if not os.path.exists(path):
        return
    with _opened(path) as file:
        before = _read(file)
        if before is not None and before.same_process(holder):
            file.seek(0)
            file.truncate()  # not removed: another one may wait for this very file


def held_by(path: str, here: Holder) -> Holder | None:
    """Who has the lock now; ``None`` if no process has, as far as can be seen."""
    if not os.path.exists(path):
        return None
    with _opened(path) as file:
        before = _read(file)
    return None if before is None or is_stale(before, here) else before


def _demand_stale(path: str, before: Holder, holder: Holder, what: str, force: bool) -> None:
    stale = is_stale(before, holder)
    details = {"path": path, **dataclasses.asdict(before)}
    if stale is None and not force:
        raise RebootlessError(
            "lock_unclear",
            f"Process {before.pid} of {before.user} on {before.node} was at work on {what}, and whether it still is "
            "cannot be seen from here.",
            "Make sure that it has ended, then start again with -e rebootless_break_lock=true.",
            **details,
        )
    if stale is False:
        raise RebootlessError(
            "locked",
            f"Another run is at work on {what}: process {before.pid} of {before.user} on {before.node}.",
            "Wait until it has ended, or stop it; then start again. Rollouts of one update to different hosts at the "
            "same time need a rebootless_directory each.",
            **details,
        )


@contextlib.contextmanager
def _opened(path: str) -> t.Iterator[t.IO[str]]:
    """The file, locked against others who read or write it at this moment."""
    with locks.locked(path) as descriptor, open(descriptor, "r+", encoding="utf-8", closefd=False) as file:
        yield file


def _read(file: t.IO[str]) -> Holder | None:
    """The process that the file names; ``None`` where it is empty or was not written to its end."""
    try:
        holder = Holder(**strict_json.parse(file.read().encode()))
    except (ValueError, TypeError):
        return None
    *numbers, texts = holder.pid, holder.start, dataclasses.astuple(holder)[2:]
    sound = all(map(strict_json.is_whole, numbers)) and all(isinstance(text, str) for text in texts)
    return holder if sound else None


def _start(pid: int) -> int:
    return processes.process(pid, PROC).start


def _namespace() -> str:
    try:
        return os.readlink(f"{PROC}/self/ns/pid")
    except OSError:
        return ""
