# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that the kernel's build makes from others by its own programs, not by including them.

What is generated is made once, from the unpatched source; a patch that would change it is refused.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from pathlib import Path
from typing import AbstractSet as Set
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Architecture
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.search import matching_lines
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# Programs of the build that include headers of the kernel and write sources.
_PROGRAMS = ("scripts/selinux/genheaders/genheaders.c", "scripts/asn1_compiler.c")
_MAKEFILES = ("Makefile*", "Kbuild*")
_NOT_READ = re.compile(r"#|(generic|mandatory|generated|header-test|no-export-headers)-?\S*\s*[+:]?=")
_NAME = re.compile(r"(?:\$\(\w+\)/)?(?P<path>[\w./*-]+\.[hcS])\b")


def check(source: Path, arch: Architecture, patched: Sequence[str], includers: Set[str]) -> None:
    """Raises ``RebootlessError`` (``generated_source_changes``) if something is generated from one of ``patched``.

    ``includers`` are the files that include one directly: what a program of the build writes comes from the tables that
    it includes itself; further headers are those of the build host.
    """
    for program in programs_among(source, arch, includers):
        raise refusal(patched[0], f"the build's program {program} includes it")
    for path in patched:
        makefile = _makefile_reading(source, arch, path)
        if makefile is not None:
            raise refusal(path, f"{makefile} makes something from it")


def programs_among(source: Path, arch: Architecture, paths: Set[str]) -> list[str]:
    """Those of ``paths`` that are sources of programs that the kernel's build runs, sorted."""
    return sorted(paths & (set(_PROGRAMS) | _host_programs(source, arch))) if paths else []


def _host_programs(source: Path, arch: Architecture) -> set[str]:
    rows = _grep(source, arch, r"^hostprogs\S*\s*[+:]?=")
    return {
        f"{posixpath.dirname(makefile)}/{word}.c"
        for makefile, line in rows
        for word in line.partition("=")[2].split()
        if not makefile.startswith(("scripts/", "samples/", "usr/"))
    }


def _makefile_reading(source: Path, arch: Architecture, path: str) -> str | None:
    """The makefile that names ``path`` as a prerequisite or an input."""
    for makefile, line in _grep(source, arch, rf"{re.escape(posixpath.basename(path))}|\*\w*\.[hcS]"):
        if _NOT_READ.match(line.strip()):
            continue
        for match in _NAME.finditer(line.partition("#")[0]):
            if match.group().startswith("$(obj)/"):
                continue
            name = re.sub(r"^(\.\./)+", "", match["path"].lstrip("/"))
            here = posixpath.normpath(posixpath.join(posixpath.dirname(makefile), match["path"]))
            if fnmatch.fnmatch(path, here) or ("/" in name and fnmatch.fnmatch(f"/{path}", f"*/{name}")):
                return makefile
    return None


def _grep(source: Path, arch: Architecture, pattern: str) -> list[tuple[str, str]]:
    """(makefile, line) for the kernel's own makefiles, of other architectures none."""
    directories = sorted(
        path.name for path in source.iterdir() if path.is_dir() and path.name not in ("arch", "Documentation", "tools")
    )
    return matching_lines(source, pattern, _MAKEFILES, ["Kbuild", *directories, f"arch/{arch.source}"])


def refusal(path: str, why: str) -> RebootlessError:
    """The refusal of a patch for ``path``; ``why`` says what is generated from it."""
    return RebootlessError(
        "generated_source_changes",
        f"The patch changes {path}, from which the kernel's build generates other files: {why}.",
        "Reboot into a fixed kernel for this fix.",
        file=path,
    )
