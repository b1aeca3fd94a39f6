# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The update store on the controller: a directory for each version of an update.

    <store>/index.json                              what there is, for readers over the network
    <store>/<update>/<version>/manifest.json        manifest.py
    <store>/<update>/<version>/patches/, custom/    the sources
    <store>/<update>/<version>/*.rbl.tar.gz         the packages

A version is one content: once there was a package, other patches are another version.  Files come before the manifest
that names them, the manifest before the index, each as a whole, so that a reader in between sees what was there before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, locks
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import SUFFIX
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import (
    BUILT,
    DAMAGED,
    FILE,
    STATUSES,
    Manifest,
    parse_manifest,
    read_manifest,
)

INDEX = "index.json"
LOCK = ".lock"


@dataclasses.dataclass(frozen=True)
class StoredChange:
    """What adding to the store changed, or would change; ``written`` are paths below the update's directory."""

    before: Manifest | None
    after: Manifest
    written: list[str]

    @property
    def changed(self) -> bool:
        return bool(self.written)


class Store:
    """The store below ``root``."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(os.path.expanduser(root))

    def path(self, name: str, version: str, *parts: str) -> str:
        """Where something of a version of an update is."""
        return os.path.join(self.root, name, version, *parts)

    def manifest(self, name: str, version: str) -> Manifest | None:
        """What is known of a version of an update; ``None`` if it is not in the store.  Errors as `read_manifest`."""
        path = self.path(name, version, FILE)
        if not os.path.lexists(path):
            return None
        manifest = read_manifest(path)
        if (manifest.name, manifest.version) != (name, version):
            raise RebootlessError(
                "bad_manifest",
                f"The manifest {path} is that of {manifest.name} {manifest.version}.",
                "Put the store back as it was; its directories are named by what is in them.",
                path=path,
            )
        return manifest

    def built(self, name: str, version: str) -> Manifest:
        """The manifest of a version of an update.  Raises ``RebootlessError`` code ``update_not_built``."""
        manifest = self.manifest(name, version)
        if manifest is None:
            raise RebootlessError(
                "update_not_built",
                f"The store {self.root} has no {name} {version}.",
                "Run the playbook build first, or name the version.",
                store=self.root,
            )
        return manifest

    def versions(self) -> list[tuple[str, str]]:
        """Name and version of all that is in the store, sorted."""
        found = []
        for name in _directories(self.root):
            for version in _directories(os.path.join(self.root, name)):
                if os.path.lexists(self.path(name, version, FILE)):
                    found.append((name, version))
        return sorted(found)

    def damaged(self, manifest: Manifest) -> dict[str, str]:
        """The manifest's files that are not what it says: path below the update's directory, to what is wrong."""
        problems = {}
        for name, file in manifest.files.items():
            path = self.path(manifest.name, manifest.version, name)
            try:
                size, digest = os.stat(path).st_size, disk.sha256_of_file(path)
            except OSError as error:
                problems[name] = str(error.strerror)
                continue
            if size != file.size:
                problems[name] = f"has {size} bytes and not {file.size}"
            elif digest != file.sha256:
                problems[name] = f"has the SHA-256 {digest} and not {file.sha256}"
        return problems

    def verify(self, manifest: Manifest) -> None:
        """Raises ``RebootlessError`` (``store_damaged``) unless every file is what the manifest says."""
        problems = self.damaged(manifest)
        if problems:
            name, why = next(iter(problems.items()))
            raise RebootlessError(
                "store_damaged",
                f"{self.path(manifest.name, manifest.version, name)} {why}."
                + (f" {len(problems) - 1} more files are damaged." if len(problems) > 1 else ""),
                "Run the build playbook again, which replaces what is damaged, or take the files from a backup.",
                problems=problems,
            )

    def add(self, manifest: Manifest, files: t.Mapping[str, bytes], dry: bool = False) -> StoredChange:
        """Brings a version of an update into the store, or further kernels of one that is there.

        ``manifest`` has the update's sources and what is to be added; ``files`` the content of all its files that
        are new.  ``dry`` only says what would change.  Files may be added to ``ignore_missing``, since that changes
        nothing in packages that there are; to demand one again that a package may have been built without is another
        content.

        A package that is found damaged, and is not among ``files``, becomes an entry that says so.

        Raises ``RebootlessError``: ``update_differs`` if the version is there with other sources; ``not_writable``; the
        codes of a damaged manifest.
        """
        with contextlib.nullcontext() if dry else self._locked():
            before = self.manifest(manifest.name, manifest.version)
            other = _other_sources(before, manifest) if before else None
            if before and other and self._had_package(before):
                raise _update_differs(before, manifest, other)
            after = manifest
            if before and not other:
                after = before.described_as(manifest).with_kernels(manifest.kernels)
            # What was read from elsewhere is checked like what is read back.
            parse_manifest(after.to_json(), f"{manifest.name} {manifest.version}")
            damaged = self.damaged(after)
            written = sorted(name for name in damaged if name in files)
            for name in written:
                if canonical.sha256(files[name]) != after.files[name].sha256:
                    raise ValueError(f"{name} is not the file that the manifest names")
            for entry in after.kernels:
                if entry.package in damaged and entry.package not in files:
                    after = after.without_package(entry.build_id, damaged[entry.package])
            if before is None or before.content != after.content:
                written.append(FILE)
            if not dry:
                self._write(after, files, written)
                for name in before.files.keys() - after.files.keys() if before else ():
                    with contextlib.suppress(OSError):  # of sources that were replaced; nothing names it any more
                        os.unlink(self.path(after.name, after.version, name))
        return StoredChange(before, after, written)

    def _had_package(self, manifest: Manifest) -> bool:
        """Whether a host may run what this version is: a patch for which no build succeeded is just corrected."""
        try:
            names = os.listdir(self.path(manifest.name, manifest.version))
        except OSError:
            return True
        had = any(entry.status == BUILT or entry.code == DAMAGED for entry in manifest.kernels)
        return had or any(name.endswith(SUFFIX) for name in names)

    def _write(self, manifest: Manifest, files: t.Mapping[str, bytes], names: list[str]) -> None:
        content = {**files, FILE: manifest.content}
        for name in names:  # the manifest is the last
            canonical.write(self.path(manifest.name, manifest.version, name), content[name])
        index = canonical.canonical(self.index())
        path = os.path.join(self.root, INDEX)
        with contextlib.suppress(OSError), open(path, "rb") as stream:
            if stream.read() == index:
                return
        canonical.write(path, index)

    def index(self) -> dict[str, t.Any]:
        """What the store has, for ``index.json``; a version whose manifest is damaged is left out."""
        rows = []
        for name, version in self.versions():
            with contextlib.suppress(RebootlessError):
                manifest = self.manifest(name, version)
                if manifest is not None:
                    rows.append(_index_row(manifest))
        return {"format": 1, "updates": rows}

    @contextlib.contextmanager
    def _locked(self) -> t.Iterator[None]:
        """Alone in the store; waits for another process that writes to it."""
        with contextlib.ExitStack() as held:
            try:
                os.makedirs(self.root, exist_ok=True)
                held.enter_context(locks.locked(os.path.join(self.root, LOCK)))
            except OSError as error:
                raise RebootlessError(
                    "not_writable",
                    f"The store {self.root} cannot be written to: {error.strerror}.",
                    "Name a directory that this user can write to.",
                    path=self.root,
                ) from error
            yield


def _index_row(manifest: Manifest) -> dict[str, t.Any]:
    statuses = [entry.status for entry in manifest.kernels]
    return {
        "name": manifest.name,
        "version": manifest.version,
        "cves": manifest.cves,
        "manifest": f"{manifest.name}/{manifest.version}/{FILE}",
        "manifest_sha256": manifest.digest,
        "kernels": {status: statuses.count(status) for status in STATUSES},
    }


def _other_sources(before: Manifest, after: Manifest) -> str | None:
    """The first kind of source in which two contents of a version differ."""
    if [patch.sha256 for patch in before.patches] != [patch.sha256 for patch in after.patches]:
        return "patches"
    one, other = ([(code.sha256, code.source) for code in manifest.custom] for manifest in (before, after))
    if one != other:
        return "custom"
    return "ignore_missing" if set(before.ignore_missing) - set(after.ignore_missing) else None


def _update_differs(before: Manifest, after: Manifest, what: str) -> RebootlessError:
    return RebootlessError(
        "update_differs",
        f"The store has {before.name} {before.version} with other {what}.",
        "Give the update another version; hosts may run the one that is there.",
        stored=before.to_json().get(what, []),
        given=after.to_json().get(what, []),
    )


def _directories(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
