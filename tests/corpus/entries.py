# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests: fixes as files and hunk numbers between two versions of a source package (see corpus/README.md)."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import corpus
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache

HERE = pathlib.Path(__file__).resolve().parent
MANIFESTS = HERE / "manifests"
CUSTOM = HERE / "custom"
WITNESS = "exercise.py"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One fix.  ``name`` is its first CVE, numbered if the manifest has several entries for it.

    ``patch`` is the path of its patch, if it is not ``hunks`` between two versions; ``kinds`` are those of the edits of
    a patch that was made at random.
    """

    name: str
    cves: tuple[str, ...]
    subject: str
    hunks: dict[str, list[int]]
    notes: str
    patch: str = ""
    kinds: tuple[str, ...] = ()

    @property
    def update(self) -> str:
        """The name of the update that fixes it."""
        return self.name.lower()

    @property
    def custom(self) -> list[tuple[str, str]]:
        """Its custom code: each file, and the kernel source that it belongs to."""
        directory = CUSTOM / self.name
        return [(str(path), path.relative_to(directory).as_posix()) for path in sorted(directory.rglob("*.c"))]

    @property
    def more_patches(self) -> list[str]:
        """Patches that go on top of the fix for its custom code."""
        return [str(path) for path in sorted((CUSTOM / self.name).glob("*.patch"))]

    @property
    def witness(self) -> str:
        """The script that watches objects which were there before the update; "" if it has none."""
        path = CUSTOM / self.name / WITNESS
        return path.read_text(encoding="utf-8") if path.exists() else ""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Fixes that a distribution shipped between two versions, and the kernel that lacks them."""

    path: pathlib.Path
    package: str
    before: str
    after: str
    kernel: str
    entries: tuple[Entry, ...]
    random: bool = False  # not every entry need compile

    @property
    def name(self) -> str:
        return self.path.stem

    def chosen(self, only: str) -> list[Entry]:
        """The entries that ``only`` names by their CVEs, separated by commas or blanks; all if it names none.

        Raises ``ValueError`` for a name that is not there.
        """
        names = only.replace(",", " ").upper().split()
        known = {name for entry in self.entries for name in (entry.name.upper(), *entry.cves)}
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"{self.path} has no entry {', '.join(unknown)}")
        return [e for e in self.entries if not names or {e.name.upper(), *e.cves} & set(names)]

    def patches(self, cache: Cache) -> t.Callable[[Entry], bytes]:
        """What derives an entry's patch; the sources are fetched once for all of them."""
        if all(entry.patch for entry in self.entries):
            return lambda entry: pathlib.Path(entry.patch).read_bytes()
        files = sorted({path for entry in self.entries for path in entry.hunks})
        before, after = (corpus.unpacked(cache, self.package, version, files) for version in (self.before, self.after))
        return lambda entry: corpus.derive_from(before, after, entry.hunks)


def read_manifest(path: str | pathlib.Path) -> Manifest:
    """Reads a manifest."""
    path = pathlib.Path(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    source = content["source"]
    entries: list[Entry] = []
    for row in content["entries"]:
        first = row["cve"][0]
        number = 1 + sum(first == entry.cves[0] for entry in entries)
        entries.append(
            Entry(
                first if number == 1 else f"{first}.{number}",
                tuple(row["cve"]),
                row.get("subject", ""),
                row["hunks"],
                row.get("notes", ""),
                str(path.parent / row["patch"]) if "patch" in row else "",
                tuple(row.get("kinds", ())),
            )
        )
    versions = (source["source_package"], source["from"], source["to"], source["kernel"])
    return Manifest(path, *versions, tuple(entries), content.get("random", False))
