# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The package that a kernel comes in, as its distribution names it: one row for each distribution.

Neither a host's kernel nor an update says of which distribution it is, so that each row is asked.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution import debian


class KernelPackages(t.NamedTuple):
    """How one distribution calls its kernel packages.

    ``source`` is the name of their source package, ``version_in(banner)`` the version that a kernel says of itself
    (``uname -v``), ``is_version(text)`` whether it can be one, and ``fixed(version, fixed_in)`` whether a package has
    a fix that came with one of the others.  ``upstream(version)`` is the version of Linux in it, ``compare`` tells
    which of two versions is newer (-1, 0, 1).
    """

    title: str
    source: str
    version_in: t.Callable[[str], str]
    is_version: t.Callable[[t.Any], bool]
    fixed: t.Callable[[str, t.Iterable[str]], bool]
    upstream: t.Callable[[str], str]
    compare: t.Callable[[str, str], int]


DISTRIBUTIONS = (
    KernelPackages(
        "Debian",
        debian.KERNEL_SOURCE,
        debian.version_in,
        debian.is_version,
        debian.fixed,
        debian.upstream,
        debian.compare,
    ),
)
# What versions of a source package without a name are versions of.
SOURCE = DISTRIBUTIONS[0].source


def is_version(text: t.Any) -> bool:
    return any(row.is_version(text) for row in DISTRIBUTIONS)


def what_is_no_version(text: t.Any) -> str:
    """The sentence about a text that is no version."""
    return f"{text!r} is no version of a {' or '.join(row.title for row in DISTRIBUTIONS)} package."


def fixed(version: str, fixed_in: t.Collection[str]) -> bool:
    """Whether the kernel's package ``version`` is one from which on the fix is in."""
    return any(row.fixed(version, fixed_in) for row in DISTRIBUTIONS)


def version_in(banner: str) -> str:
    """The version of the kernel's package in what ``uname -v`` or a kernel image says; "" if it says none."""
    return next(filter(None, (row.version_in(banner) for row in DISTRIBUTIONS)), "")


def upstream(version: str) -> str:
    """The version of Linux that a kernel's package is made of; "" if that cannot be told."""
    return next(filter(None, (row.upstream(version) for row in DISTRIBUTIONS)), "")


def compare(one: str, other: str) -> int:
    """-1, 0 or 1: whether `one` is older than, the same as or newer than `other`.  Raises ``ValueError``."""
    row = next((row for row in DISTRIBUTIONS if row.is_version(one) and row.is_version(other)), None)
    if row is None:
        wrong = [version for version in (one, other) if not is_version(version)]
        raise ValueError(what_is_no_version(wrong[0]) if wrong else f"{one!r} and {other!r} are of two distributions.")
    return row.compare(one, other)
