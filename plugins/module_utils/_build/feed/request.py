# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a feed is to read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Iterable, Mapping, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.feed import linux_versions
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.mirrors import Wanted
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.stable import branch_of
from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution import kernel_package
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


@dataclasses.dataclass(frozen=True)
class FeedRequest:
    """What to read into the feed in ``directory``.

    ``kernels`` are versions of the distribution's kernel packages; their series are read, from the oldest of each on.
    ``changelogs`` has files by series, for those that are not to be taken from the distribution's packages.
    ``keys`` is a file of public keys, one of which has to have signed each release.  ``max_age`` are the days after
    which a source without anything new is doubted, ``wait`` the seconds to wait for another run.
    """

    directory: Path
    kernels: Sequence[str]
    records_url: str
    records_branch: str
    stable_url: str
    keys: Path | None = None
    changelogs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    extra_sources: Sequence[str] = ()
    exploited_url: str = ""
    likely_url: str = ""
    accept_rewritten: bool = False
    max_age: float = 7.0
    timeout: float = 3600.0
    wait: float = 0.0

    def oldest(self) -> dict[str, linux_versions.Version]:
        """The oldest kernel of each series (``6.1``).  Raises ``RebootlessError``: ``no_kernels``, ``bad_version``."""
        if not self.kernels:
            raise RebootlessError(
                "no_kernels",
                "No kernel is named whose fixes are to be read, and no host of the fleet has said which one it runs.",
                "Name versions of kernel packages (kernels), or look why the fleet does not answer.",
            )
        found: dict[str, linux_versions.Version] = {}
        for kernel in map(linux_version_of, self.kernels):
            name = series_name(kernel)
            found[name] = min(kernel, found.get(name, kernel))
        return dict(sorted(found.items()))

    def records(self) -> Wanted:
        """What to mirror of the CNA's records."""
        return Wanted(
            self.records_url,
            (self.records_branch,),
            whole=True,
            rewritten=self.accept_rewritten,
            timeout=self.timeout,
        )

    def stable(self) -> Wanted:
        """What to mirror of linux-stable: the series, without what the oldest kernel's predecessor had."""
        oldest = self.oldest()
        return Wanted(
            self.stable_url,
            tuple(map(branch_of, oldest)),
            without=tuple(f"v{_dotted(_before(kernel))}" for kernel in oldest.values()),
            rewritten=self.accept_rewritten,
            timeout=self.timeout,
        )


def linux_version_of(package: str) -> linux_versions.Version:
    """The version of Linux in a version of a kernel package.  Raises ``RebootlessError`` (``bad_version``)."""
    text = kernel_package.upstream(package)
    if not text:
        raise RebootlessError(
            "bad_version",
            kernel_package.what_is_no_version(package),
            "Give the version of the kernel's package, such as 6.1.176-1.",
        )
    return linux_versions.parse(text)


def series_name(version: linux_versions.Version) -> str:
    """``6.1`` of a kernel of that series."""
    return _dotted(linux_versions.series(version))


def _before(kernel: linux_versions.Version) -> linux_versions.Version:
    base = linux_versions.series(kernel)
    patch = kernel[len(base)] if len(kernel) > len(base) else 0
    return (*base, patch - 1) if patch > 1 else base


def _dotted(numbers: Iterable[int]) -> str:
    return ".".join(map(str, numbers))
