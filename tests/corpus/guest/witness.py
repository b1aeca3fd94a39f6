# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A script that has objects which were there before an update, and says what becomes of them.

It is started before the update is applied, and says ``ready`` when it has its objects.  Then it reads lines,
``applied`` and ``reversed``, and answers each with a line of what it saw, which begins with ``not`` if something is not
as it should be.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
import typing as t

from ansible_collections.rebootless.splice.tests.corpus.guest.failure import Failure

TIMEOUT = 180  # seconds


class Witness:
    """The running script; ``words`` are its answers."""

    def __init__(self, script: str) -> None:
        self.words: list[str] = []
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, stderr=pipe)
        word = self._answer()
        if word != "ready":
            raise Failure("witness_failed", f"The witness is not ready: {word}")

    def tell(self, event: str) -> None:
        """Tells the script of an event, and hears it."""
        stream = t.cast(t.IO[bytes], self._process.stdin)
        try:
            stream.write(event.encode() + b"\n")
            stream.flush()
        except BrokenPipeError:
            raise Failure("witness_failed", f"The witness ended: {self._errors()}") from None
        word = self._answer()
        self.words.append(f"{event}: {word}")
        if word.startswith("not"):
            raise Failure("witness_failed", f"The witness saw, when the update was {event}: {word}")

    def end(self) -> None:
        """Ends the script."""
        with contextlib.suppress(OSError):
            t.cast(t.IO[bytes], self._process.stdin).close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self) -> str:
        stream = t.cast(t.IO[bytes], self._process.stdout)
        line = b""
        end = time.monotonic() + TIMEOUT
        while not line.endswith(b"\n"):
            ready = select.select([stream], [], [], max(0.0, end - time.monotonic()))[0]
            part = os.read(stream.fileno(), 1) if ready else b""
            if not part:
                why = self._errors() if ready else f"no answer within {TIMEOUT} seconds"
                raise Failure("witness_failed", f"The witness failed: {why}")
            line += part
        return line.decode(errors="replace").strip()

    def _errors(self) -> str:
        self._process.wait(10)
        text = t.cast(t.IO[bytes], self._process.stderr).read().decode(errors="replace")
        return f"status {self._process.returncode}, {text[-400:]}"
