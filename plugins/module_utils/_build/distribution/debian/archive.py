# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacking Debian packages and kernel sources.

Nothing is installed: packages are unpacked below a directory of the cache, with the invoking user as owner.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import (
    clean_environment,
    failed,
    require_tools,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_TAR = ("tar", "-x", "--no-same-owner", "--no-same-permissions", "-C")
_DAMAGED = "Remove the file and try again; look for a full disk."


def unpack_package(package: Path, into: Path, leave_out: Sequence[str] = ("./usr/share",)) -> None:
    """Unpacks the files of a ``.deb`` below ``into``, without the paths in ``leave_out`` (patterns of tar).

    Raises ``RebootlessError`` (``unpack_failed``).
    """
    require_tools("dpkg-deb", "tar")
    into.mkdir(parents=True, exist_ok=True)
    excluded = [f"--exclude={pattern}" for pattern in leave_out]
    _pipeline(["dpkg-deb", "--fsys-tarfile", package], [*_TAR, into, *excluded])


def unpack_source_package(package: Path, into: Path, only: Sequence[str] = ()) -> None:
    """Unpacks the kernel source that a ``linux-source-*`` package holds as a compressed tar file into ``into``.

    ``only`` are the paths to unpack, if not all; each has to be in the source.

    Raises ``RebootlessError`` (``unpack_failed``, ``bad_package``).
    """
    require_tools("dpkg-deb", "tar", "xz")
    listing = subprocess.run(
        ["dpkg-deb", "--contents", os.fspath(package)], capture_output=True, text=True, check=False
    ).stdout
    member = re.search(r" (\./usr/src/(linux-source-[^/\s]+)\.tar\.xz)$", listing, re.MULTILINE)
    if member is None:
        raise RebootlessError("bad_package", f"{package.name} holds no kernel source.", _DAMAGED)
    into.mkdir(parents=True, exist_ok=True)
    _pipeline(
        ["dpkg-deb", "--fsys-tarfile", package],
        ["tar", "-x", "-O", member.group(1)],
        ["xz", "-d", "-c", "-T0"],
        [*_TAR, into, "--strip-components=1", *(f"{member.group(2)}/{path}" for path in only)],
    )


def _pipeline(*commands: Sequence[str | os.PathLike[str]]) -> None:
    """Runs ``commands`` as a pipeline and raises if any of them fails."""
    running: list[subprocess.Popen[bytes]] = []
    for words in commands:
        last = len(running) == len(commands) - 1
        process = subprocess.Popen(
            [os.fspath(word) for word in words],
            stdin=running[-1].stdout if running else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if last else subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
        )
        if running and running[-1].stdout is not None:
            running[-1].stdout.close()  # so that the writer gets SIGPIPE if the reader ends
        running.append(process)
    # Each of these tools writes a few lines of errors at most, so no pipe of theirs fills while another is read.
    errors = [process.stderr.read().decode(errors="replace") for process in running if process.stderr is not None]
    for process in running:
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
    # What failed last in the pipeline is the cause; those before it then die of SIGPIPE.
    for process, words, error in reversed(list(zip(running, commands, errors))):
        if process.returncode != 0:
            raise failed(
                [os.fspath(word) for word in words],
                process.returncode,
                error,
                "unpack_failed",
                f"{Path(os.fspath(commands[0][-1])).name} cannot be unpacked.",
                _DAMAGED,
            )


def relocate_headers(root: Path) -> None:
    """Makes ``linux-headers-*`` packages that were unpacked below ``root`` usable where they lie.

    Their top Makefile includes that of ``linux-headers-*-common`` by its absolute path below ``/usr/src``; it is
    rewritten to include it relative to itself.  The symbolic links between the packages are relative and stay as they
    are.  Raises ``RebootlessError`` (``bad_package``) if an absolute path is left.
    """
    for makefile in root.glob("usr/src/linux-headers-*/Makefile"):
        text = makefile.read_text(encoding="utf-8")
        here = "$(dir $(lastword $(MAKEFILE_LIST)))"
        makefile.write_text(text.replace("include /usr/src/", f"include {here}../"), encoding="utf-8")
    for link in root.glob("usr/src/linux-headers-*/*"):
        if link.is_symlink() and (os.path.isabs(os.readlink(link)) or not link.exists()):
            raise RebootlessError(
                "bad_package",
                f"{link.relative_to(root)} links to {os.readlink(link)}, which the unpacked packages do not have.",
                "Report it: the layout of these packages is not known.",
            )
