# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel trees from directories that the operator brings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import packages
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.material import (
    Material,
    TreeRequest,
    built_with,
    string_in,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree, find_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


@dataclasses.dataclass(frozen=True)
class Directories:
    """The operator's own material: prepared source tree, headers directory, configuration, bootable image, modules."""

    source: str
    headers: str
    config: str
    vmlinuz: str
    modules: str | None = None


class DirectorySource:
    """Trees from directories that the operator brings."""

    origin = "directory"
    suffix = "-directory"

    def __init__(self, directories: Directories) -> None:
        self._given = directories

    def find(self, cache: Cache, request: TreeRequest) -> KernelTree | None:
        """The cached tree of the very same directories, None if it has to be prepared.  Raises like ``material``."""
        self._look()
        tree = find_tree(cache, request.release, VmlinuxImage(Path(self._given.vmlinuz)).build_id, None, self.origin)
        if tree is None:
            return None
        pairs = ((tree.source, self._given.source), (tree.headers, self._given.headers))
        same = all(Path(there) == Path(given).absolute() for there, given in pairs)
        unchanged = disk.sha256_of_file(tree.config) == disk.sha256_of_file(self._given.config)
        return tree if same and unchanged else None

    def check(self, request: TreeRequest) -> str:
        """What would be prepared, in words.  Raises like ``material``."""
        self._look()
        return f"the kernel in {self._given.vmlinuz}"

    def material(self, request: TreeRequest, directory: Path, phases: Phases) -> Material:
        """The given directories, looked over.

        Raises ``RebootlessError``: ``directory_incomplete``, ``source_not_clean``, ``other_kernel``.
        """
        self._look()
        given = self._given
        with phases.phase("read image"):
            release, kernel = self._release(), VmlinuxImage(Path(given.vmlinuz))
            build_id = kernel.build_id
        for name, wanted, there in (
            ("release", request.release, release),
            ("build ID", request.build_id, build_id),
        ):
            if wanted not in (None, there):
                raise RebootlessError(
                    "other_kernel",
                    f"The {name} of the kernel in the given directories is {there}, not {wanted}.",
                    "Give the directories of the kernel that is asked for.",
                    wanted=wanted,
                    found=there,
                )
        modules = Path(given.modules).absolute() if given.modules else None
        return Material(
            release=release,
            build_id=build_id,
            arch=kernel.arch.name,
            version=request.version or "",
            origin=self.origin,
            source=Path(given.source).absolute(),
            source_identity=str(Path(given.source).absolute()),
            headers=Path(given.headers).absolute(),
            config=Path(given.config).absolute(),
            vmlinuz=Path(given.vmlinuz).absolute(),
            modules=modules,
            # An operator may bring the headers that Debian ships.
            variables={**built_with(Path(given.headers), release), **packages.built_with(Path(given.headers))},
        )

    def _release(self) -> str:
        """The release that the given headers are of.  Raises ``RebootlessError`` (``directory_incomplete``)."""
        # #define UTS_RELEASE "6.1.0-50-cloud-amd64"; include/config/kernel.release may lack a distribution's suffix
        release_file = Path(self._given.headers, "include", "generated", "utsrelease.h")
        release = string_in(release_file, "UTS_RELEASE")
        if not release:
            raise RebootlessError(
                "directory_incomplete",
                f"The header {release_file} does not say which kernel it is of: it defines no UTS_RELEASE.",
                "Give the headers that the distribution ships for building modules.",
                path=str(release_file),
            )
        return release

    def _look(self) -> None:
        given = self._given
        wanted = (
            (Path(given.source, "Makefile"), "the kernel source's Makefile"),
            (Path(given.source, "Kbuild"), "the kernel source's Kbuild"),
            (Path(given.headers, "Module.symvers"), "the headers' Module.symvers"),
            (Path(given.headers, "include", "generated", "utsrelease.h"), "the headers' utsrelease.h"),
            (Path(given.config), "the configuration"),
            (Path(given.vmlinuz), "the bootable image"),
        )
        for path, what in wanted:
            if not path.is_file():
                raise RebootlessError(
                    "directory_incomplete",
                    f"There is no {path}, {what}.",
                    "Give the source, the headers that modules are built against, .config and vmlinuz of one kernel.",
                    path=str(path),
                )
        if Path(given.source, ".config").exists() or Path(given.source, "include", "config").is_dir():
            raise RebootlessError(
                "source_not_clean",
                f"The kernel source {given.source} has been built in place.",
                "Run make mrproper in a copy of it, and give that copy.",
                path=given.source,
            )
