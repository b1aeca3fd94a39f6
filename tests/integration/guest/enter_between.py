# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits at the gate of `between.ko`; then itself, a thread or a child goes to sleep in eventfd_read(), for ever.

``thread_exec`` is a thread that takes its process's place by exec(); ``switches`` hands a byte to and fro with a child
before.  All run on the second processor.
"""

import ctypes
import os
import sys
import threading

PR_SET_NAME = 15
TURNS = 1200
INSIDE = "/root/inside"  # names the process, too; an interpreter would begin too slowly for a machine that is held up
empty = os.eventfd(0)


def enter() -> None:
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"inside", 0, 0, 0)
    os.read(empty, 8)


def switch() -> None:
    """Both are switched away from as often."""
    here, there = os.pipe(), os.pipe()
    child = os.fork() == 0
    reader, writer = (here[0], there[1]) if child else (there[0], here[1])
    for _turn in range(TURNS):
        if not child:
            os.write(writer, b"1")
        os.read(reader, 1)
        if child:
            os.write(writer, b"1")
    if child:
        os._exit(0)


def replace() -> None:
    os.dup2(empty, 0)
    os.execv(INSIDE, [INSIDE])


def main(who: str) -> None:
    os.sched_setaffinity(0, {1})
    if not os.path.exists(INSIDE):
        os.symlink("/usr/bin/cat", INSIDE)
    gate = os.open("/dev/between", os.O_RDONLY)
    print(1, flush=True)
    os.read(gate, 1)
    if who == "switches":
        switch()
    if who in ("itself", "switches"):
        enter()
    elif who in ("thread", "thread_exec"):
        threading.Thread(target=enter if who == "thread" else replace).start()
        threading.Event().wait()
    elif os.fork() == 0:
        enter()
    else:
        os.wait()


main(sys.argv[1])
