# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits at the gate of `between.ko`; then itself, a thread or a child goes to sleep in eventfd_read(), for ever.

``thread_exec`` is a thread that takes its process's place by exec().  All run on the second processor.
"""

import ctypes
import os
import sys
import threading

PR_SET_NAME = 15
INSIDE = "import ctypes, os; ctypes.CDLL(None).prctl(15, b'inside', 0, 0, 0); os.read(os.eventfd(0), 8)"
empty = os.eventfd(0)


def enter() -> None:
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"inside", 0, 0, 0)
    os.read(empty, 8)


def replace() -> None:
    os.execv(sys.executable, [sys.executable, "-c", INSIDE])


def main(who: str) -> None:
    os.sched_setaffinity(0, {1})
    gate = os.open("/dev/between", os.O_RDONLY)
    print(1, flush=True)
    os.read(gate, 1)
    if who == "itself":
        enter()
    elif who in ("thread", "thread_exec"):
        threading.Thread(target=enter if who == "thread" else replace).start()
        threading.Event().wait()
    elif os.fork() == 0:
        enter()
    else:
        os.wait()


main(sys.argv[1])
