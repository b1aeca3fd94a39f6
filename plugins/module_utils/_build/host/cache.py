# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build host's cache: downloads, sources, kernel trees, helper modules and builds.

    debs/<sha256>/<file name>        packages as downloaded
    sources/<package>_<version>/     unpacked kernel sources, shared by the trees of all flavours
    trees/<release>-<build ID>/      kernel trees (kernel/tree.py)
    helpers/<digest>/                built helper modules (artifacts/helper.py)
    builds/<digest>/                 packages (update.py)
    kmod/<digest>/                   sources of helper modules (artifacts/helper.py)
    locks/                           one file for each directory that is being made (waiting.py)

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
from typing import Any, ContextManager, Iterator, TypeVar

from ansible_collections.rebootless.splice.plugins.module_utils._build.host import waiting
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

DEFAULT_ROOT = "~/.cache/rebootless"

T = TypeVar("T")


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
            raise _not_usable(f"The cache directory {path} cannot be made", path, error) from error
        return path

    @contextlib.contextmanager
    def lock(self, name: str, urgent: bool = False) -> Iterator[None]:
        """Holds the lock ``name``, waiting until it is free, ``urgent`` as `waiting.held` says.  Not reentrant."""
        path = self._lock_file(name)
        with contextlib.ExitStack() as held:
            _enter(held, waiting.held(path, f"{name} in {self.root}", urgent), path)
            yield

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Like ``lock``, for work in portions: who waits comes before who has had it and takes it again.

        Urgent ones wait in a row of their own, and come before all others.
        """
        path = self._lock_file(name)
        with contextlib.ExitStack() as held:
            with contextlib.ExitStack() as row:
                urgent = _enter(row, waiting.ahead(path), path)
                row.enter_context(self.lock(f"{name}-next-urgent" if urgent else f"{name}-next", urgent))
                held.enter_context(self.lock(name, urgent))
            yield

    def _lock_file(self, name: str) -> Path:
        return self.directory("locks") / name.replace("/", "@")

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


def _enter(stack: contextlib.ExitStack, lock: ContextManager[T], path: Path) -> T:
    try:
        return stack.enter_context(lock)
    except OSError as error:
        raise _not_usable(f"The lock {path} of the cache cannot be taken", path, error) from error


def _not_usable(sentence: str, path: Path, error: OSError) -> RebootlessError:
    return RebootlessError(
        "cache_not_usable",
        f"{sentence}: {error.strerror}.",
        "Give a cache directory that this user can write to.",
        path=str(path),
    )


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
