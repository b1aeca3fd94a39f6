# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that targets accept, without anything in them that a kernel would."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.package import (
    make_package,
    package_name,
)
from ansible_collections.rebootless.splice.tests.support.package import FILES, MANIFEST


def package(directory, release: str, build_id: str, name="cve-2026-52928", version="1.0", code=b"", **more) -> str:
    """The path of a package that was made in a directory; ``code`` makes another build of it, and ``more`` stands in
    its manifest."""
    kernel = {**MANIFEST["kernel"], "release": release, "build_id": build_id}
    manifest = {**MANIFEST, "name": name, "version": version, "kernel": kernel, **more}
    path = directory / package_name(name, version, build_id)
    path.write_bytes(make_package(manifest, {**FILES, "update.ko": FILES["update.ko"] + code}))
    return str(path)
