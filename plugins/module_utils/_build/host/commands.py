# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the build host's tools, and telling how long each phase took."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.distribution.packages import HOST_PACKAGES
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# For modules built without debug information, of which BTF is made: headers that hold a vmlinux would have it made.
NO_BTF = "CONFIG_DEBUG_INFO_BTF_MODULES="
_TAIL = 40  # lines of a failed tool's output that go into the error

Say = Callable[[str], None]


class Phases:
    """Times named phases and tells ``say`` when each begins and ends.

    ``timings`` maps a phase's name to its seconds; a phase that runs twice counts both times.
    """

    def __init__(self, say: Say | None = None) -> None:
        self.timings: dict[str, float] = {}
        self._say = say or (lambda text: None)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times the block as phase ``name``, also when it fails."""
        self._say(f"{name}: begins")
        start = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - start
            self.timings[name] = round(self.timings.get(name, 0.0) + seconds, 3)
            self._say(f"{name}: took {seconds:.1f} s")

    def say(self, text: str) -> None:
        """Tells how far a phase has come."""
        self._say(text)

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return round(sum(self.timings.values()), 3)


def clean_environment(**extra: str) -> dict[str, str]:
    """An environment without anything that would change what Kbuild or a compiler does.

    Kbuild reads dozens of variables (``KCFLAGS``, ``ARCH``, ``LLVM``, ``MAKEFLAGS``, ...); a build that is exact
    must not depend on which of them an operator happens to have set.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", **extra}


def require_tools(*names: str) -> None:
    """Raises ``RebootlessError`` (``missing_tool``) that names every tool of ``names`` that is not on the PATH."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        packages = sorted({HOST_PACKAGES.tools.get(name, name) for name in missing})
        raise RebootlessError(
            "missing_tool",
            f"The build host lacks {', '.join(missing)}.",
            f"Install the packages {', '.join(packages)}.",
            tools=missing,
            packages=packages,
        )


def run(
    argv: Sequence[str | os.PathLike[str]],
    code: str,
    sentence: str,
    next_step: str = "",
    cwd: str | os.PathLike[str] | None = None,
    env: dict[str, str] | None = None,
    log: Path | None = None,
    errors: bool = False,
) -> str:
    """Runs ``argv`` and returns what it printed (standard output, and error if ``errors``).

    Standard output and error are appended to ``log`` if given.  A failure raises ``RebootlessError`` with ``code`` and
    ``sentence``, and in its details the command, its exit status and the end of its output.
    """
    words = [os.fspath(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=env or clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        require_tools(words[0])
        raise RebootlessError(code, f"{sentence} ({error})", next_step, command=words) from error
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as stream:
            stream.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}")
    if done.returncode != 0:
        raise failed(words, done.returncode, done.stdout + done.stderr, code, sentence, next_step)
    return done.stdout + (done.stderr if errors else "")


def run_unchecked(
    argv: Sequence[str], cwd: str | os.PathLike[str] | None = None, stderr: int = subprocess.STDOUT
) -> subprocess.CompletedProcess[bytes]:
    """Runs ``argv`` in a clean environment, for callers that judge a failure themselves; ``stderr`` is as for
    ``subprocess.run``."""
    return subprocess.run(
        list(argv),
        cwd=cwd,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        check=False,
    )


def failed(
    command: Sequence[str], status: int, output: str, code: str, sentence: str, next_step: str = "", **details: Any
) -> RebootlessError:
    """The error for a tool that failed, with the end of its ``output``, and the missing package if that shows in it."""
    headers = HOST_PACKAGES.headers.items()
    package = next((name for text, name in headers if text in output and "fatal error" in output), None)
    if package is not None:
        next_step = f"Install the package {package} on the build host."
    lines = output.strip().splitlines()
    return RebootlessError(
        code,
        sentence,
        next_step,
        command=list(command),
        status=status,
        output=lines[-_TAIL:],
        **details,
    )
