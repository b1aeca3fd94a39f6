# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of unpatched units, kept in the tree: which files a unit reads, what it uses, what was found of it.

Source, configuration and compiler of a tree never change, so all of it is found out once.
"""

from __future__ import annotations

import functools
import os
import tempfile
import zlib
from pathlib import Path
from typing import AbstractSet as Set
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.declarations import Comparer
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.readings import (
    FLAGS,
    Reading,
    text_of,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import Overlay
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.saved_command import (
    Roots,
    SavedCommand,
    run_saved,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.code_digest import source_digest
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import Unit
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk

LINKED = "through a link: "
_KEPT = "asked"  # in the tree
# The preprocessed text, with any number for what counts up: names that hold it are local to the unit, and the
# comparison of objects does not go by it.
_PREPROCESSED = (*FLAGS, "-D__COUNTER__=0")


class KnownUnits:
    """Knows the units of ``tree`` as their sources are in the place ``original``; ``kept`` is the tree as a cache."""

    def __init__(self, tree: KernelTree, kept: Cache, original: Roots, comparer: Comparer) -> None:
        self._tree, self._kept, self._original, self._comparer = tree, kept, original, comparer

    def files(self, unit: Unit, command: SavedCommand) -> Set[str] | None:
        """The places of the files that the compiler reads for the unpatched unit; None if it fails.

        ``LINKED`` is before the place of a file that is read through a link.
        Asked with ``-M``, which takes a third of the time that the preprocessed text takes.
        """
        path = self.path(unit, command, "files")
        if not path.is_file():
            rule = self._output(command.preprocess(self._original, ("-M",)))
            if rule is None:
                return None
            words = rule.decode(errors="replace").replace("\\\n", " ").split()[1:]
            places = {self._place_read(os.path.normpath(os.path.join(self._tree.build, word))) for word in words}
            disk.replace(path, zlib.compress("\n".join(sorted(places)).encode(), 1))
        return set(zlib.decompress(path.read_bytes()).decode().split("\n"))

    def place_of(self, path: str) -> str:
        """Where a file is, behind all links: relative to the kernel's source, or whole if it is not below it."""
        place, below = _real(os.path.join(self._tree.source, path)), f"{_real(self._tree.source)}/"
        return place[len(below) :] if place.startswith(below) else place

    def _place_read(self, path: str) -> str:
        place = self.place_of(path)
        direct = path in (place, os.path.normpath(os.path.join(self._tree.source, place)))
        return place if direct else f"{LINKED}{place}"

    def reading(self, unit: Unit, command: SavedCommand) -> Reading | None:
        """What the unpatched unit, a C source, reads and uses; None if it cannot be preprocessed."""
        path = self.path(unit, command, "uses")
        if not path.is_file():
            printed = self._output(command.preprocess(self._original, _PREPROCESSED))
            if printed is None:
                return None
            disk.replace(path, zlib.compress(Reading.of(printed, self._comparer).to_bytes(), 1))
        return Reading.from_bytes(zlib.decompress(path.read_bytes()))

    def preprocessed(self, command: SavedCommand, place: Roots, flags: Sequence[str] = ()) -> bytes | None:
        """The preprocessed source from ``place``, printed with further ``flags``; None if it cannot be preprocessed."""
        printed = self._output(command.preprocess(place, (*_PREPROCESSED, *flags)))
        return None if printed is None else text_of(printed)

    def preprocessed_from(self, command: SavedCommand, overlay: Overlay) -> tuple[bytes | None, Set[str]]:
        """The same from an overlay, and the paths of the files that were read."""
        with tempfile.NamedTemporaryFile(prefix="rebootless-") as rule:
            found = self.preprocessed(command, overlay.place, ("-MD", "-MF", rule.name))
            return found, overlay.read(rule.read().decode(errors="replace"))

    def path(self, unit: Unit, command: SavedCommand, what: str) -> Path:
        """Where ``what`` is kept, which depends on the unit's command, and on how it is found out."""
        # Another release that reads sources otherwise must not go by what this one kept.
        digest = sha256_of(source_digest(Reading.__module__), command.command, *_PREPROCESSED, what)
        return self._kept.path(_KEPT, unit.name, f"{what}-{digest[:24]}")

    def _output(self, command: str) -> bytes | None:
        done = run_saved(command, self._tree.build)
        return done.stdout if done.returncode == 0 else None


@functools.lru_cache(maxsize=100_000)
def _real(path: str) -> str:
    return os.path.realpath(path)
