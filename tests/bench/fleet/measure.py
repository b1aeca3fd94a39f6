# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command and all that it starts cost: processor time, memory, wall time."""

from __future__ import annotations

import ctypes
import os
import pathlib
import subprocess
import time
import typing as t

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
POLL_S = 0.05
SAMPLE_S = 2.0
LINGER_S = 120.0  # how long to wait for processes that outlive the command


class Cost(t.NamedTuple):
    """``cpu`` are seconds of all processes (resource usage, as wait4(2) has it), ``lingering`` those of them of
    processes that the command left behind; ``wall`` seconds until the command ended; memory in bytes: the most that the
    first process had resident, and the most that all had together (proportional set size, sampled)."""

    cpu: float
    lingering: float
    wall: float
    main_memory: int
    all_memory: int
    status: int


def run(command: list[str], environment: dict[str, str], output: pathlib.Path) -> Cost:
    """Runs a command, and waits for what it leaves behind; its output goes to a file."""
    # Orphans become our children, so that their resources count too.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    begin = time.monotonic()
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
        )
    cpu = lingering = wall = 0.0
    main_memory = all_memory = status = 0
    sampled = 0.0
    ended: float | None = None
    while True:
        now = time.monotonic()
        if ended is None and now - sampled > SAMPLE_S:
            sampled = now
            all_memory = max(all_memory, sum(map(proportional, tree(process.pid))))
        try:
            pid, code, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            if ended is not None and now - ended > LINGER_S:
                break
            time.sleep(POLL_S)
            continue
        used = usage.ru_utime + usage.ru_stime
        cpu += used
        if pid == process.pid:
            ended, wall, status = now, now - begin, os.waitstatus_to_exitcode(code)
            main_memory = usage.ru_maxrss * 1024  # of the largest of the process and those that it waited for
            process.returncode = status
        else:
            lingering += used
    return Cost(cpu, lingering, wall, main_memory, all_memory, status)


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                parent = int(pathlib.Path(entry.path, "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def proportional(pid: int) -> int:
    """Proportional set size of a process in bytes; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as stream:
            return next((int(line.split()[1]) * 1024 for line in stream if line.startswith("Pss:")), 0)
    except OSError:
        return 0
