# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's kernel packages, and the versions of packages: which of two is newer, and whether a kernel has a fix.

Source: deb-version(7), and Debian Policy 5.6.12 for what a version may look like.
"""

from __future__ import annotations

import re
import typing as t

# epoch, upstream version, revision; the last dash begins the revision.
VERSION = re.compile(r"(?:(\d+):)?(\d[A-Za-z0-9.+~]*(?:-[A-Za-z0-9.+~]+)*?)(?:-([A-Za-z0-9.+~]+))?")
LONGEST = 255  # characters; a package's file name, which holds the version, has no more
SERIES = re.compile(r"(\d+\.\d+)(?![0-9])")  # of kernels: what 6.1.187-1 and 6.1.190-1 have in common
RELEASE = re.compile(r"\d+\.\d+(\.\d+)?(?![0-9.~])")  # of Linux, at the beginning of an upstream version
PARTS = re.compile(r"(\D*)(\d*)")
# What Debian puts at the end of the version that the kernel was built with: ``#1 SMP Debian 6.1.176-1 (2026-01-02)``.
BANNER = re.compile(r"\bDebian (\S+) \(")
KERNEL_SOURCE = "linux"  # the source package of all its kernels

Key = t.Tuple[int, t.List[int], t.List[int]]


def is_version(text: str) -> bool:
    return isinstance(text, str) and _parts(text) is not None


def version_in(banner: str) -> str:
    """The version of the package in what a kernel says of itself; "" if it says none."""
    found = BANNER.search(banner)
    return found.group(1) if found and is_version(found.group(1)) else ""


def compare(one: str, other: str) -> int:
    """-1, 0 or 1: `one` is older than, the same as, or newer than `other`.  Raises ``ValueError`` for no version."""
    first, second = _key(one), _key(other)
    return (first > second) - (first < second)


def fixed(version: str, fixed_in: t.Iterable[str]) -> bool:
    """Whether the kernel's package `version` is one from which on the fix is in.

    Only versions of its own series (6.1, 6.12) say something of it: a later series may be older than the fix.  What
    is no version, or of a series of which nothing is said, has no fix that is known of.
    """
    series = SERIES.match(version) if is_version(version) else None
    if series is None:
        return False
    told = [row for row in fixed_in if is_version(row) and _series(row) == series.group(1)]
    return any(compare(version, row) >= 0 for row in told)


def upstream(version: str) -> str:
    """The version of Linux that a kernel's package is made of: 6.1.176 of 6.1.176-1; "" if it is no such version."""
    found = _parts(version) if isinstance(version, str) else None
    release = RELEASE.match(found.group(2)) if found else None
    return release.group(0) if release else ""


def _parts(version: str) -> re.Match[str] | None:
    return VERSION.fullmatch(version) if len(version) <= LONGEST else None


def _series(version: str) -> str:
    found = SERIES.match(version)
    return found.group(1) if found else ""


def _key(version: str) -> Key:
    found = _parts(version)
    if found is None:
        raise ValueError(f"{version[:LONGEST]!r} is no version of a Debian package")
    epoch, upstream, revision = found.groups()
    # No revision is the same as the revision 0.
    return int(epoch or 0), _sortable(upstream), _sortable(revision or "0")


def _sortable(text: str) -> list[int]:
    """Runs of other characters and numbers in turn, as numbers that sort like them.

    A tilde comes before the end, the end before letters, letters before everything else.
    """
    order: list[int] = []
    for other, number in PARTS.findall(text):
        order += [_rank(character) for character in other]
        order += [0, int(number or 0)]
    return [*order, 0]


def _rank(character: str) -> int:
    """0 is the end of such a run."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
