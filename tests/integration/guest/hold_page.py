# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves a FUSE file system whose one file is never read to the end; a child gives a page of it to an ioctl.

The child then sleeps inside of the kernel's function, and cannot be killed while this server lives.  Prints ``held``.
The messages are those of ``linux/fuse.h``.
"""

import ctypes
import mmap
import os
import socket
import struct
import tempfile

SIOCINQ = 0x541B
LOOKUP, FORGET, GETATTR, OPEN, READ, INIT, OPENDIR = 1, 2, 3, 14, 15, 26, 27
ENOSYS = 38
libc = ctypes.CDLL(None, use_errno=True)


def attributes(inode, mode):
    return struct.pack("<6Q10I", inode, 4096, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def client(directory):
    descriptor = os.open(f"{directory}/file", os.O_RDWR)
    page = mmap.mmap(descriptor, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    with socket.socket(socket.AF_UNIX) as sock:
        libc.ioctl(sock.fileno(), SIOCINQ, ctypes.c_void_p(address))


def answer(operation, node):
    if operation == INIT:
        return struct.pack("<IIIIHHIIHHIIIIIIIII", 7, 31, 65536, 0, 12, 10, 131072, 1, 1, *[0] * 10)[:64].ljust(
            64, b"\0"
        )
    if operation == LOOKUP:
        return struct.pack("<QQQQII", 2, 0, 10, 10, 0, 0) + attributes(2, 0o100666)
    if operation == GETATTR:
        return struct.pack("<QII", 10, 0, 0) + (attributes(1, 0o40777) if node == 1 else attributes(2, 0o100666))
    return struct.pack("<QII", 1, 0, 0) if operation in (OPEN, OPENDIR) else None


def main():
    directory = tempfile.mkdtemp()
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"hold", directory.encode(), b"fuse", 0, options):
        raise SystemExit(os.strerror(ctypes.get_errno()))
    if os.fork() == 0:
        os.close(device)  # so that the file system ends with its server
        client(directory)
        os._exit(0)
    while True:
        _length, operation, number, node = struct.unpack_from("<IIQQ", os.read(device, 1 << 20))
        if operation == READ:
            print("held", flush=True)
        elif operation != FORGET:
            body = answer(operation, node)
            os.write(device, struct.pack("<IiQ", 16 + len(body or b""), 0 if body else -ENOSYS, number) + (body or b""))


main()
