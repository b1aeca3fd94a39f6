# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what reading the feed costs, and how many fixes are mapped to what ships them: `make bench-feed`.

The records are those of a mirror (``--records``), or 15,000 that are made up in the CNA's form; linux-stable is made
up, and has four releases.  With a mirror, every CVE that a release after the kernel of the tree fixes is mapped, by the
changelog that apt offers and by what the kernel builds.
"""

from __future__ import annotations

import argparse
import collections
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.changelogs import CHANGELOGS
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed import linux_versions
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.concern import UNKNOWN, Built
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.index import Index, read_index
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.request import FeedRequest, linux_version_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.shipped import (
    BY_NUMBER,
    BY_TITLE,
    BY_VERSION,
    Fix,
    Shipments,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.update import update_feed
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import find_tree
from ansible_collections.rebootless.splice.tests.support.feed_sources import FIRST, Records, Stable

SIZE, NEW = 15_000, 100
SERIES, OLDEST = "6.1", "6.1.2-1"


def processor_time() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def measured(what: str, wanted: float, action: t.Callable[[], dict[str, t.Any]]) -> dict[str, t.Any]:
    begin, spent = time.monotonic(), processor_time()
    result = action()
    took, spent = time.monotonic() - begin, processor_time() - spent
    read = f"read {result['read']}"
    print(f"{what:44} {took:6.1f} s, {spent:6.1f} s of processor time (wanted: under {wanted:.0f} s), {read}")
    return result


def made_up(path: pathlib.Path) -> Records:
    records = Records(path)
    for number in range(SIZE):
        _publish(records, number)
    records.record()
    return records


def _publish(records: Records, number: int) -> None:
    fixed = [
        ("5.15", FIRST, f"{series}.{number % 90 + 10}", f"{number:040x}") for series in ("6.1", "6.6", "6.12", "6.18")
    ]
    vector = "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H" if number % 3 else ""
    title = f"net: fix number {number}"
    records.publish(
        f"CVE-2026-{number + 10_000}", title, [f"net/file{number}.c"], [*fixed, ("5.15", FIRST, "7.1", FIRST)], vector
    )


def time_of_reading(place: pathlib.Path, request: FeedRequest, more: t.Callable[[], None]) -> Index:
    cache = Cache(place / "cache")
    first = measured("from nothing", 60, lambda: update_feed(request, cache))
    print("   " + ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in first["timings"].items()))
    measured("again, with nothing new", 5, lambda: update_feed(request, cache))
    more()
    measured(f"again, with {NEW} new records", 5, lambda: update_feed(request, cache))
    return read_index(request.directory)


def mapping(index: Index, uploads: list[dict[str, t.Any]], kernel: str, built: Built) -> None:
    """Prints how many fixes of later releases are mapped, and by what.

    What the changelog says by title or number is held against the version of Linux: it may be earlier, where the patch
    was taken before its series had it, but never later.
    """
    records = {cve: row for cve, row in index.records.items() if row["state"] == "published" and not row["wrong"]}
    shipments = Shipments(uploads, (row["title"] for row in records.values()))
    base, oldest = linux_versions.parse(SERIES), linux_version_of(kernel)
    newest = linux_version_of(shipments.versions[-1])
    how: collections.Counter[str] = collections.Counter()
    for cve, row in records.items():
        versions = {
            pair[2] for pair in row["pairs"] if linux_versions.is_in_series(linux_versions.parse(pair[2]), base)
        }
        wanted = [version for version in versions if oldest < linux_versions.parse(version) <= newest]
        if not wanted:
            continue
        shipped = shipments.of(Fix(cve, row["title"], max(wanted, key=linux_versions.parse)))
        concerns = built.of(row["files"]).concerns
        how["all"] += 1
        how["mapped"] += bool(shipped.version) and concerns != UNKNOWN
        how["unknown whether built"] += concerns == UNKNOWN
        how["built"] += concerns == "built"
        how.update(f"by {name}" for name in shipped.by)
        how["by title or number"] += bool({BY_TITLE, BY_NUMBER} & set(shipped.by))
        how["shipped before the series had it"] += bool(shipped.by) and BY_VERSION not in shipped.by
        how["not shipped"] += not shipped.version
    print("\n".join(f"{what:44} {number:6}" for what, number in how.items()))
    print(f"{'mapped to version and built or not':44} {how['mapped'] / how['all']:.1%} (wanted: 95 %)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=pathlib.Path, help="a mirror of the CNA's records")
    parser.add_argument("--branch", default="master")
    parser.add_argument("--release", help="the kernel whose tree says what is built")
    parser.add_argument("--cache", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-feed-") as name:
        place = pathlib.Path(name)
        stable = Stable(place / "linux")
        for patch in range(1, 5):
            stable.release(f"6.1.{patch}")
        changelog = place / "changelog"
        packages = CHANGELOGS.packages(Cache(options.cache or place / "cache"), ())
        changelog.write_text(packages.text(packages.newest(SERIES)))
        urls = [str(options.records.absolute()) if options.records else "", options.branch]
        if options.records:
            # A copy, in which NEW more records can be published.
            subprocess.run(
                ["git", "clone", "-q", "--no-checkout", "-b", options.branch, urls[0], str(place / "copy")], check=True
            )
            urls[0] = str(place / "copy")
        else:
            made = made_up(place / "vulns")
            urls = [str(made.path), "master"]
        request = FeedRequest(
            place / "feed", [OLDEST], urls[0], urls[1], str(stable.path), changelogs={SERIES: str(changelog)}, max_age=0
        )
        index = time_of_reading(place, request, lambda: _more(pathlib.Path(urls[0])))
        if options.records and options.release:
            tree = find_tree(Cache(options.cache), options.release, None, None, "debian")
            if tree is None:
                sys.exit(f"There is no tree of {options.release} in {options.cache}.")
            mapping(index, index.uploads[SERIES], tree.version, Built(tree, 2))
    return 0


def _more(repository: pathlib.Path) -> None:
    """Publishes NEW records in a repository, by its newest commit's tree."""
    with tempfile.TemporaryDirectory() as name:
        work = Records(pathlib.Path(name) / "new")
        for number in range(SIZE, SIZE + NEW):
            _publish(work, number)
        work.record()
        subprocess.run(["git", "fetch", "-q", str(work.path), "master"], cwd=repository, check=True)
    subprocess.run(["git", "read-tree", "HEAD"], cwd=repository, check=True)
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "FETCH_HEAD"], cwd=repository, check=True, capture_output=True
    ).stdout
    subprocess.run(["git", "update-index", "--index-info"], cwd=repository, input=listed, check=True)
    made = subprocess.run(
        ["git", "write-tree"], cwd=repository, check=True, capture_output=True, text=True
    ).stdout.strip()
    who = ("-c", "user.name=Maintainer", "-c", "user.email=maintainer@example.org")
    words = ["git", *who, "commit-tree", made, "-p", "HEAD", "-m", "more"]
    commit = subprocess.run(words, cwd=repository, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["git", "update-ref", "HEAD", commit], cwd=repository, check=True)


if __name__ == "__main__":
    sys.exit(main())
