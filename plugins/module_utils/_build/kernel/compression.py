# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compressions that kernels and modules come in, told by how the data begins."""

from __future__ import annotations

import bz2
import lzma
import subprocess
import zlib
from collections.abc import Callable
from typing import NamedTuple

from ansible_collections.rebootless.splice.plugins.module_utils._build.host import deps
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import clean_environment
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


class Damaged(Exception):
    """Compressed data that cannot be decompressed, and why."""


def _zstandard(data: bytes) -> bytes:
    deps.require()
    try:
        return deps.zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except deps.zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _by_tool(tool: str) -> Callable[[bytes], bytes]:
    def decompress(data: bytes) -> bytes:
        command = [tool, "-dcq"]
        try:
            done = subprocess.run(command, input=data, env=clean_environment(), capture_output=True, check=False)
        except FileNotFoundError as error:
            raise RebootlessError(
                "missing_tool",
                f"A file is compressed with {tool}, and that tool is not installed.",
                f"Install the package {tool} on the build host.",
                tool=tool,
            ) from error
        if done.returncode:
            raise ValueError(done.stderr.decode(errors="replace").strip())
        return done.stdout

    return decompress


class Compression(NamedTuple):
    """One compression: ``magic`` is how its data begins.

    ``decompress`` gets the data; bytes behind the compressed stream are ignored, and of a truncated stream it may
    return less.  It raises ``ValueError`` for damaged data, and ``RebootlessError`` for a missing tool or library.
    """

    name: str
    magic: bytes
    decompress: Callable[[bytes], bytes]


COMPRESSIONS = (
    Compression("gzip", b"\x1f\x8b", lambda data: zlib.decompressobj(wbits=31).decompress(data)),
    Compression("bzip2", b"BZh", lambda data: bz2.BZ2Decompressor().decompress(data)),
    Compression("xz", b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data)),
    Compression("lzma", b"\x5d\x00\x00", lambda data: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(data)),
    Compression("zstd", b"\x28\xb5\x2f\xfd", _zstandard),
    Compression("lz4", b"\x02\x21\x4c\x18", _by_tool("lz4")),
    Compression("lzo", b"\x89LZO", _by_tool("lzop")),
)


def compression_of(data: bytes) -> Compression | None:
    """The compression that data begins like; None for data that is not compressed."""
    return next((one for one in COMPRESSIONS if data.startswith(one.magic)), None)


def decompress(compression: Compression, data: bytes) -> bytes:
    """The data without its compression.  Raises ``Damaged``, and ``RebootlessError`` for a missing tool or library."""
    try:
        return compression.decompress(data)
    except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
        raise Damaged(str(error)) from error
