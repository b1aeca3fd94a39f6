# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GNU build ID in ELF notes (elf(5))."""

from __future__ import annotations

import struct

NOTE_HEADER = struct.Struct("<III")  # name size, descriptor size, type (elf(5), "Notes")
NT_GNU_BUILD_ID = 3


def parse_build_id(notes: bytes) -> str:
    """The descriptor of the ``NT_GNU_BUILD_ID`` note in hex, "" if there is none.

    Names and descriptors are padded to 4 bytes.
    """
    offset = 0
    while offset + NOTE_HEADER.size <= len(notes):
        name_size, content_size, kind = NOTE_HEADER.unpack_from(notes, offset)
        name_at = offset + NOTE_HEADER.size
        content_at = name_at + (name_size + 3 & ~3)
        if kind == NT_GNU_BUILD_ID and notes[name_at : name_at + name_size] == b"GNU\0":
            return notes[content_at : content_at + content_size].hex()
        offset = content_at + (content_size + 3 & ~3)
    return ""
