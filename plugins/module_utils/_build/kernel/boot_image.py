# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ELF kernel inside a boot image.  Private to rebootless.splice.

Sources: Documentation/arch/x86/boot.rst (setup header, payload), scripts/Makefile.lib (compressors; all but gzip have
the size of the kernel appended in 4 bytes).
"""

from __future__ import annotations

import bz2
import lzma
import struct
import subprocess
import zlib
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

ELF_MAGIC = b"\x7fELF"
SETUP_SECTS, HEADER_MAGIC, PAYLOAD = 0x1F1, 0x202, 0x248  # offsets in the setup header
SECTOR = 512
OLDEST_PROTOCOL = 0x208  # has payload_offset and payload_length
SIZE_TRAILER = 4

# Magic bytes of the payload -> decompressor of the standard library, or the tool that decompresses its standard input.
DECOMPRESSORS = (
    (b"\x1f\x8b", "gzip", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", "bzip2", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", "xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)),
    (b"\x5d\x00\x00", "lzma", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE)),
    (b"\x28\xb5\x2f\xfd", "zstd", ["zstd", "-dcq"]),
    (b"\x02\x21\x4c\x18", "lz4", ["lz4", "-dcq"]),
    (b"\x89LZO", "lzo", ["lzop", "-dcq"]),
)


def read_kernel(path: str | Path) -> bytes:
    """The ELF file in a bzImage (``vmlinuz``), or the file itself if it is ELF already.

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
    for magic, name, decompressor in DECOMPRESSORS:
        if payload.startswith(magic):
            kernel = _decompress(path, payload, name, decompressor)
            break
    else:
        kernel = payload
    if not kernel.startswith(ELF_MAGIC):
        raise bad_image(path, "its payload is no ELF kernel in a known compression")
    return kernel


def bad_image(path: str | Path, why: str) -> RebootlessError:
    return RebootlessError(
        "bad_image",
        f"The kernel image {path} cannot be used: {why}.",
        "Give the vmlinuz of the distribution's package, or the vmlinux of its debug package.",
        path=str(path),
    )


def _payload(path: str | Path, image: bytes) -> bytes:
    if len(image) < PAYLOAD + 8 or image[HEADER_MAGIC : HEADER_MAGIC + 4] != b"HdrS":
        raise bad_image(path, "it is neither an ELF file nor an x86 boot image")
    (protocol,) = struct.unpack_from("<H", image, HEADER_MAGIC + 4)
    if protocol < OLDEST_PROTOCOL:
        raise bad_image(path, f"its boot protocol {protocol >> 8}.{protocol & 255:02} does not say where the kernel is")
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    # boot.rst: 0 means 4, and the boot sector itself is not counted.
    start = ((image[SETUP_SECTS] or 4) + 1) * SECTOR + offset
    if start + length > len(image):
        raise bad_image(path, "it is truncated")
    return image[start : start + length]


def _decompress(path: str | Path, payload: bytes, name: str, decompressor) -> bytes:
    if name == "gzip":
        (size,) = struct.unpack("<I", payload[-SIZE_TRAILER:])  # gzip's own trailer, which the kernel uses
    else:
        (size,) = struct.unpack("<I", payload[-SIZE_TRAILER:])
        payload = payload[:-SIZE_TRAILER]
    if isinstance(decompressor, list):
        kernel = _run(path, payload, name, decompressor)
    else:
        try:
            kernel = decompressor().decompress(payload)
        except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
            raise bad_image(path, f"its {name} payload is damaged ({error})") from error
    if len(kernel) != size:
        raise bad_image(path, f"its {name} payload has {len(kernel)} bytes instead of {size}")
    return kernel


def _run(path: str | Path, payload: bytes, name: str, command: list[str]) -> bytes:
    try:
        done = subprocess.run(command, input=payload, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise RebootlessError(
            "missing_tool",
            f"The kernel image {path} is compressed with {name}, and the tool {command[0]} is not installed.",
            f"Install the package {command[0]} on the build host.",
            tool=command[0],
        ) from error
    if done.returncode:
        raise bad_image(path, f"{command[0]} says: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
