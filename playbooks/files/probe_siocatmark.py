# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a datagram socket for its out-of-band mark, which only stream sockets have (CVE-2026-52928).

A kernel with the fix refuses; one without it looks through a queue that means something else, and answers.  Prints
``vulnerable`` or ``fixed``.  Harmless: the queue is empty.
"""

from __future__ import annotations

import array
import errno
import fcntl
import socket

SIOCATMARK = 0x8905

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
    try:
        fcntl.ioctl(datagrams, SIOCATMARK, array.array("i", [0]), True)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        print("fixed")
    else:
        print("vulnerable")
