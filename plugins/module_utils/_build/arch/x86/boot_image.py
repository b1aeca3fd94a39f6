# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel in a boot image of x86 (bzImage).

Source: Documentation/arch/x86/boot.rst (setup header, payload).
"""

from __future__ import annotations

import struct

SETUP_SECTS, HEADER_MAGIC, PAYLOAD = 0x1F1, 0x202, 0x248  # offsets in the setup header
SECTOR = 512
OLDEST_PROTOCOL = 0x208  # has payload_offset and payload_length


def payload(image: bytes) -> bytes:
    """The compressed kernel in ``image``.  Raises ``ValueError`` with the reason if it is no boot image of x86."""
    if len(image) < PAYLOAD + 8 or image[HEADER_MAGIC : HEADER_MAGIC + 4] != b"HdrS":
        raise ValueError("it is neither an ELF file nor an x86 boot image")
    (protocol,) = struct.unpack_from("<H", image, HEADER_MAGIC + 4)
    if protocol < OLDEST_PROTOCOL:
        raise ValueError(f"its boot protocol {protocol >> 8}.{protocol & 255:02} does not say where the kernel is")
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    # boot.rst: 0 means 4, and the boot sector itself is not counted.
    start = ((image[SETUP_SECTS] or 4) + 1) * SECTOR + offset
    if start + length > len(image):
        raise ValueError("it is truncated")
    return image[start : start + length]
