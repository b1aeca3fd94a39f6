# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the changelogs of kernel packages say: which version of the distribution ships which commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterable, NamedTuple, Protocol, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import changelog
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache


class Packages(Protocol):
    """Where changelogs come from: ``newest`` names the package for a series, with its version; ``text`` reads it."""

    def newest(self, series: str) -> Any: ...

    def text(self, package: Any) -> str: ...


class Changelogs(NamedTuple):
    """How one distribution writes them.

    ``packages(cache, extra)`` gets them from its packages, ``read_file(path)`` from a file;
    ``uploads(text, series)`` says what each version brought, newest first.  A commit's title is that of an entry if one
    of ``joined(title)`` is in ``same_title(entry)``.
    """

    packages: Callable[[Cache, Sequence[str]], Packages]
    read_file: Callable[[Path], str]
    uploads: Callable[[str, str], list[dict[str, Any]]]
    joined: Callable[[str], Iterable[str]]
    same_title: Callable[[str], Iterable[str]]


# Of the one distribution that kernel trees are made of.
CHANGELOGS = Changelogs(
    changelog.DebianChangelogs,
    changelog.read_file,
    changelog.uploads,
    changelog.joined,
    changelog.same_title,
)
