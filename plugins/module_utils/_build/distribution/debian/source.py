# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel trees from Debian's packages of image, headers and source."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import packages
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.apt import Apt, DebianPackage
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.archive import (
    relocate_headers,
    unpack_package,
    unpack_source_package,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.material import (
    Material,
    TreeRequest,
    built_with,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree, find_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.disk import replace, sha256_of_file
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


class DebianSource:
    """Trees from Debian's packages; ``extra`` are further apt sources, ``search_limit`` how many image packages may be
    downloaded to look for a build ID."""

    origin = "debian"
    suffix = ""  # of the tree's directory

    def __init__(self, cache: Cache, extra: Sequence[str] = (), search_limit: int = 8) -> None:
        self._cache = cache
        self._apt = Apt(cache, extra)
        self._search_limit = search_limit

    def find(self, cache: Cache, request: TreeRequest) -> KernelTree | None:
        """The cached tree, None if it has to be prepared.  Raises ``RebootlessError`` (``several_trees``)."""
        return find_tree(cache, request.release, request.build_id, request.version, self.origin)

    def check(self, request: TreeRequest) -> str:
        """What would be prepared, in words; without downloading.  Raises like ``material``."""
        if request.release is not None:
            return str(self._apt.find(packages.image(request.release), request.version))
        return f"the kernel with build ID {request.build_id}, searched among the image packages that apt offers"

    def material(self, request: TreeRequest, directory: Path, phases: Phases) -> Material:
        """Downloads and unpacks what the tree needs: the source into the cache, all else below ``directory``.

        Raises ``RebootlessError``: ``build_id_not_found``, ``package_not_found``, ``download_failed``, ...
        """
        with phases.phase("download"):
            image = self._image(request)
            release = packages.release_of(image.name)
            headers = self._apt.find(packages.headers(release), image.version)
            files = [self._apt.fetch(package) for package in (image, headers, *self._beside(headers))]
            source = self._apt.find(packages.source(image.version), image.version)
            source_file = self._apt.fetch(source)
        with phases.phase("unpack"):
            root = directory / "packages"
            for file in files:
                unpack_package(file, root)
            relocate_headers(root)
            name = f"{source.name}_{source.version}"
            with self._cache.made_once("sources", name) as unfinished:
                if unfinished is not None:
                    unpack_source_package(source_file, unfinished)
        vmlinuz, headers_directory = packages.vmlinuz_in(root, release), packages.headers_in(root, release)
        kernel = VmlinuxImage(vmlinuz)
        return Material(
            release=release,
            build_id=kernel.build_id,
            arch=kernel.arch.name,
            version=image.version,
            origin=self.origin,
            source=self._cache.path("sources", name),
            source_identity=f"{name} {sha256_of_file(source_file)}",
            headers=headers_directory,
            config=packages.config_in(root, release),
            vmlinuz=vmlinuz,
            modules=packages.modules_in(root, release),
            variables={**built_with(headers_directory, release), **packages.built_with(headers_directory)},
        )

    def _beside(self, headers: DebianPackage) -> Iterator[DebianPackage]:
        """The packages that the headers refer to: those of all flavours, and Kbuild, in the version that fits."""
        for match in packages.NEEDED_BY_HEADERS.finditer(self._apt.field(headers, "Depends")):
            yield self._apt.find_fitting(match["name"], match["relation"] or "", match["version"] or "")

    def _image(self, request: TreeRequest) -> DebianPackage:
        """The image package that is asked for, its build ID checked if one is given."""
        if request.release is not None and request.build_id is None:
            return self._apt.find(packages.image(request.release), request.version)
        tried: dict[str, str] = {}
        left = 0
        for package in self._candidates(request):
            if len(tried) >= self._search_limit and self._apt.cached(package) is None:
                left += 1
                continue
            build_id = self._build_id(package)
            if build_id == request.build_id:
                return package
            tried[str(package)] = build_id
        more = f", and {left} more were not downloaded" if left else ""
        raise RebootlessError(
            "build_id_not_found",
            f"None of the {len(tried)} kernel image packages that were looked at has the build ID "
            f"{request.build_id}{more}.",
            "Give the kernel's release too, raise the search limit, or give extra package sources that still have it.",
            build_id=request.build_id,
            found=tried,
            not_looked_at=left,
        )

    def _candidates(self, request: TreeRequest) -> list[DebianPackage]:
        """Image packages that may have the build ID: of the release if it is known, else all, newest first."""
        if request.release is not None:
            self._apt.find(packages.image(request.release), request.version)  # raises if there is none
            names = [packages.image(request.release)]
        else:
            names = sorted(self._apt.names(packages.IMAGES), key=packages.by_version, reverse=True)
        offered = [package for name in names for package in self._apt.versions(name)]
        return [package for package in offered if request.version in (None, package.version)]

    def _build_id(self, package: DebianPackage) -> str:
        """The build ID of the package's kernel; each package is looked into once."""
        file = self._apt.fetch(package)
        known = file.with_name("build-id.json")
        if known.is_file():
            return str(strict_json.read(known))
        with self._cache.lock(f"look/{file.parent.name}"), self._cache.making("look", file.parent.name) as directory:
            unpack_package(file, directory, leave_out=("./usr", "./lib"))
            build_id = VmlinuxImage(next(directory.glob("boot/vmlinuz-*"))).build_id
        replace(known, strict_json.exact(build_id))
        return build_id
