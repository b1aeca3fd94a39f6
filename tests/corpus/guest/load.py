# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A short load: files, memory, processes, sockets, namespaces, as many system calls as there are without a device.

``run(seconds)`` repeats all of ``WORKS`` in two processes, one from the first on and one from the last on, until the
time is over and each work was done.  What a kernel does not have is passed over; what fails shows in the counts.
"""

from __future__ import annotations

import array
import collections
import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import typing

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x40000000
SYS_MINCORE, SYS_BPF = 27, 321  # x86-64
LIBC = ctypes.CDLL(None, use_errno=True)
READ_FILES = (
    "/proc/self/maps",
    "/proc/self/smaps_rollup",
    "/proc/self/mountinfo",
    "/proc/self/stat",
    "/proc/meminfo",
    "/proc/vmstat",
    "/proc/buddyinfo",
    "/proc/slabinfo",
    "/proc/interrupts",
    "/proc/net/tcp",
    "/proc/net/unix",
    "/proc/net/packet",
    "/proc/net/igmp",
    "/proc/net/route",
    "/proc/net/ipv6_route",
    "/proc/net/fib_trie",
    "/proc/net/snmp",
    "/proc/net/netstat",
    "/proc/net/sockstat",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/proc/sys/vm/overcommit_memory",
)


def files() -> None:
    """Create, write, map, rename, link, lock, list and remove, on the disk and in memory."""
    for base in ("/var/tmp", "/dev/shm"):
        with tempfile.TemporaryDirectory(dir=base) as directory:
            path = os.path.join(directory, "file")
            with open(path, "w+b") as file:
                file.write(os.urandom(70000))
                file.flush()
                os.fsync(file.fileno())
                fcntl.flock(file, fcntl.LOCK_EX)
                fcntl.lockf(file, fcntl.LOCK_EX, 10)
                os.posix_fallocate(file.fileno(), 0, 200000)
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                with mmap.mmap(file.fileno(), 65536) as mapped:
                    mapped[4096:4100] = b"word"
                    mapped.flush()
                os.ftruncate(file.fileno(), 1234)
            other = os.path.join(directory, "other")
            os.link(path, other)
            os.symlink("other", os.path.join(directory, "link"))
            os.rename(path, os.path.join(directory, "renamed"))
            with contextlib.suppress(OSError):  # not every file system has attributes
                os.setxattr(other, "user.load", b"value")
                os.getxattr(other, "user.load")
            source, target = os.open(other, os.O_RDONLY), os.open(path, os.O_WRONLY | os.O_CREAT)
            with contextlib.suppress(OSError):
                os.copy_file_range(source, target, 500)
            os.sendfile(target, source, 0, 500)
            os.close(source)
            os.close(target)
            os.utime(other)
            os.chmod(other, 0o600)
            for entry in os.scandir(directory):
                entry.stat()
    for name in READ_FILES:
        with contextlib.suppress(OSError):
            pathlib.Path(name).read_bytes()


def memory() -> None:
    """Map, touch, advise, protect and ask for residency."""
    size = 4 << 20
    with mmap.mmap(-1, size) as area:
        for advice in (mmap.MADV_HUGEPAGE, mmap.MADV_WILLNEED, mmap.MADV_DONTNEED, mmap.MADV_NOHUGEPAGE):
            area[:: mmap.PAGESIZE] = b"x" * (size // mmap.PAGESIZE)
            with contextlib.suppress(OSError):
                area.madvise(advice)
        area.resize(size // 2)
    with open("/usr/bin/python3", "rb") as file, mmap.mmap(file.fileno(), 65536, prot=mmap.PROT_READ) as mapped:
        view = (ctypes.c_ubyte * 64)()
        mapped.madvise(mmap.MADV_WILLNEED)
        LIBC.syscall(SYS_MINCORE, ctypes.c_void_p(0), ctypes.c_size_t(0), view)
        hash(mapped[:])


def processes() -> None:
    """Fork, execute, signal, threads, pipes, waiting in every way."""
    subprocess.run(["/bin/true"], check=True)
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    os.kill(child, signal.SIGSTOP)
    os.kill(child, signal.SIGCONT)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    reader, writer = os.pipe()
    poller = select.epoll()
    poller.register(reader, select.EPOLLIN)
    threads = [threading.Thread(target=os.write, args=(writer, b"x" * 100)) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    poller.poll(0.1)
    os.read(reader, 1000)
    poller.close()
    os.close(reader)
    os.close(writer)
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    os.sched_yield()
    time.sleep(0.001)


def unix_sockets() -> None:
    """Streams, datagrams and packets, with descriptors on their way, also to itself."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        left, right = socket.socketpair(socket.AF_UNIX, kind)
        with left, right:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [left.fileno()]))]
            left.sendmsg([b"message"], rights)
            right.recvmsg(100, 0)
            left.sendmsg([b"message"], rights)
            right.recvmsg(100, 100, socket.MSG_PEEK)
            # What is still in a queue when its socket goes is for the garbage collector.


