# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that sleep in accept(), as many as asked; prints ``ready``, and of each what accept() returned in the end.

That is ``mark 77`` with the mark of the new socket, or ``errno 4``: the C library's own accept(), which hides nothing.
Then connects to all of them as soon as a line is read, and prints ``done``.
"""

import ctypes
import os
import socket
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind("\0accept_in_threads")
listener.listen(1)


def tell(line):
    os.write(1, f"{line}\n".encode())  # in one piece, between what the other threads print


def accept():
    descriptor = libc.accept(listener.fileno(), None, None)
    if descriptor < 0:
        tell(f"errno {ctypes.get_errno()}")
    else:
        with socket.socket(fileno=descriptor) as accepted:
            tell(f"mark {accepted.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)}")


def is_asleep(thread):
    with open(f"/proc/self/task/{thread.native_id}/syscall", encoding="ascii") as stream:
        return stream.read().startswith("43 ")  # accept


threads = [threading.Thread(target=accept) for number in range(int(sys.argv[1]))]
for thread in threads:
    thread.start()
while not all(is_asleep(thread) for thread in threads):
    time.sleep(0.05)
tell("ready")
sys.stdin.readline()
for _thread in threads:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0accept_in_threads")
for thread in threads:
    thread.join()
tell("done")
os._exit(0)
