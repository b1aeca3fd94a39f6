# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writer of update packages (docs/formats.md, *Package*).

The same content gives the same bytes: members in a fixed order, without times and owners, in a gzip frame without a
name.  What was written is read back with the reader of the targets before it is kept.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from typing import Any, Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import (
    FORMAT,
    GZIP_HEADER,
    MANIFEST,
    MEMBERS,
    parse_package,
    program_member,
)


def package_name(name: str, version: str, build_id: str) -> str:
    """The package's file name."""
    return f"{name}-{version}-{build_id[:12]}.rbl.tar.gz"


def make_package(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """A package of ``files``: the format's members, and the match program of each of the manifest's objects.

    ``manifest`` is completed with format and files.

    Raises ``RebootlessError`` if a target would not accept it.
    """
    names = [*MEMBERS, *map(program_member, manifest["objects"])]
    listed = {name: {"sha256": hashlib.sha256(files[name]).hexdigest(), "size": len(files[name])} for name in names}
    complete = {**manifest, "format": FORMAT, "files": listed}
    text = strict_json.exact(complete, indent=1, sort_keys=True) + b"\n"
    content = _compressed(_archive({MANIFEST: text, **{name: files[name] for name in names}}))
    parse_package("the package that was just made", content)
    return content


def _archive(members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)  # regular file, mode 0644, time 0, owner 0
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _compressed(data: bytes) -> bytes:
    """``data`` in a gzip frame (RFC 1952) with the header that the format prescribes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(data) + deflate.flush()
    return GZIP_HEADER + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
