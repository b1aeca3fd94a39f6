# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a feed up to date: mirrors, changelogs and ratings into one index."""

from __future__ import annotations

import contextlib
import hashlib
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.changelogs import CHANGELOGS
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed import doubts, ratings, scores, signatures
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.git import Repository
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.index import (
    Index,
    changes,
    read_index,
    with_history,
    write_index,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.mirrors import bring_up_to_date
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.records import (
    PUBLISHED,
    first_published,
    read_changed,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.request import FeedRequest
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.stable import (
    branch_of,
    files_of,
    read_series,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host import deps
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases, Say
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, locks
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

MIRRORS = "mirrors"


def update_feed(request: FeedRequest, cache: Cache, say: Say | None = None) -> dict[str, Any]:
    """Reads what is new, and replaces the index if that changes it; the result of the module ``feed``.

    The index is written last, in one step: a run that fails or is killed leaves the old one, and the next one goes on.

    Raises ``RebootlessError``: ``feed_busy``, ``feed_not_usable``, ``disk_full``, and what reading each source raises.
    """
    deps.require()
    oldest = request.oldest()
    phases = Phases(say)
    with _alone(request):
        old = _old_index(request.directory)
        new = Index(uploads={}, read=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        counts = _records(request, phases, old, new)
        counts.update(_series(request, phases, old, new))
        with phases.phase("read changelogs"):
            for series in oldest:
                _changelog(request, cache, series, old, new)
        with phases.phase("read ratings"):
            _ratings(request, new)
        changed = _differs(old, new)
        with phases.phase("write index"):
            if changed:
                write_index(request.directory, new)
    return {
        "changed": changed,
        "sources": new.sources,
        "read": counts,
        "changes": changes(old, new),
        "signers": signatures.summary(new.signers),
        "doubts": doubts.about(new, request.max_age, time.time()),
        "timings": phases.timings,
    }


@contextlib.contextmanager
def _alone(request: FeedRequest) -> Iterator[None]:
    path = request.directory / "lock"
    try:
        disk.make_directory(str(request.directory), 0o755)
        with contextlib.ExitStack() as held:
            held.enter_context(locks.locked(path, request.wait))
            yield
    except locks.LockHeld as error:
        raise RebootlessError(
            "feed_busy", f"Another run reads this feed: {error}", "Wait until it has ended.", path=str(path)
        ) from error
    except OSError as error:
        code = "disk_full" if error.errno in disk.FULL else "feed_not_usable"
        otherwise = "Give a directory that this user can write to."
        raise disk.refusal(error, code, f"The feed {request.directory} cannot be used", str(path), otherwise) from error


def _old_index(directory: Path) -> Index:
    try:
        return read_index(directory)
    except RebootlessError as error:
        if error.code != "no_feed":
            raise
        return Index()


def _differs(old: Index, new: Index) -> bool:
    parts = set(vars(new)) - {"read"}
    return any(getattr(old, name) != getattr(new, name) for name in parts)


def _records(request: FeedRequest, phases: Phases, old: Index, new: Index) -> dict[str, int]:
    with phases.phase("fetch records"):
        mirror = bring_up_to_date(
            request.directory / MIRRORS / "records", request.records(), lambda _mirror, _tips: None
        )
    with phases.phase("read records"):
        commit = mirror.commit(f"refs/heads/{request.records_branch}")
        read, new_ones = read_changed(mirror, commit, old.records)
        new.records = with_history({cve: _rated(record) for cve, record in read.items()}, old.records)
        since = old.sources.get("records", {}).get("commit", "")
        new.published = first_published(mirror, commit, since, old.published)
    new.sources["records"] = {
        "url": request.records_url,
        "branch": request.records_branch,
        "commit": commit,
        "time": _time(mirror, commit),
    }
    return {"records": new_ones}


def _rated(record: dict[str, Any]) -> dict[str, Any]:
    """A record that was read now with its score; one that is kept has it."""
    if record["state"] != PUBLISHED or "score" in record:
        return record
    score, severity = (scores.rate(record["vector"]) if record["vector"] else None) or (None, "")
    return {**record, "score": score, "severity": severity}


def _series(request: FeedRequest, phases: Phases, old: Index, new: Index) -> dict[str, int]:
    def check(mirror: Repository, tips: Mapping[str, str]) -> None:
        new.signers = signatures.check_tags(mirror, request.keys, old.signers)

    wanted = request.stable()
    with phases.phase("fetch stable"):
        mirror = bring_up_to_date(request.directory / MIRRORS / "stable", wanted, check)
    known = 0
    with phases.phase("read stable"):
        for name in request.oldest():
            before = old.series.get(name)
            read = read_series(mirror, name, mirror.commit(f"refs/heads/{branch_of(name)}"), before)
            known += len(before["commits"]) if before and before["begins"] == read["begins"] else 0
            read["files"] = _files(mirror, new.records, read, before)
            new.series[name] = read
    new.sources["stable"] = {
        "url": request.stable_url,
        "branches": {branch_of(name): read["tip"] for name, read in new.series.items()},
        "time": max(_time(mirror, read["tip"]) for read in new.series.values()),
    }
    return {"commits": sum(len(read["commits"]) for read in new.series.values()) - known}


def _files(
    mirror: Repository, records: Mapping[str, Any], read: Mapping[str, Any], before: Mapping[str, Any] | None
) -> dict[str, list[str]]:
    """The files that the fixes of the series change; those of fixes that were there before are not read again."""
    there = {row[0] for row in read["commits"]}
    fixes = {pair[3] for record in records.values() for pair in record.get("pairs", ())} & there
    known = {name: files for name, files in (before or {}).get("files", {}).items() if name in fixes}
    return dict(sorted({**known, **files_of(mirror, sorted(fixes - known.keys()))}.items()))


def _time(mirror: Repository, commit: str) -> int:
    return int(mirror.run("show", "-s", "--format=%ct", commit))


def _changelog(request: FeedRequest, cache: Cache, series: str, old: Index, new: Index) -> None:
    source, text = _changelog_source(request, cache, series)
    before = old.sources.get("changelogs", {}).get(series)
    new.sources.setdefault("changelogs", {})[series] = source
    new.uploads[series] = old.uploads[series] if before == source else CHANGELOGS.uploads(text(), series)


def _changelog_source(request: FeedRequest, cache: Cache, series: str) -> tuple[dict[str, str], Callable[[], str]]:
    """Where a series' changelog comes from, as it is told from another one, and what reads it."""
    given = request.changelogs.get(series)
    if given is not None:
        content = CHANGELOGS.read_file(Path(given).expanduser())
        return {"file": given, "sha256": hashlib.sha256(content.encode()).hexdigest()}, lambda: content
    packages = CHANGELOGS.packages(cache, request.extra_sources)
    package = packages.newest(series)
    return {"package": str(package)}, lambda: packages.text(package)


def _ratings(request: FeedRequest, new: Index) -> None:
    """Of what is rated only the kernel's CVEs are kept; a small file, so that it is read whole each time."""
    for name, url, parse in (
        ("exploited", request.exploited_url, ratings.exploited),
        ("likely", request.likely_url, ratings.likely),
    ):
        if url:
            read = ratings.read_ratings(url, parse)
            setattr(new, name, {cve: said for cve, said in read.pop("cves").items() if cve in new.records})
            new.sources[name] = read
