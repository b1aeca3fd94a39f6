# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where kernel trees come from: a table of sources by the name that the option ``source`` has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Mapping, Protocol

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.source import DebianSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.directory import (
    Directories,
    DirectorySource,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.material import Material, TreeRequest
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree, prepare


class Source(Protocol):
    """Gives the material of kernel trees.

    ``origin`` is its name in the table and in trees, ``suffix`` ends the names of directories of its trees.
    """

    origin: str
    suffix: str

    def find(self, cache: Cache, request: TreeRequest) -> KernelTree | None:
        """The cached tree, None if it has to be prepared.  Raises ``RebootlessError`` (``several_trees``)."""

    def check(self, request: TreeRequest) -> str:
        """What would be prepared, in words; without downloading.  Raises like ``material``."""

    def material(self, request: TreeRequest, directory: Path, phases: Phases) -> Material:
        """All that a tree is prepared from; what has to be unpacked for it lies below ``directory``."""


# By the module's option: what makes the source of the module's options.
SOURCES: dict[str, Callable[[Cache, Mapping[str, Any]], Source]] = {
    DebianSource.origin: lambda cache, given: DebianSource(cache, given["extra_sources"], given["search_limit"]),
    DirectorySource.origin: lambda cache, given: DirectorySource(Directories(**given["directory"])),
}


def get_tree(
    cache: Cache,
    request: TreeRequest,
    source: Source,
    compiler: str | None = None,
    jobs: int = 1,
    say: Callable[[str], None] | None = None,
) -> tuple[KernelTree, bool, Phases]:
    """The tree of the kernel that is asked for, from the cache or prepared now.

    Returns the tree, whether it had to be prepared, and the timings.
    """
    phases = Phases(say)
    name = request.build_id or f"{request.release}"
    with cache.lock(f"tree-{name}"):
        tree = source.find(cache, request)
        if tree is not None:
            tree.check_compiler()
            return tree, False, phases
        with cache.unfinished("trees", name) as directory:
            material = source.material(request, directory, phases)
            final = cache.path("trees", f"{material.release}-{material.build_id[:12]}{source.suffix}")
            tree = prepare(material, directory, final, compiler, jobs, phases)
            with cache.lock("tree-finish"):
                cache.finish(directory, final)
    return tree, True, phases
