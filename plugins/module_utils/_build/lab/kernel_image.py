# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A distribution kernel as a lab machine boots it.

The image package's kernel stays as it is; its modules become an ext4 image, the drivers that the machine needs first an
initial root.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import packages
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.apt import Apt
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.archive import unpack_package
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.administration import run
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.code_digest import source_digest
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab import initramfs
from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json

FILES = ("vmlinuz", "initramfs.cpio", "modules.ext4")
MODULES_SLACK_MIB = 64  # room for modules that an operator adds


@dataclass(frozen=True)
class KernelImage:
    """The files of one kernel (its part of the initial root, its modules as ext4), and where they come from."""

    release: str
    version: str
    vmlinuz: str
    initramfs: str
    modules: str


def kernel_directory(kernel: str) -> str:
    """The name, below the cache's images, of a kernel (``RELEASE`` or ``RELEASE=PACKAGE-VERSION``)."""
    return f"kernel-{kernel}-{source_digest(__name__)[:8]}"


def read_kernel_image(cache: Cache, kernel: str) -> KernelImage | None:
    """The image of a kernel, None if it was not made yet."""
    directory = cache.path("images", kernel_directory(kernel))
    try:
        facts = strict_json.read(directory / "kernel.json")
    except FileNotFoundError:
        return None
    files = {key: os.fspath(directory / facts[key]) for key in ("vmlinuz", "initramfs", "modules")}
    return KernelImage(facts["release"], facts["version"], **files)


def make_kernel_image(cache: Cache, kernel: str) -> tuple[KernelImage, bool]:
    """Makes the image of a kernel unless it is there.  Returns it and whether it was made now.

    Raises ``RebootlessError`` (``package_not_found``, ``download_failed``, ``program_failed``, ...).
    """
    with cache.made_once("images", kernel_directory(kernel)) as directory:
        is_new = directory is not None
        if directory is not None:
            release, _equals, version = kernel.partition("=")
            apt = Apt(cache)
            package = apt.find(packages.image(release), version or None)
            tree = directory / "tree"
            unpack_package(apt.fetch(package), tree)
            _make(directory, tree, packages.vmlinuz_in(tree, release), KernelImage(release, package.version, *FILES))
            shutil.rmtree(tree)
    image = read_kernel_image(cache, kernel)
    if image is None:
        raise ValueError(f"the image of {kernel} was made, and is not there")
    return image, is_new


def make_own_image(cache: Cache, release: str, vmlinuz: Path, root: Path) -> None:
    """Makes the image of a kernel that is no package, unless it is there; from then on it is found by its release.

    ``root`` is where the kernel's makefile installed its modules (``INSTALL_MOD_PATH``).
    Raises ``RebootlessError`` (``program_failed``).
    """
    with cache.made_once("images", kernel_directory(release)) as directory:
        if directory is not None:
            _make(directory, root, vmlinuz, KernelImage(release, "", *FILES))


def _make(directory: Path, tree: Path, vmlinuz: Path, image: KernelImage) -> None:
    run(["depmod", "--basedir", os.fspath(tree), image.release])
    shutil.copyfile(vmlinuz, directory / image.vmlinuz)
    (directory / image.initramfs).write_bytes(initramfs.kernel_archive(os.fspath(tree), image.release))
    _format(packages.modules_in(tree, image.release), directory / image.modules)
    (directory / "kernel.json").write_bytes(strict_json.exact(asdict(image), indent=2, sort_keys=True))


def _format(modules: Path, image: Path) -> None:
    used = int(run(["du", "--summarize", "--block-size=1M", os.fspath(modules)]).split()[0])
    with image.open("wb") as output:
        output.truncate((used * 5 // 4 + MODULES_SLACK_MIB) << 20)
    options = ["-q", "-F", "-t", "ext4", "-L", "modules", "-E", "root_owner=0:0", "-d", os.fspath(modules)]
    run(["mke2fs", *options, os.fspath(image)])