def internet_sockets() -> None:
    """TCP and UDP over the loopback, in fragments too, with multicast, errors and raw sockets."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as server, socket.socket(family) as client:
            server.bind((address, 0))
            server.listen()
            client.connect(server.getsockname())
            accepted, _peer = server.accept()
            with accepted:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.sendall(b"x" * 30000)
                accepted.recv(30000)
        with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
            server.bind((address, 0))
            server.settimeout(0.2)
            client.sendto(b"x" * 60000, server.getsockname())
            with contextlib.suppress(OSError):
                server.recv(65536)
            with contextlib.suppress(OSError):  # no socket listens there: ICMP
                client.connect((address, 9))
                client.send(b"x")
                client.recv(10)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as member, contextlib.suppress(OSError):
        group = socket.inet_aton("239.1.2.3") + socket.inet_aton("127.0.0.1")
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        member.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, group)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as packet:
        packet.bind(("lo", 0))
    for kind in (18, 22, 26):  # RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
            netlink.settimeout(1)
            netlink.send(struct.pack("<IHHIIB3x", 20, kind, 0x301, 1, 0, 0))
            netlink.recv(65536)


def namespaces() -> None:
    """A child in namespaces of its own: every network module sets up and tears down its part of one."""
    child = os.fork()
    if child == 0:
        try:
            LIBC.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET)
            subprocess.run(["ip", "link", "set", "lo", "up"], check=False, capture_output=True)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def maps() -> None:
    """A BPF map and a socket filter."""
    attributes = ctypes.create_string_buffer(struct.pack("<IIII", 1, 4, 8, 16), 72)  # BPF_MAP_TYPE_HASH
    descriptor = LIBC.syscall(SYS_BPF, 0, attributes, len(attributes))
    if descriptor >= 0:
        os.close(descriptor)
    program = struct.pack("<HBBI", 6, 0, 0, 0xFFFF)  # return 65535
    buffer = ctypes.create_string_buffer(program)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as filtered, contextlib.suppress(OSError):
        filter_program = struct.pack("<HxxxxxxQ", 1, ctypes.addressof(buffer))
        filtered.setsockopt(socket.SOL_SOCKET, 26, filter_program)  # SO_ATTACH_FILTER


WORKS = (files, memory, processes, unix_sockets, internet_sockets, namespaces, maps)


def run(seconds: float) -> dict[str, int]:
    """How often each work was done, and failed, in two processes together."""
    children = []
    for works in (WORKS, WORKS[::-1]):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            os.write(writer, json.dumps(_work(works, seconds)).encode())
            os._exit(0)
        os.close(writer)
        children.append((child, reader))
    total: collections.Counter[str] = collections.Counter()
    for child, reader in children:
        text = b""
        while part := os.read(reader, 65536):
            text += part
        os.close(reader)
        os.waitpid(child, 0)
        total.update(json.loads(text) if text else {"processes that died": 1})
    return dict(total)


def _work(works: tuple[typing.Callable[[], None], ...], seconds: float) -> dict[str, int]:
    counts: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + seconds
    done = 0
    while True:
        for work in works:
            try:
                work()
                counts[work.__name__] += 1
            except Exception as error:
                counts[f"{work.__name__}: {type(error).__name__}: {error}"] += 1
            done += 1
            if done > len(works) // 2 and time.monotonic() > end:  # the other process did the other half
                return dict(counts)


def main(seconds: str) -> int:
    print(json.dumps(run(float(seconds))))
    return 0
