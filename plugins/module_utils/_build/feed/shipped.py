# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version of the distribution's package ships a fix: by the version of Linux in it, by title, and by number."""

from __future__ import annotations

import collections
import re
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.changelogs import CHANGELOGS
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed import linux_versions
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.request import linux_version_of
from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution import kernel_package

BY_VERSION, BY_TITLE, BY_NUMBER = "version", "title", "number"
# An entry that takes a commit back; its title is the commit's, in quotes.
REVERT = re.compile(r'Revert\s+"(?P<title>.+)"', re.IGNORECASE)


class Fix(NamedTuple):
    """A fix as a changelog may have it: ``version`` is the release of its series, empty if the series has none."""

    cve: str
    title: str
    version: str


class Shipped(NamedTuple):
    """The first version that ships a fix, which is empty if none does, and what says so.

    ``taken_out`` is the version in which the distribution took it out again; then ``version`` is empty.
    """

    version: str
    by: tuple[str, ...]
    taken_out: str = ""


class _Entry(NamedTuple):
    at: int  # which upload, 0 is the oldest
    place: int  # in it
    release: str  # the stable release that it came with; empty for the distribution's own patches
    reverts: bool


class Shipments:
    """The uploads of one series (newest first, as ``uploads`` of the index has them), to be asked for fixes.

    ``titles`` are those of all records: a title that several have says nothing of one of them alone.
    """

    def __init__(self, uploads: Sequence[Mapping[str, Any]], titles: Iterable[str]) -> None:
        # Candidates of a release have not all of it.
        oldest_first = [row for row in reversed(uploads) if kernel_package.upstream(row["version"])]
        self.versions = [str(row["version"]) for row in oldest_first]
        self._linux = [linux_version_of(version) for version in self.versions]
        self._entries: dict[str, list[_Entry]] = collections.defaultdict(list)
        self._numbers: dict[str, list[int]] = collections.defaultdict(list)
        for at, row in enumerate(oldest_first):
            for place, (text, cves, release) in enumerate(row["entries"]):
                self._note(at, place, text, release)
                for cve in cves:
                    self._numbers[cve].append(at)
        self._times = collections.Counter(titles)

    def _note(self, at: int, place: int, text: str, release: str) -> None:
        revert = REVERT.search(text)
        for key in CHANGELOGS.same_title(text):
            self._entries[key].append(_Entry(at, place, release, False))
        # What a stable release takes back is for its own records to say.
        if revert and not release:
            for key in CHANGELOGS.same_title(revert["title"]):
                self._entries[key].append(_Entry(at, place, release, True))

    def until(self, package: str) -> int:
        """How many of the uploads a package has: all that are not newer than it."""
        return sum(1 for version in self.versions if kernel_package.compare(version, package) <= 0)

    def of(self, fix: Fix, until: int | None = None) -> Shipped:
        """Where a fix is shipped first, by the first ``until`` uploads, or by all."""
        last = len(self.versions) if until is None else until
        entries = [entry for entry in self._entries_of(fix) if entry.at < last]
        found = {
            BY_VERSION: self._by_version(fix, last),
            BY_TITLE: next((entry.at for entry in entries if not entry.reverts), None),
            BY_NUMBER: next((at for at in self._numbers[fix.cve] if at < last), None),
        }
        said = {how: at for how, at in found.items() if at is not None}
        if not said:
            return Shipped("", ())
        first = min(said.values())
        # The last word counts, unless a later upload names the CVE: a fix can be to take something out.
        if entries and entries[-1].reverts and entries[-1].at > max(self._numbers[fix.cve], default=-1):
            later = found[BY_VERSION]
            if later is None or later <= entries[-1].at:
                return Shipped("", (), self.versions[entries[-1].at])
            first = later
        return Shipped(self.versions[first], tuple(how for how, at in said.items() if at == first))

    def _by_version(self, fix: Fix, last: int) -> int | None:
        if not fix.version:
            return None
        version = linux_versions.parse(fix.version)
        return next((at for at in range(last) if linux_versions.holds(self._linux[at], version)), None)

    def _entries_of(self, fix: Fix) -> list[_Entry]:
        """The entries that are this fix: of its own stable release, or patches of the distribution's own."""
        if not fix.title or self._times[fix.title] > 1:
            return []
        entries = {entry for key in CHANGELOGS.joined(fix.title) for entry in self._entries.get(key, ())}
        return sorted(entry for entry in entries if entry.release in ("", fix.version))
