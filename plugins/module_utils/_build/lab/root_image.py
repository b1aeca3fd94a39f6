# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root file system that all machines of a lab share.

The distribution makes a small system in a tar file, and mke2fs turns it into an ext4 image.  An image is named by a
digest of everything that went into it, and made once; machines write to overlays of it.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import tarfile
import tempfile
from dataclasses import dataclass

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import root_system
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.administration import run
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.code_digest import source_digest
from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json

JOURNAL_MIB = 8


@dataclass(frozen=True)
class RootRecipe:
    """What a root image is made of."""

    packages: tuple[str, ...]
    masked_units: tuple[str, ...]
    overlay: str  # directory whose files are laid over the installed system, all of them root's
    size_mib: int

    def digest(self, sources: list[str]) -> str:
        """Names the image: equal digests mean the same recipe from the same package sources, made by the same code."""
        facts = strict_json.exact([source_digest(__name__), self.packages, self.masked_units, self.size_mib, sources])
        return sha256_of(facts, overlay_archive(self.overlay))


def overlay_archive(directory: str) -> bytes:
    """The files below a directory as a deterministic tar: sorted, root's, without times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for parent, directories, names in os.walk(directory):
            directories.sort()
            for name in sorted([*names, *directories]):
                path = os.path.join(parent, name)
                member = archive.gettarinfo(path, os.path.relpath(path, directory))
                member.uid = member.gid = member.mtime = 0
                member.uname = member.gname = "root"
                member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                if member.isfile():
                    with open(path, "rb") as content:
                        archive.addfile(member, content)
                else:
                    archive.addfile(member)
    return buffer.getvalue()


def root_image_path(cache: Cache, recipe: RootRecipe) -> str:
    """Where the image of a recipe is, or will be."""
    return os.fspath(cache.path("images", f"root-{recipe.digest(root_system.package_sources())[:16]}", "root.ext4"))


def make_root_image(cache: Cache, recipe: RootRecipe) -> tuple[str, bool]:
    """Makes the image of a recipe unless it is there.  Returns its path and whether it was made now."""
    path = root_image_path(cache, recipe)
    with cache.made_once("images", os.path.basename(os.path.dirname(path))) as directory:
        if directory is None:
            return path, False
        with tempfile.TemporaryDirectory(prefix="rebootless-root-") as work:
            archive = os.path.join(work, "root.tar")
            _bootstrap(archive, work, recipe)
            _format(archive, work, os.fspath(directory / "root.ext4"), recipe.size_mib)
    return path, True


def _bootstrap(archive: str, work: str, recipe: RootRecipe) -> None:
    overlay = os.path.join(work, "overlay.tar")
    with open(overlay, "wb") as tar:
        tar.write(overlay_archive(recipe.overlay))
    root_system.bootstrap(archive, work, recipe.packages, recipe.masked_units, overlay)


def _format(archive: str, work: str, image: str, size_mib: int) -> None:
    root = os.path.join(work, "root")
    os.mkdir(root)
    with open(image, "wb") as output:
        output.truncate(size_mib << 20)
    make = f"tar -C {shlex.quote(root)} -xpf {shlex.quote(archive)} --numeric-owner --exclude='./dev/*'"
    make += f" && mke2fs -q -F -t ext4 -L root -J size={JOURNAL_MIB} -E root_owner=0:0,lazy_itable_init=1"
    make += f" -d {shlex.quote(root)} {shlex.quote(image)}"
    try:
        # Without privileges the files' owners live in fakeroot's memory, so both steps share one.
        run([*([] if os.geteuid() == 0 else ["fakeroot"]), "sh", "-c", make])
    finally:
        shutil.rmtree(root, ignore_errors=True)
