# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the health checks of a host, each within its time."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._target.health.checks import RUN, Subject

KILL_WAIT_S = 2.0  # for a process that was killed to be gone; one that hangs in the kernel never is
MAX_ANSWER = 4096  # bytes
PR_SET_PDEATHSIG = 1


def run(checks: list[dict], subject: Subject, moment: str, at: int) -> list[dict[str, t.Any]]:
    """One result for each check of the target: ``name``, ``kind``, ``moment``, ``at`` (seconds after the apply),
    ``ok``, ``seconds`` that it took, ``tries``, ``sentence`` (what is wrong, or "")."""
    return [_run(check, subject, moment, at) for check in checks if check["kind"] in RUN]


def _run(check: dict, subject: Subject, moment: str, at: int) -> dict[str, t.Any]:
    function, apart = RUN[check["kind"]]
    start = time.monotonic()
    tries = 0
    while True:
        tries += 1
        sentence = _apart(function, check, subject) if apart else function(check, subject)
        if not sentence or tries > check.get("retries", 0):
            break
        time.sleep(check["delay"])
    return result(check, moment, at, sentence, seconds=round(time.monotonic() - start, 3), tries=tries)


def result(check: dict, moment: str, at: int, sentence: str, seconds: float = 0.0, tries: int = 1) -> dict[str, t.Any]:
    return {
        "name": check["name"],
        "kind": check["kind"],
        "moment": moment,
        "at": at,
        "ok": not sentence,
        "seconds": seconds,
        "tries": tries,
        "sentence": sentence,
    }


def _apart(function: t.Callable[[dict, Subject], str], check: dict, subject: Subject) -> str:
    """Runs a check in a process of its own, which is killed with all that it started when its time is over."""
    reader, writer = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        answer = "The check itself failed."
        try:
            os.setsid()
            os.close(reader)
            _die_with(parent)
            answer = function(check, subject)
        except BaseException as error:  # pylint: disable=broad-except
            answer = f"The check itself failed: {error!r}."
        finally:
            os.write(writer, answer.encode("utf-8", "replace")[:MAX_ANSWER] + b"\0")
            os._exit(0)
    os.close(writer)
    try:
        text = _answer(reader, check["timeout"])
    finally:
        os.close(reader)
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
        _reap(child)
    return text


def _die_with(parent: int) -> None:
    """Has this process, and all that it starts, killed when its parent is gone, however that ends.

    ``SIGKILL`` right away would leave what it has started behind.
    """
    signal.signal(signal.SIGTERM, _end)
    with contextlib.suppress(Exception):  # a C library without prctl(2): a check may outlive its parent
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        _end()


def _end(*_unused: t.Any) -> None:
    os.killpg(0, signal.SIGKILL)


def _answer(reader: int, timeout: float) -> str:
    end, data = time.monotonic() + timeout, b""
    while not data.endswith(b"\0"):
        ready, _writable, _exceptional = select.select([reader], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return f"The check did not end within {timeout:g} s."
        piece = os.read(reader, MAX_ANSWER + 1)
        if not piece:
            return "The check was killed."
        data += piece
    return data[:-1].decode("utf-8", "replace")


def _reap(child: int) -> None:
    end = time.monotonic() + KILL_WAIT_S
    while time.monotonic() < end:
        try:
            if os.waitpid(child, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return
        time.sleep(0.005)
