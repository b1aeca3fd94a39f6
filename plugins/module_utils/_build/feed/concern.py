# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a kernel builds what a fix changes."""

from __future__ import annotations

import functools
import os
from pathlib import Path, PurePosixPath
from typing import Iterable, NamedTuple

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.touched import include_graph
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import (
    KernelTree,
    find_tree,
    read_tree,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import (
    HEADER_SUFFIX,
    SOURCE_SUFFIXES,
)

BUILT, NOT_BUILT, UNKNOWN = "built", "not built", "unknown"
# What no unit is made of.
APART = ("Documentation", "LICENSES", "samples", "tools", "usr")
# Code that is linked into images of its own, which units or the boot image carry: no unit's, and in use all the same.
CARRIED = {"boot", "vdso", "libstub", "realmode", "purgatory"}


class Answer(NamedTuple):
    """``objects`` are what the sources are built into, ``vmlinux`` and modules; not what only includes a header."""

    concerns: str
    objects: tuple[str, ...]


def tree_of(path: str | None, cache: Cache, version: str, build_id: str | None) -> KernelTree | None:
    """The tree at ``path``, or that of the build in the cache; None if there is none.

    A version's package has kernels of several configurations, so that it is the build ID that tells a tree.
    Raises ``RebootlessError`` of ``read_tree``.
    """
    if path:
        return read_tree(Path(path))
    return find_tree(cache, None, build_id, version) if build_id else None


class Built:
    """What a kernel tree builds; ``jobs`` compilers make the sources that are generated, if they are not there yet."""

    def __init__(self, tree: KernelTree, jobs: int) -> None:
        self._tree = tree
        self._source = Path(tree.source)
        self._graph = include_graph(tree, jobs)
        stems = [name.removesuffix(".o") for name in tree.units.units]
        self._used = self._graph.included_by(f"{stem}{suffix}" for stem in stems for suffix in SOURCE_SUFFIXES)
        self._of_file = functools.lru_cache(maxsize=None)(self._look)

    def of(self, files: Iterable[str]) -> Answer:
        """Whether this kernel builds any of the files, which are paths in the kernel's source.

        ``UNKNOWN`` if it may: the files are not in this kernel's source, or of a kind of which that cannot be told.
        """
        answers = [self._of_file(path) for path in files]
        kinds = {answer.concerns for answer in answers} or {UNKNOWN}
        concerns = next(kind for kind in (BUILT, UNKNOWN, NOT_BUILT) if kind in kinds)
        return Answer(concerns, tuple(sorted({name for answer in answers for name in answer.objects})))

    def _look(self, path: str) -> Answer:
        parts = PurePosixPath(path).parts
        if os.path.isabs(path) or ".." in parts:
            return Answer(UNKNOWN, ())
        if parts[:1] and parts[0] in APART or self._is_of_another_machine(parts):
            return Answer(NOT_BUILT, ())
        unit = self._tree.units.unit_of(path)
        if unit is not None:
            return Answer(BUILT, unit.objects)
        if not (self._source / path).is_file() or CARRIED.intersection(parts):
            return Answer(UNKNOWN, ())
        if os.path.splitext(path)[1] not in (*SOURCE_SUFFIXES, HEADER_SUFFIX):
            return Answer(UNKNOWN, ())  # a makefile, a table that sources are made of
        if path not in self._used:
            return Answer(NOT_BUILT, ())
        if path.endswith(HEADER_SUFFIX):
            return Answer(BUILT, ())
        units = self._tree.units.units_of(self._graph.reached_from([path]))
        return Answer(BUILT, tuple(sorted({name for one in units for name in one.objects})))

    def _is_of_another_machine(self, parts: tuple[str, ...]) -> bool:
        return parts[:1] == ("arch",) and len(parts) > 2 and parts[1] != self._tree.architecture.source
