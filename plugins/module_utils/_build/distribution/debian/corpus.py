# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches derived from two versions of a distribution's kernel source.

A fix that a distribution has shipped is a few hunks of the difference between two of its source packages.  Naming the
packages, the files and the numbers of the hunks is enough to derive the patch from them again.  The numbers are those
of ``diff -Nup before/FILE after/FILE`` (GNU diffutils), from 1.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Iterable, Mapping, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.apt import Apt
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.archive import (
    unpack_source_package,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import clean_environment, failed
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_HUNK = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*\n)", re.MULTILINE)
_STEP = "Count the hunks that 'diff -Nup' prints for this file between the two versions."


@dataclasses.dataclass(frozen=True)
class Fix:
    """A fix between two versions of a source package; ``hunks`` maps each file to the numbers of its hunks."""

    package: str
    before: str
    after: str
    hunks: Mapping[str, Sequence[int]]


def is_at_hand(cache: Cache, fix: Fix) -> bool:
    """Whether the sources of a fix are in the cache, so that nothing has to be downloaded or unpacked."""
    return all(_directory(cache, fix.package, version, fix.hunks).is_dir() for version in (fix.before, fix.after))


def derive(cache: Cache, fix: Fix) -> bytes:
    """The patch of a fix, with the prefixes ``a/`` and ``b/``.

    Raises ``RebootlessError``: ``no_such_hunk``, ``no_such_file``, ``package_not_found``, ``download_failed``,
    ``unpack_failed``, ...
    """
    before, after = (unpacked(cache, fix.package, version, fix.hunks) for version in (fix.before, fix.after))
    return derive_from(before, after, fix.hunks)


def derive_from(before: Path, after: Path, hunks: Mapping[str, Sequence[int]]) -> bytes:
    """The patch of some hunks of the difference between two directories."""
    return b"".join(file_patch(before, after, path, numbers) for path, numbers in sorted(hunks.items()))


def _directory(cache: Cache, package: str, version: str, files: Iterable[str]) -> Path:
    name = f"{package}_{version}"
    whole = cache.path("sources", name)  # as kernel trees of this version have it
    return whole if whole.is_dir() else cache.path("corpus", f"{name}-{sha256_of(*sorted(files))[:12]}")


def unpacked(cache: Cache, package: str, version: str, files: Iterable[str]) -> Path:
    """The directory with ``files`` of a version of a source package, as far as it has them.

    Unpacking takes as long for one file as for all of them: who wants many fixes asks for all of their files at once.
    """
    wanted = sorted(files)
    directory = _directory(cache, package, version, wanted)
    with cache.made_once(*directory.relative_to(cache.root).parts) as unfinished:
        if unfinished is not None:
            apt = Apt(cache)
            unpack_source_package(apt.fetch(apt.find(package, version)), unfinished, wanted)
    return directory


def file_patch(before: Path, after: Path, path: str, numbers: Sequence[int]) -> bytes:
    """The patch of some hunks of one file.  Raises ``RebootlessError`` (``no_such_hunk``, ``no_such_file``)."""
    difference = _difference(before / path, after / path)
    heads = list(_HUNK.finditer(difference))
    if not numbers or sorted(set(numbers)) != list(numbers) or not 1 <= numbers[0] <= numbers[-1] <= len(heads):
        raise RebootlessError(
            "no_such_hunk",
            f"The hunks of {path} have to be ascending numbers from 1 to {len(heads)}.",
            _STEP,
            file=path,
            hunks=list(numbers),
        )
    ends = [head.start() for head in heads[1:]] + [len(difference)]
    parts = [_head(before, after, path, whole=len(numbers) == len(heads))]
    shift = 0  # of the lines behind the hunks taken so far; those left out shift nothing
    for number in numbers:
        head = heads[number - 1]
        old, old_count, new_count = int(head[1]), int(head[2] or 1), int(head[4] or 1)
        # A side without lines is named by the line before it.
        new = old + shift + (old_count == 0) - (new_count == 0)
        parts.append(b"@@ -%d,%d +%d,%d @@%s" % (old, old_count, new, new_count, head[5]))
        parts.append(difference[head.end() : ends[number - 1]])
        shift += new_count - old_count
    return b"".join(parts)


def hunks_of(before: Path, after: Path, path: str) -> int:
    """How many hunks the difference of one file has."""
    return len(_HUNK.findall(_difference(before / path, after / path)))


def _head(before: Path, after: Path, path: str, whole: bool) -> bytes:
    """The lines before the first hunk; a file goes away only with all of its hunks."""
    name = path.encode()
    if not (before / path).is_file():
        return b"diff --git a/%s b/%s\nnew file mode 100644\n--- /dev/null\n+++ b/%s\n" % (name, name, name)
    if not (after / path).is_file() and whole:
        return b"diff --git a/%s b/%s\ndeleted file mode 100644\n--- a/%s\n+++ /dev/null\n" % (name, name, name)
    return b"--- a/%s\n+++ b/%s\n" % (name, name)


def _difference(before: Path, after: Path) -> bytes:
    if not before.is_file() and not after.is_file():
        raise RebootlessError("no_such_file", f"{before} is not in this kernel source.", _STEP, file=str(before))
    # As bytes, since not every source of the kernel is UTF-8.
    command = ["diff", "-Nup", "--", str(before), str(after)]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, check=False)
    if done.returncode > 1:  # 1 only says that there is a difference
        output = done.stderr.decode(errors="replace")
        raise failed(command, done.returncode, output, "diff_failed", f"diff cannot compare {before}.")
    return done.stdout
