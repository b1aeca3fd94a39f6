# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kernel has and lacks: the CVEs that were in it, those fixed in it, and the fixes of those that are open."""

from __future__ import annotations

import collections
import datetime
from pathlib import Path
from typing import Any, Mapping, Protocol

from ansible_collections.rebootless.splice.plugins.module_utils._build.feed import linux_versions
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.index import Index
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.records import NOT_FIXED, PUBLISHED
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.request import linux_version_of, series_name
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.shipped import Fix, Shipments
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.signatures import NOT_CHECKED
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.stable import Series
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

OPEN, FIXED, UNKNOWN = "open", "fixed", "unknown"
FORMAT = 1


class Units(Protocol):
    def of(self, files: Any) -> Any: ...


def account(index: Index, version: str, units: Units | None) -> dict[str, Any]:
    """The account of the kernel package ``version``; ``units`` says which files it builds (``concern.Built``).

    Returns ``kernel``, ``feed`` (what it was derived from), ``counts``, ``notes`` and ``cves``, as the module
    ``kernel_cves`` documents them.  Raises ``RebootlessError``: ``bad_version``, ``series_not_in_feed``.
    """
    kernel = linux_version_of(version)
    series = series_name(kernel)
    if series not in index.series:
        raise RebootlessError(
            "series_not_in_feed",
            f"The feed has nothing of the series {series}; it has {', '.join(index.series)}.",
            f"Run the playbook rebootless.splice.feed for the kernel {version} as well.",
            series=series,
        )
    published = {cve: row for cve, row in index.records.items() if row["state"] == PUBLISHED}
    kernel_account = _Account(index, version, kernel, Series(index.series[series]), published)
    cves = [row for row in map(kernel_account.of, published) if row is not None]
    for row in cves:
        row["concerns"], objects = units.of(row["files"]) if units else (UNKNOWN, ())
        row["objects"] = list(objects)
    return {
        "format": FORMAT,
        "kernel": {"version": version, "linux": ".".join(map(str, kernel)), "series": series},
        "feed": index.sources,
        "counts": _counts(cves),
        "notes": kernel_account.notes(),
        "cves": cves,
    }


def write_account(path: Path, said: Mapping[str, Any], dry: bool = False) -> bool:
    """Writes an account as JSON; whether that changes the file, which ``dry`` leaves as it is.

    Raises ``RebootlessError``: ``disk_full``, ``feed_not_usable``.
    """
    content = strict_json.exact(said, indent=1)
    try:
        if path.is_file() and path.read_bytes() == content:
            return False
        if not dry:
            disk.replace(path, content)
    except OSError as error:
        code = "disk_full" if error.errno in disk.FULL else "feed_not_usable"
        otherwise = "Give a file that this user can write."
        raise disk.refusal(error, code, f"{path} cannot be written", str(path), otherwise) from error
    return True


