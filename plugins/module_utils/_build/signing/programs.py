# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running openssl and signing commands: nothing that they ask is answered, and no secret is on a command line.

A key with a passphrase makes openssl open /dev/tty and wait, for ever where no operator sits.  So programs run in a
session of their own, which has no terminal, with an empty standard input; secrets are in files in memory, which they
are given open.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import selectors
import signal
import subprocess
import time
import typing as t
from typing import Iterator, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import require_tools
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

MAX_OUTPUT = 1 << 20  # bytes, of each stream


@dataclasses.dataclass(frozen=True)
class Ran:
    """How a program ended: its exit ``status``, what it wrote to standard ``output`` and ``errors``."""

    status: int
    output: bytes
    errors: str


def openssl(*words: str, secrets: Sequence[int] = (), timeout: float = 60.0) -> Ran:
    """Runs openssl with its own messages in English; ``secrets`` are descriptors of :func:`secret` that it reads.

    Raises ``RebootlessError``: ``missing_tool``, ``signing_timeout``.
    """
    require_tools("openssl")
    return run(["openssl", *words], secrets, timeout)


def run(argv: Sequence[str], secrets: Sequence[int], timeout: float) -> Ran:
    """Runs ``argv`` for at most ``timeout`` seconds, then ends it with everything that it started.

    It has this process's environment, since HSMs and signing services are configured there.  Raises
    ``RebootlessError``: ``signing_command_missing``, ``signing_timeout``, ``signing_output_too_long``.
    """
    with _started(argv, secrets) as process:
        try:
            output, errors = _collect(process, time.monotonic() + timeout)
        except TimeoutError as error:
            raise RebootlessError(
                "signing_timeout",
                f"{os.path.basename(argv[0])} did not sign within {timeout:g} seconds.",
                "Look whether it waits for something, such as a touch of a token or a network; or give it more time.",
                program=argv[0],
                timeout=timeout,
            ) from error
        except OverflowError as error:
            raise RebootlessError(
                "signing_output_too_long",
                f"{os.path.basename(argv[0])} printed more than {MAX_OUTPUT} bytes, and a signature has a few hundred.",
                "Run it by hand on the build host, with a file, and have it print the signature alone.",
                program=argv[0],
            ) from error
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # what is left of its session
                os.killpg(process.pid, signal.SIGKILL)
    return Ran(process.returncode, output, errors.decode("utf-8", "replace"))


def _started(argv: Sequence[str], secrets: Sequence[int]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(secrets),
            start_new_session=True,  # without a terminal: a prompt fails at once
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except OSError as error:
        raise RebootlessError(
            "signing_command_missing",
            f"The program {argv[0]} cannot be run: {error.strerror}.",
            "Give the path of a program that this user can run on the build host.",
            program=argv[0],
        ) from error


def _collect(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes]:
    """What a process prints until it has ended: a command that prints without end must not fill the memory.

    Raises ``TimeoutError`` and ``OverflowError``.
    """
    streams = (process.stdout, process.stderr)
    printed = dict.fromkeys(streams, b"")
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(t.cast(t.IO[bytes], stream), selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _events in ready:
                part = os.read(key.fd, 65536)
                if not part:
                    selector.unregister(key.fileobj)
                printed[t.cast(t.IO[bytes], key.fileobj)] += part
            if max(map(len, printed.values())) > MAX_OUTPUT:
                raise OverflowError
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    return printed[process.stdout], printed[process.stderr]


@contextlib.contextmanager
def secret(text: str, line: bool = False) -> Iterator[int]:
    """A descriptor of a file in memory with ``text``, as a ``line`` if asked for, for a program that is run with it.

    A program can open it as often as it likes, as /dev/fd/NUMBER.  Raises ``RebootlessError``: ``bad_secret``.
    """
    if "\n" in text or "\0" in text:
        raise RebootlessError(
            "bad_secret",
            "A passphrase or PIN has a line break in it.",
            "Give the passphrase itself; a lookup of a file may have kept the line break at its end.",
        )
    descriptor = os.memfd_create("secret")
    try:
        os.write(descriptor, f"{text}\n".encode() if line else text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
