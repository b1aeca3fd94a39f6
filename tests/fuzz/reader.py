# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fuzzed reader of this collection is, and what has to hold of it for every input."""

from __future__ import annotations

import functools
import os
import pathlib
import re
import tempfile
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

CODE = re.compile(r"[a-z][a-z0-9_]*")
SECONDS = 20  # that one input may take, on a machine that does other things as well
MEGABYTES = 2048  # that the process may take, with coverage


class Reader(t.NamedTuple):
    """One entrance.

    ``read`` gives bytes to it, and asserts what else has to hold: what was read and is written gives the same again.
    It raises what the reader raises, and what it returns does not matter.  ``seeds`` are names and contents of sound
    inputs, which must not be refused; ``longest`` is the size of the longest input in bytes.
    """

    read: t.Callable[[bytes], object]
    seeds: t.Callable[[], t.Iterable[tuple[str, bytes]]]
    longest: int = 8192


def is_accepted(reader: Reader, data: bytes) -> bool:
    """Whether the reader takes the bytes; False if it refuses them as it should.

    All else that it raises passes through: a fault of the reader.
    """
    try:
        reader.read(data)
    except RebootlessError as refusal:
        assert CODE.fullmatch(refusal.code), refusal.code
        assert refusal.sentence, refusal.code
        # What a module returns is sent as UTF-8.
        str(refusal).encode("utf-8", "surrogateescape")
        return False
    return True


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    # Files that are written a thousand times a second stay in memory.
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def scratch(name: str, data: bytes | None = None) -> pathlib.Path:
    """A file of this process for readers that take a path, with ``data`` in it."""
    path = pathlib.Path(_directory().name, name)
    if data is not None:
        path.write_bytes(data)
    return path


def parts(data: bytes, count: int) -> list[bytes]:
    """The input taken apart at ``PART``, for readers that take several; what is missing is empty."""
    found = data.split(PART, count - 1)
    return found + [b""] * (count - len(found))


PART = b"\n=====\n"