def _time(seconds: int | None) -> str | None:
    """As accounts write it: 2026-05-01T12:00:00Z; None if it is not known."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _counts(cves: list[dict[str, Any]]) -> dict[str, Any]:
    """How many are in each state, and of the open ones by what concerns the kernel and by whether there is a fix."""
    states = collections.Counter(row["state"] for row in cves)
    still = [row for row in cves if row["state"] == OPEN]
    return {
        **{state: states[state] for state in (OPEN, FIXED, UNKNOWN)},
        "open_by_concern": dict(collections.Counter(row["concerns"] for row in still)),
        "open_without_fix": sum(1 for row in still if row["fix"] is None),
        "open_exploited": sum(1 for row in still if row["exploited"]),
    }


class _Account:
    def __init__(
        self,
        index: Index,
        version: str,
        kernel: linux_versions.Version,
        series: Series,
        published: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._index = index
        self._version = version
        self._kernel = kernel
        self._base = linux_versions.series(kernel)
        self._series = series
        self._records = published
        name = series_name(kernel)
        self._shipments = Shipments(index.uploads.get(name, ()), (row["title"] for row in published.values()))
        self._until = self._shipments.until(version)

    def notes(self) -> list[str]:
        """What an operator should know about the account as a whole."""
        newest = self._shipments.versions[-1:]
        if self._version in self._shipments.versions:
            return []
        told = f"; its newest version is {newest[0]}" if newest else ""
        return [
            f"The changelog says nothing of {self._version}{told}. Fixes are told by the version of Linux in it, and "
            "by what older versions had."
        ]

    def of(self, cve: str) -> dict[str, Any] | None:
        """The row of a CVE; None if it was never in this kernel."""
        record = self._records[cve]
        row = {"cve": cve, **{name: record[name] for name in ("title", "vector", "score", "severity")}}
        row["published"] = _time(self._index.published.get(cve))
        row["exploited"] = self._index.exploited.get(cve)
        row["likely"] = self._index.likely.get(cve)
        if record["wrong"]:
            return {
                **row,
                "files": record["files"],
                "state": UNKNOWN,
                "why": record["wrong"],
                "fix": None,
                "shipped": None,
            }
        pairs = self._pairs(record["pairs"])
        if not pairs:
            return None
        fixes = self._fixes(pairs)
        named = [self._fix(pair) for pair in fixes]
        files = sorted({path for fix in named for path in self._series.files.get(fix["commit"], ())})
        row["files"] = files or record["files"]
        return {**row, **self._state(cve, record, fixes), "fix": named[-1] if named else None, "fixes": named}

    def _pairs(self, pairs: list[list[str]]) -> list[list[str]]:
        """The lines of a record that are about bugs which this kernel had: none if it never had one."""
        bugs: dict[tuple[str, str], list[list[str]]] = {}
        for pair in pairs:
            bugs.setdefault((pair[0], pair[1]), []).append(pair)
        found = []
        for (introduced, _commit), lines in bugs.items():
            came = linux_versions.parse(introduced)
            if linux_versions.holds(self._kernel, came) and not self._began_without(came, lines):
                found += lines
        return found

    def _began_without(self, came: linux_versions.Version, lines: list[list[str]]) -> bool:
        """Whether the series had the fix from its first release on, or got the bug and all of its fix in one release.

        A fix can be several commits of mainline, of which the series began with some.
        """
        fixed = [linux_versions.parse(pair[2]) for pair in lines if pair[2] != NOT_FIXED]
        mainline = [version for version in fixed if version == linux_versions.series(version)]
        if mainline and all(linux_versions.holds(self._base, version) for version in mainline):
            return True
        return any(linux_versions.is_in_series(version, self._base) and version <= came for version in fixed)

    def _fixes(self, pairs: list[list[str]]) -> list[list[str]]:
        """Those that are in a release of this series, the first release first."""
        found = {
            pair[3]: pair
            for pair in pairs
            if pair[2] != NOT_FIXED and linux_versions.is_in_series(linux_versions.parse(pair[2]), self._base)
        }
        return sorted(found.values(), key=lambda pair: linux_versions.parse(pair[2]))

    def _fix(self, pair: list[str]) -> dict[str, Any]:
        there = self._series.commits.get(pair[3])
        return {
            "commit": pair[3],
            "version": pair[2],
            "in_mirror": there is not None,
            "title": there["title"] if there else "",
            "time": _time(there["time"] if there else None),
            "signed": self._index.signers.get(pair[2], ("", NOT_CHECKED))[1],
            "reverted_in": self._series.reverted.get(pair[3]),
        }

    def _state(self, cve: str, record: Mapping[str, Any], fixes: list[list[str]]) -> dict[str, Any]:
        """Open, fixed or unknown, why, and which version of the distribution ships the fix."""
        # An entry of a changelog is one commit: of several it does not say that all are there.
        wanted = (
            Fix(cve, record["title"], fixes[-1][2] if fixes else "") if len(fixes) < 2 else Fix("", "", fixes[-1][2])
        )
        here = self._shipments.of(wanted, self._until)
        anywhere = self._shipments.of(wanted)
        shipped = {"version": anywhere.version, "by": list(anywhere.by)} if anywhere.version else None
        if here.taken_out:
            why = f"The distribution took the fix out again in {here.taken_out}."
            return {"state": OPEN, "why": why, "shipped": shipped}
        reverted = [self._series.reverted[pair[3]] for pair in fixes if pair[3] in self._series.reverted]
        if any(self._has(version) for version in reverted):
            why = f"The series took the fix back in {reverted[-1]}."
            return {"state": UNKNOWN, "why": why, "shipped": shipped}
        if here.version:
            why = f"Shipped since {here.version}, by {' and '.join(here.by)}."
            return {"state": FIXED, "why": why, "shipped": shipped}
        if fixes and all(self._has(pair[2]) for pair in fixes):
            return {"state": FIXED, "why": f"Linux {fixes[-1][2]} has the fix.", "shipped": shipped}
        why = "" if fixes else "The series has no fix."
        return {"state": OPEN, "why": why, "shipped": shipped}

    def _has(self, version: str) -> bool:
        return bool(version) and linux_versions.holds(self._kernel, linux_versions.parse(version))
