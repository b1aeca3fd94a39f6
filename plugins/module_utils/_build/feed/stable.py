# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commits of the stable series (linux-stable), read from a mirror: the fixes as they were made for each series."""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.git import Repository

FORMAT = "--format=%H%n%ct%n%s%n%b"  # with -z: no message has a zero byte
TAG = re.compile(r"v(?P<version>\d+\.\d+(\.\d+)?)")
REVERTS = re.compile(r"This reverts commit ([0-9a-f]{40})")
# How a stable commit names the mainline commit that it was made from.
UPSTREAM = re.compile(r"^(?:commit ([0-9a-f]{40}) upstream|\[ Upstream commit ([0-9a-f]{40}) \])", re.MULTILINE)


def branch_of(series: str) -> str:
    """The branch of a series: ``linux-6.1.y`` of 6.1."""
    return f"linux-{series}.y"


def read_series(mirror: Repository, series: str, tip: str, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """The commits of a series up to ``tip``, oldest first, with the version of the first release that has each.

    ``known`` is what this returned last time; only commits after it are read, unless the mirror begins earlier now.
    ``commits`` has rows of name, time (seconds since 1970), title, mainline commit and what it reverts;
    ``tags`` has the commit of each release by its version.

    Raises ``RebootlessError`` (``mirror_damaged``).
    """
    begins = _begin(mirror, tip)
    rows = []
    since: list[str] = []
    if known and known["begins"] == begins and _goes_on(mirror, known["tip"], tip):
        rows, since = list(known["commits"]), ["--not", known["tip"]]
    text = mirror.run("log", "-z", "--reverse", "--topo-order", FORMAT, tip, *since).decode(errors="replace")
    rows += [_row(part) for part in text.split("\0") if part]
    return {"tip": tip, "begins": begins, "commits": rows, "tags": _tags(mirror, series)}


def _goes_on(mirror: Repository, old: str, new: str) -> bool:
    return bool(mirror.commit(old)) and mirror.try_("merge-base", "--is-ancestor", old, new).status == 0


def _begin(mirror: Repository, tip: str) -> list[str]:
    """Where the history begins: its first commits, of which a shallow mirror has no parents."""
    return sorted(mirror.run("rev-list", "--max-parents=0", tip).decode().split())


def _row(text: str) -> list[Any]:
    name, time, title, body = text.split("\n", 3)
    upstream = UPSTREAM.search(body)
    reverts = REVERTS.search(body)
    return [name, int(time), title, (upstream[1] or upstream[2]) if upstream else "", reverts[1] if reverts else ""]


def _tags(mirror: Repository, series: str) -> dict[str, str]:
    listed = mirror.run(
        "for-each-ref", "--format=%(refname:short) %(objectname) %(*objectname)", f"refs/tags/v{series}*"
    )
    found = {}
    for name, *objects in map(str.split, listed.decode().splitlines()):
        match = TAG.fullmatch(name)
        if match and (match["version"] == series or match["version"].startswith(f"{series}.")):
            found[match["version"]] = objects[-1]
    return found


class Series:
    """What ``read_series`` read, to be asked for a commit.

    ``commits`` has for each its ``version`` (empty after the newest release), ``time``, ``title`` and ``upstream``;
    ``reverted`` has for each commit that another one takes back the version in which that is; ``files`` what the
    commits that records name change.
    """

    def __init__(self, read: Mapping[str, Any]) -> None:
        versions = {commit: version for version, commit in read["tags"].items()}
        self.commits: dict[str, dict[str, Any]] = {}
        taken_back: dict[str, tuple[str, str]] = {}
        self.files: Mapping[str, list[str]] = read.get("files", {})
        version = ""
        for name, time, title, upstream, reverts in reversed(read["commits"]):
            version = versions.get(name, version)
            self.commits[name] = {"version": version, "time": time, "title": title, "upstream": upstream}
            if reverts:
                taken_back[reverts] = name, version
        # What takes a commit back can be taken back itself.
        self.reverted = {commit: by[1] for commit, by in taken_back.items() if by[0] not in taken_back}


def files_of(mirror: Repository, commits: Iterable[str]) -> dict[str, list[str]]:
    """The files that each commit changes.

    Of a commit whose parents the mirror does not have nothing is said: all of its files would seem new.
    """
    named = list(commits)
    if not named:
        return {}
    text = mirror.run("diff-tree", "--stdin", "-r", "--name-only", given="".join(f"{c}\n" for c in named).encode())
    wanted, current = set(named), ""
    found: dict[str, list[str]] = {}
    for line in text.decode(errors="replace").splitlines():
        if line in wanted:
            current = line
            found[current] = []
        elif current:
            found[current].append(line)
    return found
