# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are written whole or not at all.

A new file is written beside its place and put there in one step, so that a reader sees the old one or the new one.
``replace`` is for files that several processes may write at once, ``replace_durably`` and its halves for files whose
only writer holds a lock: what a power cut left of writing one is written over, or dropped by ``remove``.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

FULL = (errno.ENOSPC, errno.EDQUOT)  # the errors of a disk, or a user's share of it, that is full


def refusal(
    error: OSError, code: str, what: str, path: str, otherwise: str, then: str = "try again"
) -> RebootlessError:
    """The refusal for what cannot be written: ``what`` it is, and the next step, ``otherwise`` if the disk has room."""
    next_step = f"Free space there, then {then}." if error.errno in FULL else otherwise
    return RebootlessError(code, f"{what}: {error.strerror}.", next_step, path=path)


def replace(path: str | os.PathLike[str], content: bytes, mode: int | None = None, sync: bool = False) -> None:
    """Writes a file, and the directories that are missing.

    ``mode`` is that of the umask if not given.  With ``sync`` the file survives a power cut: the content is on the disk
    before the name is, and the name before this returns.  Raises ``OSError``, and leaves the old file as it was.
    """
    final = os.fspath(path)
    directory, name = os.path.split(final)
    # A name may have 255 bytes; one that has nearly as many leaves no room for more.
    unfinished = os.path.join(directory, f".{name[:200]}.{os.getpid()}")
    make_directory(directory, 0o777, sync)
    _write(unfinished, content, mode, sync)
    _move(unfinished, final, sync)


def replace_durably(path: str, content: bytes, mode: int = 0o600) -> None:
    """Writes a file that survives a power cut; missing directories are readable for their owner only.

    The caller holds a lock that makes it the only writer.  Raises ``OSError``, and leaves the old file as it was.
    """
    stage(path, content, mode)
    place(path)


def stage(path: str, content: bytes, mode: int = 0o600) -> None:
    """The first half of ``replace_durably``: has the content on the disk, beside its place.  Raises ``OSError``."""
    make_directory(os.path.dirname(path))
    _write(_staged(path), content, mode, sync=True)


def place(path: str) -> None:
    """The second half: puts what is staged in its place.  Raises ``OSError``, and drops what was staged."""
    _move(_staged(path), path, sync=True)


def unstage(path: str) -> None:
    """Drops what is staged and will not be put in its place."""
    _drop(_staged(path))


def _staged(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.tmp")


def _write(unfinished: str, content: bytes, mode: int | None, sync: bool) -> None:
    created = 0o666 if mode is None else mode
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, created)
        try:
            if mode is not None:
                os.fchmod(descriptor, mode)  # the umask may have taken bits away
            _write_all(descriptor, content, sync)
        finally:
            os.close(descriptor)
    except OSError:
        _drop(unfinished)
        raise


def _write_all(descriptor: int, content: bytes, sync: bool) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    if sync:
        os.fsync(descriptor)


def _move(unfinished: str, final: str, sync: bool) -> None:
    try:
        os.replace(unfinished, final)
        if sync:
            sync_directory(os.path.dirname(final))
    except OSError:
        _drop(unfinished)
        raise


def _drop(unfinished: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(unfinished)


def overwrite(path: str, content: bytes) -> None:
    """Writes over a file of the same size, which needs no room on the disk.  Raises ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        _write_all(descriptor, content, sync=True)
    finally:
        os.close(descriptor)


def remove(path: str) -> bool:
    """Drops a file for good, and what is staged of it; False if there was none.  Raises ``OSError``."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_staged(path))
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    sync_directory(os.path.dirname(path))
    return True


def make_directory(directory: str, mode: int = 0o700, sync: bool = True) -> None:
    """Makes a directory and those that it is in, each with ``mode``; with ``sync`` their names are on the disk.

    Raises ``OSError``.
    """
    path = os.path.abspath(directory)
    if not os.path.isdir(path):
        above = os.path.dirname(path)
        make_directory(above, mode, sync)
        os.makedirs(path, mode, exist_ok=True)
        if sync:
            sync_directory(above)


def drop_empty(*directories: str) -> None:
    """Removes those of the directories that are empty."""
    for directory in directories:
        with contextlib.suppress(OSError):  # other files are in it
            os.rmdir(directory)


def sync_directory(directory: str) -> None:
    """Has the names in a directory on the disk.  Raises ``OSError``."""
    descriptor = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content in hex.  Raises ``OSError``."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
