# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of the kernel's CNA (vulns.git), read from a commit of their mirror.

    cve/published/2026/CVE-2026-52928.sha1   the fix's commits in mainline, one a line
                                     .dyad   where the bug came in and where it went, a line for each series
                                     .json   the CVE record, version 5
                                     .cvss   vector and reasons; not for all
    cve/rejected/...                         numbers that were taken back

A record that cannot be read is kept with the reason, and what it is about counts as unknown: never as fixed.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Iterable, Iterator, Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.feed import linux_versions, scores
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.git import Repository
from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

PUBLISHED, REJECTED = "published", "rejected"
READ = ("cvss", "dyad", "json", "sha1")
FILE = re.compile(
    rb"\d+ blob (?P<blob>[0-9a-f]+)\tcve/(?P<state>published|rejected)/\d{4}/"
    rb"(?P<cve>CVE-\d{4}-\d{4,19})\.(?P<kind>cvss|dyad|json|sha1)"
)
RECORD = re.compile(rb"cve/published/\d{4}/(?P<cve>CVE-\d{4}-\d{4,19})\.json")
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
# The version of the CNA's tool, or in older records its commit; two of the oldest have none.
DYAD_VERSION = re.compile(r"^# dyad version: *(?P<version>.*)$", re.MULTILINE)
KNOWN_VERSION = re.compile(r"1\.\d+\.\d+|[0-9a-f]{12}")
JSON_VERSION = re.compile(r"5\.\d+(\.\d+)?")
NOT_FIXED = "0"
MOST = 1_000_000  # bytes of a file of a record; the largest has 200,000


