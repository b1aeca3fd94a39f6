# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build host's cache: downloads, sources, kernel trees, helper modules and builds.

    debs/<sha256>/<file name>        packages as downloaded
    sources/<package>_<version>/     unpacked kernel sources, shared by the trees of all flavours
    trees/<release>-<build ID>/      kernel trees (kernel/tree.py)
    helpers/<digest>/                built helper modules (artifacts/helper.py)
    builds/<digest>/                 packages (update.py)
    locks/                           one file for each directory that is being made

A directory of the cache is there whole or not at all: it is made under another name beside its place and renamed when
it is finished.  Two makers of the same directory wait for each other (flock(2)), so an unfinished directory
that a maker finds was left by one that was killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, Iterator

from ansible_collections.rebootless.splice.plugins.module_utils._common import locks
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

DEFAULT_ROOT = "~/.cache/rebootless"


class Cache:
    """The cache below ``root``; directories are made when they are needed.

    Raises ``RebootlessError`` (``cache_not_usable``) if ``root`` cannot be written to.
    """

    def __init__(self, root: str | os.PathLike[str] = DEFAULT_ROOT) -> None:
        self.root = Path(root).expanduser().absolute()

    def path(self, *parts: str) -> Path:
        """The path of ``parts`` below the root; nothing is made."""
        return self.root.joinpath(*parts)

    def directory(self, *parts: str) -> Path:
        """The directory of ``parts`` below the root, made if it is not there."""
        path = self.path(*parts)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RebootlessError(
                "cache_not_usable",
                f"The cache directory {path} cannot be made: {error.strerror}.",
                "Give a cache directory that this user can write to.",
                path=str(path),
            ) from error
        return path

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Holds the lock ``name``, waiting until it is free.  Not reentrant."""
        path = self.directory("locks") / name.replace("/", "@")
        with locks.locked(path):
            yield

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Like ``lock``, for work in portions: who waits comes before who has had it and takes it again."""
        with contextlib.ExitStack() as held:
            with self.lock(f"{name}-next"):
                held.enter_context(self.lock(name))
            yield

    @contextlib.contextmanager
    def unfinished(self, *parts: str) -> Iterator[Path]:
        """An empty directory beside the place of ``parts``; it vanishes with the block unless ``finish`` moved it.

        The caller holds a lock that keeps all other makers of ``parts`` away.
        """
        path = self.directory(*parts[:-1]) / f".making-{parts[-1]}"
        _remove(path)
        path.mkdir()
        try:
            yield path
        finally:
            _remove(path)

    @staticmethod
    def finish(unfinished: Path, final: Path) -> None:
        """Moves a finished directory to its place, where it replaces an outdated one."""
        _remove(final)
        os.rename(unfinished, final)

    @contextlib.contextmanager
    def making(self, *parts: str) -> Iterator[Path]:
        """Like ``unfinished``, and becomes the directory ``parts`` when the block ends without an error."""
        with self.unfinished(*parts) as path:
            yield path
            self.finish(path, self.path(*parts))

    @contextlib.contextmanager
    def made_once(self, *parts: str) -> Iterator[Path | None]:
        """Like ``making`` under the lock of ``parts``; None if the directory is already there."""
        with self.lock("/".join(parts)):
            if self.path(*parts).exists():
                yield None
            else:
                with self.making(*parts) as unfinished:
                    yield unfinished


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        path.unlink()


def sha256_of(*parts: Any) -> str:
    """SHA-256 over ``parts`` (bytes, or anything with a ``str``), hex; each part's length counts, so no two lists
    of different parts are the same input."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()
