# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that survive a crash: after it, one holds its old content or its new one, never half of it.  Private to
rebootless.splice."""

from __future__ import annotations

import contextlib
import errno
import os

FULL = (errno.ENOSPC, errno.EDQUOT)


def replace(path: str, content: bytes, mode: int = 0o600) -> None:
    """Writes the file beside its place, has it on the disk, and puts it there in one step.  Raises ``OSError``.

    Missing directories are made, readable for their owner only.
    """
    stage(path, content, mode)
    try:
        place(path)
    except OSError:
        unstage(path)
        raise


def stage(path: str, content: bytes, mode: int = 0o600) -> None:
    """The first half of ``replace``: has the content on the disk, beside its place.  Raises ``OSError``."""
    make_directory(os.path.dirname(path))
    try:
        descriptor = os.open(_unfinished(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(descriptor, mode)  # whatever the umask says
            _write(descriptor, content)
        finally:
            os.close(descriptor)
    except OSError:
        unstage(path)
        raise


def place(path: str) -> None:
    """The second half: puts what is staged in its place.  Raises ``OSError``."""
    os.replace(_unfinished(path), path)
    sync_directory(os.path.dirname(path))


def unstage(path: str) -> None:
    """Drops what is staged and will not be put in its place."""
    with contextlib.suppress(OSError):
        os.unlink(_unfinished(path))


def _unfinished(path: str) -> str:
    """Where a file is written before it is put in its place."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.tmp")


def make_directory(directory: str, mode: int = 0o700) -> None:
    """Has a directory, and those that it is in, on the disk; `mode` is that of what is made.  Raises ``OSError``."""
    if not os.path.isdir(directory):
        above = os.path.dirname(os.path.abspath(directory))
        make_directory(above, mode)
        os.makedirs(directory, mode, exist_ok=True)
        sync_directory(above)


def drop_empty(*directories: str) -> None:
    """Removes each that nothing is in."""
    for directory in directories:
        with contextlib.suppress(OSError):  # others' files are there
            os.rmdir(directory)


def overwrite(path: str, content: bytes) -> None:
    """Writes over a file of the same size, which needs no room on the disk.  Raises ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        _write(descriptor, content)
    finally:
        os.close(descriptor)


def remove(path: str) -> bool:
    """Drops a file for good, and what a power cut left of writing it; False if there was none.  Raises ``OSError``."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_unfinished(path))
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    sync_directory(os.path.dirname(path))
    return True


def sync_directory(directory: str) -> None:
    """Has the names in a directory on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)
