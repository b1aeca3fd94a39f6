# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as readers beside us see them: the old one or the whole new one.  Private to rebootless.splice.

What has to survive a crash of the machine as well is written by ``_fleet/canonical.py`` and ``_target/durable.py``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os


def replace(path: str | os.PathLike[str], content: bytes, mode: int | None = None, sync: bool = False) -> None:
    """Writes the file beside its place and puts it there in one step; missing directories are made.

    ``mode`` is that of the umask if not given; with ``sync`` the content is on the disk before the name is.  Raises
    ``OSError``, and leaves the old file as it was.
    """
    directory, name = os.path.split(os.fspath(path))
    os.makedirs(directory or ".", exist_ok=True)
    # A name that is nearly as long as names may be leaves no room for more.
    unfinished = os.path.join(directory, f".{name[:200]}.{os.getpid()}")
    try:
        with open(unfinished, "wb") as stream:
            if mode is not None:
                os.fchmod(stream.fileno(), mode)
            stream.write(content)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content in hex.  Raises ``OSError``."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