def read_changed(mirror: Repository, commit: str, known: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """All records at ``commit`` by CVE, and how many were read; those that ``known`` has from the same files are not.

    What is the same is told by the names of the files' contents, so that it does not matter how the mirror got there.

    Raises ``RebootlessError``: ``no_records``, ``mirror_damaged``, ``disk_full``.
    """
    listed = _listed(mirror, commit)
    if not listed:
        raise RebootlessError(
            "no_records",
            f"The commit {commit[:12]} of {mirror.path} has no records of CVEs.",
            "Name the address of the kernel CNA's repository (vulns.git), or of a mirror of it.",
        )
    records, new = {}, {}
    for cve, (state, files) in listed.items():
        stamp = hashlib.sha256(repr((state, sorted(files.items()))).encode()).hexdigest()[:20]
        old = known.get(cve)
        if old is not None and old["stamp"] == stamp:
            records[cve] = old
        else:
            new[cve] = (state, files, stamp)
    for cve, record in _read(mirror, new):
        records[cve] = record
    return dict(sorted(records.items())), len(new)


def first_published(mirror: Repository, commit: str, since: str, known: Mapping[str, int]) -> dict[str, int]:
    """When each record was published first: the time of the commit that brought it, in seconds since 1970.

    ``known`` is what this returned for the commit ``since`` (empty the first time); only commits after it are read.
    Of records that are older than the history in the mirror nothing is said.

    Raises ``RebootlessError`` (``mirror_damaged``).
    """
    shallow = mirror.is_shallow()
    # All that is in the first commit of a part of the history came with it or before.
    begin = mirror.run("rev-list", "--max-parents=0", commit).decode().split() if shallow else []
    if since and mirror.try_("merge-base", "--is-ancestor", since, commit).status == 0:
        found = _added(mirror, commit, [since, *begin], known)
        if shallow or len(found) >= len(_names(mirror, commit)):
            return found
    return _added(mirror, commit, begin, {})


def _added(mirror: Repository, commit: str, left_out: Iterable[str], known: Mapping[str, int]) -> dict[str, int]:
    words = ("log", "--format=@%ct", "--diff-filter=A", "--no-renames", "--name-only", commit)
    text = mirror.run(*words, *(f"^{name}" for name in left_out), "--", "cve/published")
    found = dict(known)
    time = 0
    for line in text.splitlines():
        match = RECORD.fullmatch(line)
        if line.startswith(b"@"):
            time = int(line[1:])
        elif match:
            cve = match["cve"].decode()
            found[cve] = min(time, found.get(cve, time))
    return dict(sorted(found.items()))


def _names(mirror: Repository, commit: str) -> list[bytes]:
    """The records that are published at a commit."""
    listed = mirror.run("ls-tree", "-r", "--name-only", commit, "--", "cve/published")
    return [line for line in listed.splitlines() if RECORD.fullmatch(line)]


def _listed(mirror: Repository, commit: str) -> dict[str, tuple[str, dict[str, str]]]:
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for line in mirror.run("ls-tree", "-r", "-z", commit, "--", "cve/published", "cve/rejected").split(b"\0"):
        match = FILE.fullmatch(line)
        if match is None:
            continue
        cve, state = match["cve"].decode(), match["state"].decode()
        # One that stands at both places is half moved: what is published counts, since it may be open.
        if found.get(cve, (state,))[0] != state:
            if state == REJECTED:
                continue
            del found[cve]
        found.setdefault(cve, (state, {}))[1][match["kind"].decode()] = match["blob"].decode()
    return found


def _read(
    mirror: Repository, wanted: Mapping[str, tuple[str, Mapping[str, str], str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    published = [
        (cve, kind, blob) for cve, row in wanted.items() if row[0] == PUBLISHED for kind, blob in row[1].items()
    ]
    contents = mirror.contents([blob for _cve, _kind, blob in published])
    texts: dict[str, dict[str, bytes]] = {}
    for (cve, kind, _blob), text in zip(published, contents):
        texts.setdefault(cve, {})[kind] = text
        if len(texts[cve]) == len(wanted[cve][1]):
            yield cve, {"stamp": wanted[cve][2], "state": PUBLISHED, **read_record(cve, texts.pop(cve))}
    for cve, (state, _files, stamp) in wanted.items():
        if state == REJECTED:
            yield cve, {"stamp": stamp, "state": REJECTED}


def read_record(cve: str, texts: Mapping[str, bytes]) -> dict[str, Any]:
    """What the files of a record say; ``wrong`` is why it cannot be relied on, empty if it can."""
    record: dict[str, Any] = {"title": "", "files": [], "mainline": [], "pairs": [], "vector": "", "wrong": ""}
    try:
        if any(len(text) > MOST for text in texts.values()):
            raise ValueError("one of its files is too large")
        record["vector"] = scores.vector_in(texts.get("cvss", b""))
        record.update(_of_json(cve, texts))
        record["mainline"] = _commits(texts.get("sha1", b"").decode().split())
        record["pairs"] = _pairs(texts)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        record["wrong"] = f"{error}" if isinstance(error, ValueError) else f"its JSON has another form ({error!r})"
    return record


def _of_json(cve: str, texts: Mapping[str, bytes]) -> dict[str, Any]:
    if "json" not in texts:
        raise ValueError("it has no JSON file")
    said = strict_json.parse(texts["json"])
    if said.get("dataType") != "CVE_RECORD" or not JSON_VERSION.fullmatch(str(said.get("dataVersion"))):
        raise ValueError(f"its JSON is of the unknown format {str(said.get('dataVersion'))[:20]}")
    if said["cveMetadata"]["cveId"] != cve:
        raise ValueError(f"its JSON is that of {str(said['cveMetadata']['cveId'])[:20]}")
    cna = said["containers"]["cna"]
    files = sorted({path for row in cna["affected"] for path in row.get("programFiles", ())})
    if not all(isinstance(path, str) for path in (*files, cna["title"])):
        raise ValueError("its title or a file of it is no text")
    return {"title": cna["title"], "files": files}


def _pairs(texts: Mapping[str, bytes]) -> list[list[str]]:
    """The lines of the dyad file: introduced in version, by commit, fixed in version, by commit."""
    if "dyad" not in texts:
        raise ValueError("it has no dyad file")
    text = texts["dyad"].decode()
    for version in DYAD_VERSION.findall(text):
        if KNOWN_VERSION.fullmatch(version.strip()) is None:
            raise ValueError(f"its dyad file is of the unknown format {version[:20].strip()}")
    pairs = [line.split(":") for line in text.splitlines() if line and not line.startswith("#")]
    for pair in pairs:
        if len(pair) != 4:
            raise ValueError(f"a line of its dyad file has {len(pair)} fields")
        for version, commit in (pair[:2], pair[2:]):
            linux_versions.parse(version)
            _commits([commit] if commit != NOT_FIXED else [])
    if not pairs:
        raise ValueError("its dyad file has no line")
    return pairs


def _commits(names: Iterable[str]) -> list[str]:
    found = list(names)
    for name in found:
        if COMMIT.fullmatch(name) is None:
            raise ValueError(f"{name[:40]!r} is no commit")
    return found
