# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of ansible-playbook that can be killed as if its machine had lost power."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

BIN = pathlib.Path(sys.executable).parent
END_S = 1200.0  # no run of a test takes as long


def children(parent: int) -> list[int]:
    """All processes below one; Ansible's workers have sessions of their own, so no process group holds them."""
    below: dict[int, list[int]] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                below.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [parent]
    while queue:
        grown = below.get(queue.pop(), [])
        found += grown
        queue += grown
    return found


class Process:
    """A playbook that runs beside the test; its output goes to a file."""

    def __init__(self, arguments: list[str], log: pathlib.Path) -> None:
        self._log = log
        environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "true"}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [os.fspath(BIN / "ansible-playbook"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def is_over(self) -> bool:
        return self._process.poll() is not None

    def wait(self, timeout: float = END_S) -> int:
        """Waits for its end; returns the exit status."""
        return self._process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL to it and all that it started: nothing can tidy up."""
        if self.is_over():
            return
        for pid in [self._process.pid, *children(self._process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def until(self, condition, timeout: float = 600.0):
        """Waits until `condition` returns something true, and returns that; the run must not end before."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            assert not self.is_over(), f"it ended before:\n{self.output}"
            assert time.monotonic() < deadline, f"not within {timeout:g} s:\n{self.output}"
            time.sleep(0.1)
        return found
