# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that targets accept, without anything in them that a kernel would."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.package import (
    make_package,
    package_name,
)

FILES = {
    "update.ko": b"\x7fELF update",
    "rebootless.ko": b"\x7fELF helper",
    "libmatch.so": b"\x7fELF library",
    "match/vmlinux.bin": b"RBLMATCH",
}


def package(directory, release: str, build_id: str, name="cve-2026-52928", version="1.0", code=b"") -> str:
    """The path of a package that was made in a directory; ``code`` makes another build of it."""
    manifest = {
        "name": name,
        "version": version,
        "cves": ["CVE-2026-52928"],
        "digest": "ab" * 32,
        "kernel": {"release": release, "build_id": build_id, "version": "6.1.176-1", "arch": "x86_64"},
        "objects": ["vmlinux"],
        "functions": [{"name": "unix_ioctl", "unit": "net/unix/af_unix.o", "object": "vmlinux", "change": "changed"}],
        "data": [],
        "patches": [],
        "compiler": "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0",
        "findings": [],
    }
    path = directory / package_name(name, version, build_id)
    path.write_bytes(make_package(manifest, {**FILES, "update.ko": FILES["update.ko"] + code}))
    return str(path)
