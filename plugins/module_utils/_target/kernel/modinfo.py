# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kernel module file says of itself, without kmod's tools.

Source: the ELF-64 object file format; ``.modinfo`` holds NUL-terminated ``key=value`` strings
(include/linux/moduleparam.h).  A signature behind the ELF file (``_common/module_signature``) is no part of it.
"""

from __future__ import annotations

import struct
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.build_id import parse_build_id
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

ELF64_LITTLE = b"\x7fELF\x02\x01"
ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
LONGEST_NAME = 1024  # bytes of a section's name; thousands of sections can share one
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")


def read_modinfo(image: bytes, label: str) -> dict[str, str]:
    """The keys of a module's ``.modinfo``: ``name``, ``vermagic``, ``srcversion``, ...; of repeated keys the last.

    Raises ``RebootlessError`` code ``bad_module`` if ``image`` (named ``label`` in the message) is no ELF-64 module.
    """
    section = _checked_section(image, b".modinfo", label)
    pairs = (entry.partition(b"=") for entry in section.split(b"\0") if b"=" in entry)
    return {key.decode("ascii", "replace"): value.decode("utf-8", "replace") for key, _equals, value in pairs}


def module_build_id(image: bytes, label: str) -> str:
    """GNU build ID of the module itself in hex.  Errors as for :func:`read_modinfo`."""
    return parse_build_id(_checked_section(image, b".note.gnu.build-id", label))


def _checked_section(image: bytes, name: bytes, label: str) -> bytes:
    try:
        return _section(image, name)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise RebootlessError(
            "bad_module",
            f"{label} is no kernel module for a 64-bit machine.",
            "Build the update again.",
            module=label,
        ) from error


def _section(image: bytes, wanted: bytes) -> bytes:
    for name, row in sections(image):
        if name == wanted:
            return _content(image, row)
    raise ValueError("no such section")


def sections(image: bytes) -> t.Iterator[tuple[bytes, tuple]]:
    """The names of an ELF file's sections, with the fields of ``SECTION_HEADER``.

    Raises ``struct.error``, ``IndexError`` or ``ValueError`` for what is none.
    """
    if image[: len(ELF64_LITTLE)] != ELF64_LITTLE:
        raise ValueError("not ELF-64, little-endian")
    header = ELF_HEADER.unpack_from(image)
    table, entry_size, count, names_index = header[6], header[11], header[12], header[13]
    rows = [SECTION_HEADER.unpack_from(image, table + index * entry_size) for index in range(count)]
    names = _content(image, rows[names_index])
    for row in rows:
        yield names[row[0] : names.index(b"\0", row[0], row[0] + LONGEST_NAME)], row


def _content(image: bytes, row: tuple) -> bytes:
    offset, size = row[4], row[5]
    if offset + size > len(image):
        raise ValueError("section beyond the end of the file")
    return image[offset : offset + size]
