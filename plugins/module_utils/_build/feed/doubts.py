# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What in an index does not agree: records that cannot be read, fixes that are not where they are said to be."""

from __future__ import annotations

import datetime
from typing import Any, Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._build.feed import linux_versions
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.index import Index
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.stable import Series

DAY = 86_400  # seconds


def about(index: Index, max_age: float, now: float) -> list[dict[str, str]]:
    """Each doubt with a ``code``, a ``sentence`` and what it is about: ``cve``, or the ``source``.

    ``now`` is this host's clock in seconds since 1970, which nothing but doubts depends on.
    """
    found = [_of_record(cve, record["wrong"]) for cve, record in index.records.items() if record.get("wrong")]
    for name in ("records", "stable"):
        found += _of_age(name, index.sources[name], max_age, now)
    for name, read in index.series.items():
        found += _of_series(index, name, Series(read))
    return found


def _of_record(cve: str, wrong: str) -> dict[str, str]:
    sentence = f"The record of {cve} cannot be relied on: {wrong}. Whether a kernel has it is unknown."
    return {"code": "record_not_readable", "sentence": sentence, "cve": cve}


def _of_age(name: str, source: dict[str, Any], max_age: float, now: float) -> Iterator[dict[str, str]]:
    newest = datetime.datetime.fromtimestamp(source["time"], datetime.timezone.utc).strftime("%Y-%m-%d %H:%M")
    if source["time"] > now + DAY:
        sentence = f"The newest commit of {source['url']} is of {newest}, which is still to come by this host's clock."
        yield {"code": "clock_behind", "sentence": sentence, "source": name}
    elif max_age and source["time"] < now - max_age * DAY:
        sentence = f"The newest commit of {source['url']} is of {newest}: see whether that mirror is still fed."
        yield {"code": "source_old", "sentence": sentence, "source": name}


def _of_series(index: Index, name: str, series: Series) -> Iterator[dict[str, str]]:
    """Fixes that a record places in a release of the mirror, where it has no such commit, or in another release."""
    base = linux_versions.parse(name)
    releases = {linux_versions.parse(version) for version in index.series[name]["tags"]}
    for cve, record in index.records.items():
        for _introduced, _by, fixed, commit in record.get("pairs", ()) if not record.get("wrong") else ():
            version = linux_versions.parse(fixed)
            # The mirror's first release has no beginning there.
            if not linux_versions.is_in_series(version, base) or version not in releases or version == min(releases):
                continue
            there = series.commits.get(commit)
            if there is None:
                sentence = f"{cve} is said to be fixed in {fixed} by {commit[:12]}, which the mirror's branch has not."
                yield {"code": "commit_missing", "sentence": sentence, "cve": cve}
            elif there["version"] != fixed:
                place = there["version"] or "no release yet"
                sentence = f"{cve} is said to be fixed in {fixed} by {commit[:12]}, which is in {place}."
                yield {"code": "commit_elsewhere", "sentence": sentence, "cve": cve}
