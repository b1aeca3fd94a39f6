# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes cpio archives in the "newc" format, which the kernel unpacks as its initial root.

The format is Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.  It is written here, since
archives must not carry the owners of the build host's files.
"""

from __future__ import annotations

import stat

MAGIC = b"070701"
TRAILER = "TRAILER!!!"


class CpioArchive:
    """An archive in memory; every entry belongs to root and has no time, so equal input gives equal bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0
        self._directories: set[str] = set()

    def directory(self, path: str, mode: int = 0o755) -> None:
        """Adds a directory (and its parents, with mode 755) unless it is there."""
        parent = path.rpartition("/")[0]
        if parent:
            self.directory(parent)
        if path not in self._directories:
            self._directories.add(path)
            self._entry(path, stat.S_IFDIR | mode, b"")

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Adds a regular file and the directories above it."""
        parent = path.rpartition("/")[0]
        if parent:
            self.directory(parent)
        self._entry(path, stat.S_IFREG | mode, content)

    def serialize(self) -> bytes:
        """The archive, ended, in whole words of four bytes (so that archives can follow each other in one image)."""
        parts = [*self._parts, _entry(TRAILER, 0, 0, b"")]
        return b"".join(parts)

    def _entry(self, path: str, mode: int, content: bytes) -> None:
        self._inode += 1
        self._parts.append(_entry(path, self._inode, mode, content))


def _entry(path: str, inode: int, mode: int, content: bytes) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    # inode, mode, uid, gid, links, mtime, size, device (major, minor), rdev (major, minor), name size, check
    fields = (inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = MAGIC + b"".join(b"%08X" % field for field in fields) + name
    return _padded(header) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
