# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ELF kernel inside a boot image; architectures and compressions have tables of their own.

Source: scripts/Makefile.lib (compressors; all but gzip have the size of the kernel appended in 4 bytes).
"""

from __future__ import annotations

import struct
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.table import ARCHITECTURES
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.compression import (
    Compression,
    Damaged,
    compression_of,
    decompress,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

ELF_MAGIC = b"\x7fELF"
SIZE_TRAILER = 4


def read_kernel(path: str | Path) -> bytes:
    """The ELF file in a boot image (``vmlinuz``), or the file itself if it is ELF already.

    Raises ``RebootlessError``: ``bad_image`` for a file that is neither or is damaged, ``missing_tool`` if its
    compressor is not installed.
    """
    try:
        image = Path(path).read_bytes()
    except OSError as error:
        raise bad_image(path, error.strerror or str(error)) from error
    if image.startswith(ELF_MAGIC):
        return image
    payload = _payload(path, image)
    compression = compression_of(payload)
    kernel = _decompressed(path, payload, compression) if compression is not None else payload
    if not kernel.startswith(ELF_MAGIC):
        raise bad_image(path, "its payload is no ELF kernel in a known compression")
    return kernel


def bad_image(path: str | Path, why: str) -> RebootlessError:
    """The refusal of an image."""
    return RebootlessError(
        "bad_image",
        f"The kernel image {path} cannot be used: {why}.",
        "Give the vmlinuz of the distribution's package, or the vmlinux of its debug package.",
        path=str(path),
    )


def _payload(path: str | Path, image: bytes) -> bytes:
    """The compressed kernel in a boot image of an architecture that is known."""
    why = []
    for arch in ARCHITECTURES.values():
        try:
            return arch.payload(image)
        except ValueError as error:
            why.append(str(error))
    raise bad_image(path, "; ".join(why))


def _decompressed(path: str | Path, payload: bytes, compression: Compression) -> bytes:
    (size,) = struct.unpack("<I", payload[-SIZE_TRAILER:])  # gzip's own trailer is the size, too
    try:
        kernel = decompress(compression, payload if compression.name == "gzip" else payload[:-SIZE_TRAILER])
    except Damaged as error:
        raise bad_image(path, f"its {compression.name} payload is damaged ({error})") from error
    if len(kernel) != size:
        raise bad_image(path, f"its {compression.name} payload has {len(kernel)} bytes instead of {size}")
    return kernel
