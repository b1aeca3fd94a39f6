# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package that targets accept, without anything in it that a kernel would; and packages with any fault."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import tarfile
import typing as t

FILES = {
    "update.ko": b"\x7fELF update" + bytes(range(256)),
    "rebootless.ko": b"\x7fELF helper" * 30,
    "match/vmlinux.bin": b"RBLMATCH" + bytes(200),
    "libmatch.so": b"\x7fELF library",
}
MANIFEST: dict[str, t.Any] = {
    "format": 2,
    "name": "cve-2026-52928",
    "version": "1.0",
    "cves": ["CVE-2026-52928"],
    "digest": "ab" * 32,
    "kernel": {"release": "6.1.0-50-cloud-amd64", "build_id": "6c" * 20, "version": "6.1.176-1", "arch": "x86_64"},
    "objects": ["vmlinux"],
    "functions": [{"name": "unix_ioctl", "unit": "net/unix/af_unix.o", "object": "vmlinux", "change": "changed"}],
    "data": [],
    "patches": [],
    "compiler": "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0",
    "findings": [],
}


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info


def compress(content: bytes) -> bytes:
    result = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=result, mtime=0) as stream:
        stream.write(content)
    return result.getvalue()


def pack(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A package of these members, however odd."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return compress(archive.getvalue())


def rows_of(files: dict[str, bytes]) -> dict[str, dict]:
    return {name: {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)} for name, body in files.items()}


def build(manifest: dict | None = None, files: dict[str, bytes] | None = None) -> bytes:
    """A package as docs/formats.md has it."""
    files = FILES if files is None else files
    manifest = copy.deepcopy(MANIFEST if manifest is None else manifest)
    manifest.setdefault("files", rows_of(files))
    text = json.dumps(manifest, sort_keys=True).encode()
    members = [(member("manifest.json", len(text)), text)]
    return pack(members + [(member(name, len(body)), body) for name, body in sorted(files.items())])
