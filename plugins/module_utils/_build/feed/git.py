# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Git as the feed needs it: nothing is asked at a terminal, all that hangs has an end.

The operator's own configuration counts: proxies, credentials, whose repositories are safe to read.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import (
    clean_environment,
    failed,
    require_tools,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# How a build host reaches other hosts is told in these.
NETWORK: tuple[str, ...] = (
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSH_AUTH_SOCK",
)
NETWORK += ("GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR")
# A server that sends nothing for a minute has gone away.
OPTIONS = ("gc.autoDetach=false", "http.lowSpeedLimit=1", "http.lowSpeedTime=60", "core.quotePath=false")
BATCH = 2000  # objects that are held in memory at once
ROOM = 64 * 1024  # bytes, without which nothing can be fetched
FULL = "No space left on device"


class Done(NamedTuple):
    status: int
    output: bytes
    errors: str


class Repository:
    """A bare repository at ``path``, which only this process uses."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def try_(self, *words: str, given: bytes = b"", timeout: float | None = None, **environment: str) -> Done:
        """Runs git, and leaves it to the caller what a failure means.  Raises ``RebootlessError`` (``missing_tool``).

        After ``timeout`` seconds git and all that it started is ended, with the status -9.
        """
        require_tools("git")
        kept = {name: os.environ[name] for name in NETWORK if name in os.environ}
        settings = [word for option in OPTIONS for word in ("-c", option)]
        process = subprocess.Popen(
            ["git", *settings, *words],
            cwd=self.path,
            env=clean_environment(**kept, GIT_TERMINAL_PROMPT="0", **environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(given, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            errors += f"\nIt took longer than {timeout} s.".encode()
        return Done(process.returncode, output, errors.decode(errors="replace"))

    def run(self, *words: str, given: bytes = b"") -> bytes:
        """What git prints.  Raises ``RebootlessError``: ``disk_full``, ``mirror_damaged``."""
        done = self.try_(*words, given=given)
        if done.status != 0:
            raise self.damaged(words, done)
        return done.output

    def damaged(self, words: Sequence[str], done: Done) -> RebootlessError:
        """The refusal for a command that cannot fail on a sound repository."""
        if self.is_full(done):
            return self.full(words, done)
        return failed(
            ["git", *words],
            done.status,
            done.errors,
            "mirror_damaged",
            f"The mirror {self.path} is damaged.",
            "Remove it; the next run fetches it anew. Look for a full or failing disk.",
        )

    def is_full(self, done: Done) -> bool:
        """Whether a command failed for want of space; not all of git's messages say so."""
        there = os.statvfs(self.path)
        return FULL in done.errors or there.f_bavail * there.f_frsize < ROOM

    def full(self, words: Sequence[str], done: Done) -> RebootlessError:
        return failed(
            ["git", *words],
            done.status,
            done.errors,
            "disk_full",
            f"The disk that {self.path} is on is full.",
            "Free space there, then try again.",
        )

    def commit(self, name: str) -> str:
        """The commit that a name stands for, peeled; empty if there is no such name."""
        done = self.try_("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return done.output.decode().strip() if done.status == 0 else ""

    def is_shallow(self) -> bool:
        """Whether a part of the history is not there.  Raises ``RebootlessError`` (``mirror_damaged``)."""
        return self.run("rev-parse", "--is-shallow-repository").strip() == b"true"

    def contents(self, objects: Sequence[str]) -> Iterator[bytes]:
        """The contents of blobs, in their order.  Raises ``RebootlessError`` (``mirror_damaged``)."""
        for start in range(0, len(objects), BATCH):
            names = objects[start : start + BATCH]
            answer = self.run("cat-file", "--batch", given="".join(f"{name}\n" for name in names).encode())
            at = 0
            for name in names:
                end = answer.find(b"\n", at)
                words = answer[at:end].split()
                if end < 0 or len(words) != 3 or not words[2].isdigit():
                    raise self.damaged(("cat-file", name), Done(0, b"", f"{name} is missing"))
                size = int(words[2])
                yield answer[end + 1 : end + 1 + size]
                at = end + 1 + size + 1
