# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher: a process that stays on the host during the soak, and takes a bad update back at once.

It runs the health checks at their times after the apply, and looks at the kernel log all the time in between.  Its
clock is the time since boot, which cannot be set back.  It owns the host's record while it lives.  If it dies, the
record says less than a confirmation asks for, and the helper module's own deadline reverses the update.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import processes, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.health import health_log, runner
from ansible_collections.rebootless.splice.plugins.module_utils._target.health.checks import Subject, kernel_log
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout import records, scope
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.records import Records, since_boot

POLL_S = 5.0  # between looks at the update's state while the kernel logs nothing
GATHER_S = 0.1  # lines that come at once are looked at once
READY_S = 60.0  # for the watcher to have written itself into the record
PROCESS_NAME = b"rebootless-soak"  # 15 characters at most (PR_SET_NAME)
PR_SET_NAME = 15

GoBack = t.Callable[[t.Dict[str, t.Any]], None]


class Watch:
    """One soak.  ``go_back`` reverses the update and puts into the record's outcome how that went."""

    def __init__(self, records: Records, record: dict[str, t.Any], go_back: GoBack) -> None:
        self.records = records
        self.record = record
        self.go_back = go_back
        self.saved = True
        self.log = health_log.HealthLog(record["log_seen"])
        self.subject = subject(record, self.log)

    def register(self) -> None:
        """Writes this process into the record; raises ``RebootlessError``."""
        pid = os.getpid()
        self.record["watcher"] = {"pid": pid, "start": start_time(pid), "state": records.WATCHING}
        self.records.write(self.record)

    def run(self) -> None:
        """The whole soak."""
        applied_at = self.record["applied_at"]
        for at in records.missing_times(self.record):
            if not self._wait(applied_at + at):
                return
            results = runner.run(self.record["checks"], self.subject, "soak", at)
            if not self._good(results):
                return
        self.record["watcher"]["state"] = records.DONE
        self._save_at_last()

    def _wait(self, until: float) -> bool:
        """Looks at the kernel log and the update's state until then; False if the soak is over before."""
        (check,) = (check for check in self.record["checks"] if check["kind"] == "kernel_log")
        while True:
            left = until - since_boot()
            if left <= 0:
                return True
            if select.select([self.log], [], [], min(left, POLL_S))[0]:
                time.sleep(GATHER_S)
            sentence = kernel_log(check, self.subject)
            elapsed = int(since_boot() - self.record["applied_at"])
            if sentence and not self._good([runner.result(check, "watch", elapsed, sentence)]):
                return False
            # Taken back at its deadline, or by another task: ``confirm`` says why.
            if sysfs.state(self.subject.name) not in sysfs.LIVE:
                self.record["watcher"]["state"] = records.DONE
                self._save_at_last()
                return False
            if not self.saved:
                self._save()

    def _good(self, results: list[dict[str, t.Any]]) -> bool:
        self.record["results"] += results
        self.record["log_seen"] = self.log.seen
        if all(row["ok"] for row in results):
            self._save()
            return True
        # A record that cannot be written must not keep a bad update in the kernel.
        self.go_back(self.record)
        self.record["watcher"]["state"] = records.DONE
        self._save_at_last()
        return False

    def _save(self) -> None:
        try:
            self.records.write(self.record)
            self.saved = True
        except RebootlessError:  # a full disk may have room again later; nothing is confirmed without the record
            self.saved = False

    def _save_at_last(self) -> None:
        end = self.record["applied_at"] + self.record["deadline"]
        self._save()
        while not self.saved and since_boot() < end:
            time.sleep(POLL_S)
            self._save()


def subject(record: dict[str, t.Any], log: health_log.HealthLog) -> Subject:
    """What the checks of a record look after."""
    return Subject(record["name"], record["build_digest"], record["taint"], log)


def start(make: t.Callable[[], Watch]) -> None:
    """Leaves a watcher behind; returns when it has written itself into the record.

    It is a copy of this process, since on a host with a full disk there may be no other way to have its code.  Raises
    ``RebootlessError`` code ``watcher_failed``, or what hindered it.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing of the module that left it behind may run in it: no clean-up, no output.
        try:
            if os.fork() == 0:
                _watch(make, writer)
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    try:
        ready, _writable, _exceptional = select.select([reader], [], [], READY_S)
        answer = os.read(reader, 65536) if ready else b""
    finally:
        os.close(reader)
    if answer == b"ready":
        return
    hindrance = strict_json.parse(answer) if answer else None
    if hindrance:
        raise RebootlessError(
            hindrance["code"], hindrance["sentence"], hindrance["next_step"], **hindrance.get("details", {})
        )
    raise RebootlessError(
        "watcher_failed",
        "The process that would have watched over the update during the soak could not be started.",
        "Look at the host's memory and its limits of processes, then try again.",
    )


def _watch(make: t.Callable[[], Watch], writer: int) -> None:
    try:
        _detach(writer)
        watch = make()
        watch.register()
    except RebootlessError as error:
        os.write(writer, strict_json.write(error.result()))
        return
    os.write(writer, b"ready")
    os.close(writer)
    _leave_session(watch.subject.name)
    try:
        watch.run()
    except Exception as error:  # pylint: disable=broad-except  # the record shows it
        watch.record["watcher"]["error"] = repr(error)
        watch.records.write(watch.record)


def _detach(keep: int) -> None:
    """Leaves the terminal, the session and the open files of the parent: ssh waits until no process holds its pipes."""
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    limit = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, keep)
    os.closerange(keep + 1, limit if 0 < limit < 65536 else 65536)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with contextlib.suppress(Exception):
        ctypes.CDLL(None).prctl(PR_SET_NAME, PROCESS_NAME, 0, 0, 0)


def _leave_session(name: str) -> None:
    """Where systemd runs, has this process outlive the session or service that started it."""
    with contextlib.suppress(OSError):
        scope.enter(f"rebootless-soak-{name}-{os.getpid()}.scope")


def alive(record: dict[str, t.Any]) -> bool:
    """Whether the watcher of a record still runs; a process that has its number now is not it."""
    watcher = record.get("watcher")
    if not watcher or watcher["pid"] <= 1 or record["boot_id"] != facts.boot_id():
        return False
    return 0 < watcher["start"] == start_time(watcher["pid"])


def stop(record: dict[str, t.Any]) -> None:
    """Kills the watcher, if it runs, so that this process can write its record.

    Raises ``RebootlessError`` code ``watcher_hangs`` if it cannot be killed, since it hangs in the kernel.
    """
    end = time.monotonic() + 10
    while alive(record) and time.monotonic() < end:
        with contextlib.suppress(ProcessLookupError):
            os.kill(record["watcher"]["pid"], signal.SIGKILL)
        time.sleep(0.01)
    if alive(record):
        raise RebootlessError(
            "watcher_hangs",
            "The watcher on the host hangs in the kernel, and cannot be killed.",
            "Look at the host's disks and its kernel log; the update reverses itself at its deadline.",
            pid=record["watcher"]["pid"],
        )


def start_time(pid: int) -> int:
    """When a process was started, in ticks since boot; 0 if there is none, or it has ended."""
    try:
        found = processes.process(pid)
    except OSError:
        return 0
    return 0 if found.state in ("Z", "X") else found.start
