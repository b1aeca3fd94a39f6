# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python interpreters at hand, of the versions that a target may have."""

from __future__ import annotations

import functools
import os
import pathlib
import shutil
import subprocess

MINOR_VERSIONS = range(8, 15)


@functools.cache
def interpreters() -> dict[str, str]:
    """Version ("3.8") to path, of those that start.  Looks in PATH first, then at pyenv's versions."""
    found = {}
    for minor in MINOR_VERSIONS:
        version = f"3.{minor}"
        candidates = [shutil.which(f"python{version}")]
        pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv")) / "versions"
        candidates += sorted(str(path) for path in pyenv.glob(f"{version}.*/bin/python{version}"))
        usable = (path for path in candidates if path and _starts(path))
        path = next(usable, None)
        if path:
            found[version] = path
    return found


def _starts(path: str) -> bool:
    return subprocess.run([path, "-c", "import ctypes, ensurepip"], capture_output=True, check=False).returncode == 0
