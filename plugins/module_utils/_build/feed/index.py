# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The feed's index: one file that says all that was read, and from which commits.

    format    2
    read      when it was read, by this host's clock (only for people)
    sources   records: url, branch, commit, time; stable: url; changelogs: by series package, version, sha256;
              exploited and likely: url, sha256, released
    signers   6.1.177 -> its tag, and who signed it (signatures.py)
    records   CVE -> stamp, state, title, files, mainline, pairs, vector, wrong (records.py), score and severity;
              was: earlier states of a record whose state or fixes have changed since it was first read, newest last
    published CVE -> when its record was published first, in seconds since 1970 (records.py)
    series    6.1 -> tip, begins, commits, tags, files (stable.py)
    uploads   6.1 -> what each version of the distribution's package brought, newest first
    exploited, likely   CVE -> KEV's row, EPSS's probability

Nothing that is derived from it is kept, so that a record that is taken back later changes all answers.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

FORMAT = 2
NAME = "index.json"
Table = dict  # from text to what JSON has


@dataclasses.dataclass
class Index:
    """See the head of this file."""

    sources: Table = dataclasses.field(default_factory=dict)
    signers: Table = dataclasses.field(default_factory=dict)
    records: Table = dataclasses.field(default_factory=dict)
    published: Table = dataclasses.field(default_factory=dict)
    series: Table = dataclasses.field(default_factory=dict)
    uploads: Table = dataclasses.field(default_factory=dict)
    exploited: Table = dataclasses.field(default_factory=dict)
    likely: Table = dataclasses.field(default_factory=dict)
    read: str = ""


def read_index(directory: Path) -> Index:
    """The index of a feed.  Raises ``RebootlessError``: ``no_feed``, ``index_damaged``, ``other_index_format``."""
    path = directory / NAME
    try:
        said = strict_json.read(path)
    except FileNotFoundError as error:
        raise RebootlessError(
            "no_feed",
            f"There is no feed in {directory}.",
            "Run the playbook rebootless.splice.feed first.",
            path=str(path),
        ) from error
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if not isinstance(said, dict):
        raise _damaged(path)
    if not strict_json.is_same(said.pop("format", None), FORMAT):
        raise RebootlessError(
            "other_index_format",
            f"{path} was written by another release of the collection.",
            "Remove it, and run the playbook rebootless.splice.feed again.",
            path=str(path),
        )
    names = {field.name for field in dataclasses.fields(Index)}
    if set(said) != names or not all(isinstance(said[name], dict) for name in names - {"read"}):
        raise _damaged(path)
    return Index(**said)


def _damaged(path: Path) -> RebootlessError:
    return RebootlessError(
        "index_damaged",
        f"{path} is damaged.",
        "Remove it, and run the playbook rebootless.splice.feed again. Look for a failing disk.",
        path=str(path),
    )


def write_index(directory: Path, index: Index) -> None:
    """Replaces a feed's index, whole or not at all.  Raises ``RebootlessError``: ``disk_full``, ``feed_not_usable``."""
    path = str(directory / NAME)
    said = {field.name: getattr(index, field.name) for field in dataclasses.fields(Index)}
    try:
        disk.replace_durably(path, strict_json.exact({"format": FORMAT, **said}), 0o644)
    except OSError as error:
        code = "disk_full" if error.errno in disk.FULL else "feed_not_usable"
        otherwise = "Give a directory that this user can write to."
        raise disk.refusal(error, code, f"{path} cannot be written", path, otherwise) from error


def with_history(records: Mapping[str, Table], before: Mapping[str, Table]) -> dict[str, Table]:
    """The records, with what each was ``before`` if its state or its fixes have changed.

    One that is gone altogether stays, as ``withdrawn``: updates may have been made from it.
    """
    found = {cve: _with_history(record, before.get(cve)) for cve, record in records.items()}
    for cve in before.keys() - records.keys():
        gone = {"stamp": "", "state": "withdrawn"}
        found[cve] = before[cve] if before[cve]["state"] == "withdrawn" else _with_history(gone, before[cve])
    return dict(sorted(found.items()))


def _with_history(record: Table, old: Table | None) -> Table:
    if old is None or old is record:
        return record
    was = list(old.get("was", ()))
    if _essence(old) != _essence(record):
        was.append(_essence(old))
    return {**record, "was": was} if was else record


def _essence(record: Table) -> Table:
    return {"state": record["state"], "pairs": record.get("pairs", []), "wrong": record.get("wrong", "")}


def changes(old: Index, new: Index) -> dict[str, list[str]]:
    """The CVEs that are new, taken back, published again, or whose fixes are other commits now; each list sorted."""
    found: dict[str, list[str]] = {"added": [], "taken_back": [], "published_again": [], "changed": []}
    for cve, record in new.records.items():
        before = old.records.get(cve)
        if before is None:
            kind = "added" if record["state"] == "published" else ""
        elif (before["state"] == "published") != (record["state"] == "published"):
            kind = "published_again" if record["state"] == "published" else "taken_back"
        else:
            kind = "changed" if _essence(before) != _essence(record) else ""
        if kind:
            found[kind].append(cve)
    return found
