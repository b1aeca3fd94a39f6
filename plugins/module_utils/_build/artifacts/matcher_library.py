# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds libmatch.so, the matcher for Python, from the sources of the helper module."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Architecture
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

SOURCES = ("matcher/match.c", "matcher/check.c", "matcher/library.c", "arch/{arch.source}/forms.c")
# No libc, so that one library serves every host; no path, date or build ID, so that equal sources give equal bytes.
FLAGS = (
    *("-std=gnu11", "-O2", "-g0", "-fPIC", "-shared", "-s", "-Wall", "-Wextra", "-Werror"),
    *("-ffreestanding", "-nostdlib", "-fno-stack-protector", "-fno-tree-loop-distribute-patterns"),
    *("-fno-asynchronous-unwind-tables", "-Wl,-z,defs,-z,noexecstack,-Bsymbolic,--build-id=none"),
)


def build_library(output: str | Path, kmod: str | Path, arch: Architecture, compiler: str = "gcc") -> Path:
    """Compiles the matcher of the collection's directory ``kmod`` to the shared library ``output``; returns its path.

    ``arch`` is the one whose code it matches.

    The file appears whole or not at all.  Raises ``RebootlessError`` (``library_failed``) with the compiler's output.
    """
    output, kmod = Path(output), Path(kmod)
    try:
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
            library = Path(scratch) / output.name
            command = [compiler, *FLAGS, *(str(kmod / name.format(arch=arch)) for name in SOURCES), "-o", str(library)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise _failed(compiler, done.stderr.strip())
            library.replace(output)
    except OSError as error:
        raise _failed(compiler, str(error)) from error
    return output


def _failed(compiler: str, output: str) -> RebootlessError:
    return RebootlessError(
        "library_failed",
        f"The match library could not be compiled with {compiler}.",
        "Install gcc on the build host; if it is there, report its output.",
        output=output,
    )
