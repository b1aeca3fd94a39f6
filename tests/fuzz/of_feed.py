# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of what the feed is made from: records, changelogs and ratings that others publish; and of its index."""

from __future__ import annotations

import json

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.changelogs import CHANGELOGS
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed import linux_versions, ratings
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.index import FORMAT, NAME, read_index
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.records import read_record
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.scores import rate
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.shipped import Fix, Shipments
from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.tests.fuzz.reader import PART, Reader, parts, scratch
from ansible_collections.rebootless.splice.tests.support.feed_sources import CHANGELOG

CVE = "CVE-2026-52928"
DYAD = b"# dyad version: 1.2.0\n5.15:" + b"a" * 40 + b":6.1.177:" + b"b" * 40 + b"\n2.6.12:0:0:0\n"
RECORD = {
    "dataType": "CVE_RECORD",
    "dataVersion": "5.1.1",
    "cveMetadata": {"cveId": CVE},
    "containers": {"cna": {"title": "af_unix: one", "affected": [{"programFiles": ["net/unix/af_unix.c"]}]}},
}
VECTOR = b"f4215fc3 CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H\n"
EXPLOITED = {"vulnerabilities": [{"cveID": CVE, "dateAdded": "2026-05-01", "dueDate": "2026-05-15"}]}
LIKELY = f"#model_version:v2026,score_date:2026-09-01\ncve,epss,percentile\n{CVE},0.2,0.9\n".encode()
EMPTY: dict[str, dict[str, str]] = {
    name: {} for name in ("sources", "signers", "records", "published", "series", "uploads", "exploited", "likely")
}


def read_of_record(data: bytes) -> None:
    """A record is read or is wrong for a reason; what can be relied on has versions that can be compared."""
    dyad, said, vector, commits = parts(data, 4)
    record = read_record(CVE, {"dyad": dyad, "json": said, "cvss": vector, "sha1": commits})
    strict_json.exact(record)
    if record["vector"]:
        rate(record["vector"])
    for introduced, _by, fixed, _commit in () if record["wrong"] else record["pairs"]:
        linux_versions.holds(linux_versions.parse("6.1.176"), linux_versions.parse(introduced))
        linux_versions.parse(fixed)


def read_changelog(data: bytes) -> None:
    """A changelog is refused, or says which version ships what."""
    text = CHANGELOGS.read_file(scratch("changelog", data))
    uploads = CHANGELOGS.uploads(text, "6.1")
    strict_json.exact(uploads)
    shipments = Shipments(uploads, ())
    for row in uploads:
        for title, _cves, release in row["entries"]:
            shipments.of(Fix(CVE, title, ""))
            assert release == "" or release[0].isdigit()


def read_of_ratings(data: bytes) -> None:
    """KEV and EPSS are refused, or say something of CVEs."""
    known, chance = parts(data, 2)
    assert ratings.parsed(ratings.exploited, known, "kev")["cves"]
    assert all(0 <= value <= 1 for value in ratings.parsed(ratings.likely, chance, "epss")["cves"].values())


def read_of_index(data: bytes) -> None:
    """An index is refused, or has all of its tables."""
    read_index(scratch(NAME, data).parent)


READERS = {
    "record": Reader(
        read_of_record, lambda: [("dyad", PART.join((DYAD, json.dumps(RECORD).encode(), VECTOR, b"a" * 40)))]
    ),
    "changelog": Reader(read_changelog, lambda: [("two", CHANGELOG.encode())]),
    "ratings": Reader(read_of_ratings, lambda: [("both", PART.join((json.dumps(EXPLOITED).encode(), LIKELY)))]),
    "feed_index": Reader(
        read_of_index, lambda: [("empty", json.dumps({"format": FORMAT, "read": "", **EMPTY}).encode())]
    ),
}
