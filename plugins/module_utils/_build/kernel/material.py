# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kernel tree is prepared from, which a source of ``distribution/`` gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class TreeRequest:
    """Which kernel: by ``release``, ``build_id`` (hex), or both; ``version`` picks one package version of a release."""

    release: str | None = None
    build_id: str | None = None
    version: str | None = None


@dataclasses.dataclass(frozen=True)
class Material:
    """What a tree is prepared from: the distribution's files and the source.

    ``source_identity`` names the source by content or place.  ``variables`` are make variables that the distribution
    built with, and that change what objects hold.
    """

    release: str
    build_id: str
    arch: str
    version: str
    origin: str
    source: Path
    source_identity: str
    headers: Path
    config: Path
    vmlinuz: Path
    modules: Path | None
    variables: dict[str, str]


def string_in(header: Path, macro: str) -> str:
    """The string that ``#define macro "string"`` in ``header`` defines; empty if there is none."""
    if header.is_file():
        for line in header.read_text(encoding="utf-8").splitlines():
            words = line.split(None, 2)
            if words[:2] == ["#define", macro] and len(words) == 3:
                return words[2].strip().strip('"')
    return ""


def built_with(headers: Path, release: str) -> dict[str, str]:
    """Make variables that put the release, and who built the kernel, into the objects that hold them.

    They are read from the headers' generated headers; a kernel without them was built without them.
    """
    variables = {"KERNELRELEASE": release}
    for variable, macro in (("USER", "LINUX_COMPILE_BY"), ("HOST", "LINUX_COMPILE_HOST")):
        value = string_in(headers / "include" / "generated" / "compile.h", macro)
        if value:
            variables[f"KBUILD_BUILD_{variable}"] = value
    return variables
