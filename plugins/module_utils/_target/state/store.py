# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages that a host keeps: one file for each update, under its state directory.

The kept file is the package itself, so it proves its own content; nothing else is remembered, for what is live only
the kernel knows.
"""

from __future__ import annotations

import os

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import SUFFIX, Package, read_package

DIRECTORY = "/var/lib/rebootless"
KEPT_MODE = 0o644  # the directory is for its owner only


class Store:
    """Packages by the names of their updates, in ``directory`` (made when first needed, mode 0700)."""

    def __init__(self, directory: str = DIRECTORY) -> None:
        self.directory = directory

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name + SUFFIX)

    def names(self) -> list[str]:
        try:
            entries = os.listdir(self.directory)
        except OSError:
            return []
        return sorted(
            entry[: -len(SUFFIX)] for entry in entries if entry.endswith(SUFFIX) and not entry.startswith(".")
        )

    def holds(self, package: Package) -> bool:
        """Whether this very package is kept already."""
        try:
            with open(self.path(package.name), "rb") as stream:
                return stream.read() == package.content
        except OSError:
            return False

    def get(self, name: str) -> Package | None:
        """The kept package of an update, None if there is none; raises ``RebootlessError`` if it is damaged."""
        return read_package(self.path(name)) if os.path.exists(self.path(name)) else None

    def manifest(self, name: str) -> dict:
        """The manifest of the kept package; empty if there is none, or a damaged one."""
        try:
            package = self.get(name)
        except RebootlessError:
            return {}
        return package.manifest if package else {}

    def remove(self, name: str) -> bool:
        """Drops an update's package, and the directory with the last one; False if there was none."""
        known = disk.remove(self.path(name))
        disk.drop_empty(self.directory)
        return known

    def stage(self, package: Package) -> Staged:
        """Writes the package beside its place, so that a full or read-only disk is found before the kernel is touched.

        The caller holds the host's lock.  Raises ``RebootlessError`` code ``store_failed``.
        """
        path = self.path(package.name)
        try:
            disk.stage(path, package.content, KEPT_MODE)
        except OSError as error:
            what, otherwise = (
                f"The package cannot be kept in {self.directory}",
                "Make it a directory that root can write to.",
            )
            raise disk.refusal(error, "store_failed", what, self.directory, otherwise) from error
        return Staged(path)


class Staged:
    """A package that is written but not in its place yet.

    Used as a context; at its end what was not kept is dropped, and with it a directory that was made for nothing else.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._kept = False

    def __enter__(self) -> Staged:
        return self

    def __exit__(self, *_exception: object) -> None:
        if not self._kept:
            disk.unstage(self._path)
            disk.drop_empty(os.path.dirname(self._path))

    def keep(self) -> None:
        disk.place(self._path)
        self._kept = True
