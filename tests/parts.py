# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs targets of make one after the other, and says at the end how long each took: ``parts.py STEP...``.

A step is a target with its variables, ``test-fleet "FAULTS=-m quick"``.  In ``test-fleet + test-gates`` the second one
runs beside the first one, in the processor time that this leaves idle while it waits for emulated machines: deadlines
that are tested there come no closer.  What the second one prints is shown when the first one is over.  The next step
begins if all of this one passed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import typing as t

IDLE = 19  # the niceness of what runs beside
MAKE = (os.environ.get("MAKE", "make"), "--no-print-directory")


class Part:
    """A target that runs; ``beside`` another one, without a word until it is over."""

    def __init__(self, words: str, beside: bool = False) -> None:
        self._target = shlex.split(words)
        self.name = self._target[0]
        self._begun = time.monotonic()
        self._beside = beside
        command = [*(("nice", "-n", str(IDLE)) if beside else ()), *MAKE, *self._target]
        # A session of its own, so that all that it starts can be ended.
        streams: dict[str, t.Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if beside else {}
        self._process = subprocess.Popen(command, **streams, start_new_session=beside)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        self._output, _errors = self._process.communicate()
        self._seconds = time.monotonic() - self._begun

    def wait(self) -> bool:
        """Waits for its end, shows what it printed, and says whether it passed."""
        self._watcher.join()
        if self._beside:
            print(f"---- {self.name}, which ran beside", flush=True)
            sys.stdout.buffer.write(self._output)
        passed = self._process.returncode == 0
        self.result = f"{'passed' if passed else 'FAILED'} after {self._seconds:.0f} s"
        print(f"---- {self.name} {self.result}", flush=True)
        return passed

    def end(self) -> None:
        """Ends it early, if it runs beside."""
        if self._beside and self._watcher.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._watcher.join()


def run(step: str, begun: list[Part]) -> bool:
    """Whether all parts of a step passed; each is waited for, also if another one failed."""
    first, *others = step.split("+")
    parts = [*(Part(other, beside=True) for other in others), Part(first)]
    begun += reversed(parts)
    try:
        passed = [part.wait() for part in reversed(parts)]
        return all(passed)
    finally:
        for part in parts:
            part.end()


def main(steps: list[str]) -> int:
    begun: list[Part] = []
    passed = all(run(step, begun) for step in steps)
    print("\n".join(f"{part.name:20} {part.result}" for part in begun))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
