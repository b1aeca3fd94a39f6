# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where kernel trees come from: Debian's packages, or the operator's own directories.  Private to rebootless.splice."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Callable, Iterator, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.apt import Apt, DebianPackage
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.archive import (
    relocate_headers,
    unpack_package,
    unpack_source_package,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import (
    KernelTree,
    Material,
    find_tree,
    prepare,
    string_in,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# Image packages as Debian names them, without debug symbols, unsigned copies and meta packages.
_IMAGE_NAMES = r"linux-image-[0-9][0-9.]*[0-9](-[0-9]+|\+\S+?)(-(cloud|rt))?-amd64"
# Of what the headers depend on: those that all flavours share, and Kbuild's scripts and tools.
_NEEDED_BY_HEADERS = re.compile(
    r"\b(?P<name>linux-headers-[^\s,]+-common[^\s,]*|linux-kbuild-[^\s,]+)"
    r"(?: \((?P<relation>[<>=]+) (?P<version>[^)]+)\))?"
)


@dataclasses.dataclass(frozen=True)
class Request:
    """Which kernel: by ``release``, ``build_id`` (hex), or both; ``version`` picks one package version of a release."""

    release: str | None = None
    build_id: str | None = None
    version: str | None = None


@dataclasses.dataclass(frozen=True)
class Directories:
    """The operator's own material: prepared source tree, headers directory, configuration, bootable image, modules."""

    source: str
    headers: str
    config: str
    vmlinuz: str
    modules: str | None = None


class DebianSource:
    """Trees from Debian's packages; ``extra`` are further apt sources, ``search_limit`` how many image packages may be
    downloaded to look for a build ID."""

    origin = "debian"
    suffix = ""  # of the tree's directory

    def __init__(self, cache: Cache, extra: Sequence[str] = (), search_limit: int = 8) -> None:
        self._cache = cache
        self._apt = Apt(cache, extra)
        self._search_limit = search_limit

    def find(self, cache: Cache, request: Request) -> KernelTree | None:
        """The cached tree, None if it has to be prepared.  Raises ``RebootlessError`` (``several_trees``)."""
        return find_tree(cache, request.release, request.build_id, request.version, self.origin)

    def check(self, request: Request) -> str:
        """What would be prepared, in words; without downloading.  Raises like ``material``."""
        if request.release is not None:
            return str(self._apt.find(f"linux-image-{request.release}", request.version))
        return f"the kernel with build ID {request.build_id}, searched among the image packages that apt offers"

    def material(self, request: Request, directory: Path, phases: Phases) -> Material:
        """Downloads and unpacks what the tree needs: the source into the cache, all else below ``directory``.

        Raises ``RebootlessError``: ``build_id_not_found``, ``package_not_found``, ``download_failed``, ...
        """
        with phases.phase("download"):
            image = self._image(request)
            release = image.name.removeprefix("linux-image-")
            headers = self._apt.find(f"linux-headers-{release}", image.version)
            packages = [image, headers, *self._beside(headers)]
            files = [self._apt.fetch(package) for package in packages]
            upstream = ".".join(re.split(r"[.\-]", image.version)[:2])
            source = self._apt.find(f"linux-source-{upstream}", image.version)
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
        vmlinuz = root / "boot" / f"vmlinuz-{release}"
        return Material(
            release=release,
            build_id=VmlinuxImage(vmlinuz).build_id,
            version=image.version,
            origin=self.origin,
            source=self._cache.path("sources", name),
            source_identity=f"{name} {disk.sha256_of_file(source_file)}",
            headers=root / "usr" / "src" / f"linux-headers-{release}",
            config=root / "boot" / f"config-{release}",
            vmlinuz=vmlinuz,
            modules=root / "lib" / "modules" / release,
        )

    def _beside(self, headers: DebianPackage) -> Iterator[DebianPackage]:
        """The packages that the headers refer to: those of all flavours, and Kbuild, in the version that fits."""
        for match in _NEEDED_BY_HEADERS.finditer(self._apt.field(headers, "Depends")):
            yield self._apt.find_fitting(match["name"], match["relation"] or "", match["version"] or "")

    def _image(self, request: Request) -> DebianPackage:
        """The image package that is asked for, its build ID checked if one is given."""
        if request.release is not None and request.build_id is None:
            return self._apt.find(f"linux-image-{request.release}", request.version)
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

    def _candidates(self, request: Request) -> list[DebianPackage]:
        """Image packages that may have the build ID: of the release if it is known, else all, newest first."""
        if request.release is not None:
            self._apt.find(f"linux-image-{request.release}", request.version)  # raises if there is none
            names = [f"linux-image-{request.release}"]
        else:
            names = sorted(self._apt.names(_IMAGE_NAMES), key=_by_version, reverse=True)
        packages = [package for name in names for package in self._apt.versions(name)]
        return [package for package in packages if request.version in (None, package.version)]

    def _build_id(self, package: DebianPackage) -> str:
        """The build ID of the package's kernel; each package is looked into once."""
        file = self._apt.fetch(package)
        known = file.with_name("build-id.json")
        if known.is_file():
            return json.loads(known.read_text(encoding="utf-8"))
        with self._cache.lock(f"look/{file.parent.name}"), self._cache.making("look", file.parent.name) as directory:
            unpack_package(file, directory, leave_out=("./usr", "./lib"))
            build_id = VmlinuxImage(next(directory.glob("boot/vmlinuz-*"))).build_id
        disk.replace(known, json.dumps(build_id).encode())
        return build_id


class DirectorySource:
    """Trees from directories that the operator brings."""

    origin = "directory"
    suffix = "-directory"

    def __init__(self, directories: Directories) -> None:
        self._given = directories

    def find(self, cache: Cache, request: Request) -> KernelTree | None:
        """The cached tree of the very same directories, None if it has to be prepared.  Raises like ``material``."""
        self._look()
        tree = find_tree(cache, request.release, VmlinuxImage(Path(self._given.vmlinuz)).build_id, None, self.origin)
        if tree is None:
            return None
        pairs = ((tree.source, self._given.source), (tree.headers, self._given.headers))
        same = all(Path(there) == Path(given).absolute() for there, given in pairs)
        unchanged = disk.sha256_of_file(tree.config) == disk.sha256_of_file(self._given.config)
        return tree if same and unchanged else None

    def check(self, request: Request) -> str:
        """What would be prepared, in words.  Raises like ``material``."""
        self._look()
        return f"the kernel in {self._given.vmlinuz}"

    def material(self, request: Request, directory: Path, phases: Phases) -> Material:
        """The given directories, looked over.

        Raises ``RebootlessError``: ``directory_incomplete``, ``source_not_clean``, ``other_kernel``.
        """
        self._look()
        with phases.phase("read image"):
            given = self._given
            # #define UTS_RELEASE "6.1.0-50-cloud-amd64"; include/config/kernel.release may lack a distribution's suffix
            release_file = Path(given.headers, "include", "generated", "utsrelease.h")
            release = string_in(release_file, "UTS_RELEASE")
            if not release:
                raise RebootlessError(
                    "directory_incomplete",
                    f"The header {release_file} does not say which kernel it is of: it defines no UTS_RELEASE.",
                    "Give the headers that the distribution ships for building modules.",
                    path=str(release_file),
                )
            build_id = VmlinuxImage(Path(given.vmlinuz)).build_id
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
            version=request.version or "",
            origin=self.origin,
            source=Path(given.source).absolute(),
            source_identity=str(Path(given.source).absolute()),
            headers=Path(given.headers).absolute(),
            config=Path(given.config).absolute(),
            vmlinuz=Path(given.vmlinuz).absolute(),
            modules=modules,
        )

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


def get_tree(
    cache: Cache,
    request: Request,
    source: DebianSource | DirectorySource,
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


def _by_version(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]
