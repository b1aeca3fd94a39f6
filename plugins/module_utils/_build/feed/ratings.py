# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What else is published about CVEs: which are exploited (CISA's KEV), and how likely that is (FIRST's EPSS)."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from typing import Any, Callable

from ansible.module_utils.urls import open_url

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

TIMEOUT_S = 60
LARGEST = 200_000_000  # bytes; KEV has 2 million, EPSS unpacked 12


def read_ratings(url: str, parse: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
    """What ``parse`` says of the file at ``url``, with its digest.

    Raises ``RebootlessError``: ``ratings_not_reachable``, ``ratings_not_readable``.
    """
    content = _content(url)
    digest = hashlib.sha256(content).hexdigest()
    return {"url": url, "sha256": digest, **parsed(parse, content, url)}


def parsed(parse: Callable[[bytes], dict[str, Any]], content: bytes, url: str) -> dict[str, Any]:
    """What ``parse`` says of a file's content, compressed or not.

    Raises ``RebootlessError`` (``ratings_not_readable``).
    """
    try:
        return parse(_unpacked(content))
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, zlib.error, csv.Error) as error:
        raise RebootlessError(
            "ratings_not_readable",
            f"{url} is not the file that it should be: {error!r}.",
            "Look at what it has: a page of a proxy, perhaps.",
        ) from error


def _content(url: str) -> bytes:
    try:
        with open_url(url, timeout=TIMEOUT_S, http_agent="rebootless") as answer:
            content: bytes = answer.read(LARGEST + 1)
    except Exception as error:  # pylint: disable=broad-except  # open_url and http.client have a dozen kinds of them
        raise RebootlessError(
            "ratings_not_reachable",
            f"{url} cannot be read: {error}.",
            "Check the address, the network and the proxy, or leave the address empty.",
        ) from error
    if len(content) > LARGEST:
        raise RebootlessError("ratings_not_readable", f"{url} is too large.", "Look at what it has.")
    return content


def _unpacked(content: bytes) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        unpacked = stream.read(LARGEST + 1)
    if len(unpacked) > LARGEST:
        raise ValueError("unpacked it is too large")
    return unpacked


def exploited(content: bytes) -> dict[str, Any]:
    """KEV: the day each CVE was added, the day until which agencies had to have it fixed, whether it was for ransom."""
    said = strict_json.parse(content)
    rows = {
        str(row["cveID"]): {
            "added": str(row["dateAdded"]),
            "due": str(row.get("dueDate", "")),
            "ransom": row.get("knownRansomwareCampaignUse") == "Known",
        }
        for row in said["vulnerabilities"]
    }
    if not rows:
        raise ValueError("it names no vulnerability")
    return {"released": str(said.get("dateReleased", "")), "cves": rows}


def likely(content: bytes) -> dict[str, Any]:
    """EPSS: how likely each CVE is exploited within 30 days (0 to 1)."""
    lines = content.decode("utf-8").splitlines()
    about = dict(part.partition(":")[::2] for part in lines[0].lstrip("#").split(",")) if lines[:1] else {}
    rows = {
        row["cve"]: float(row["epss"]) for row in csv.DictReader(line for line in lines if not line.startswith("#"))
    }
    if not rows or not all(0 <= value <= 1 for value in rows.values()):
        raise ValueError("it has no rows, or one that is no probability")
    return {"released": about.get("score_date", ""), "cves": rows}
