# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root file system that all machines of a lab share.

mmdebstrap makes a small Debian from the package sources of the machine that runs it, and mke2fs turns it into an ext4
image.  An image is named by a digest of everything that went into it, and made once; machines write to overlays of it.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import tarfile
import tempfile
from dataclasses import dataclass

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.tools import run
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

FORMAT = 1  # of the image; counted up when this file makes other images from the same recipe
JOURNAL_MIB = 8
#: apt's own settings that the bootstrap must share with the machine to reach the same archive
APT_SETTINGS = ("Acquire::Check-Date", "Acquire::Check-Valid-Until", "Acquire::http", "Acquire::https")
WITHOUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")


@dataclass(frozen=True)
class RootRecipe:
    """What a root image is made of."""

    packages: tuple[str, ...]
    masked_units: tuple[str, ...]
    overlay: str  # directory whose files are laid over the installed system, all of them root's
    size_mib: int

    def digest(self, sources: list[str]) -> str:
        """Names the image: equal digests mean the same recipe from the same package sources."""
        facts = json.dumps([FORMAT, self.packages, self.masked_units, self.size_mib, sources])
        return sha256_of(facts, overlay_archive(self.overlay))


def package_sources() -> list[str]:
    """The Debian package sources of this machine, as lines of a sources.list."""
    fields = run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(SITE)|$(CODENAME)|$(COMPONENT)", "Created-By: Packages"]
    )
    lines = []
    for line in fields.splitlines():
        origin, site, codename, component = line.split("|")
        if origin == "Debian":
            lines.append(f"deb {site} {codename} {component}")
    if not lines:
        raise RebootlessError(
            "no_package_sources",
            "apt knows no Debian package source on this machine, or has no package lists yet.",
            "Run 'apt-get update', and check /etc/apt/sources.list and /etc/apt/sources.list.d.",
        )
    return sorted(set(lines))


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
    return os.fspath(cache.path("images", f"root-{recipe.digest(package_sources())[:16]}", "root.ext4"))


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
    overlay, sources = os.path.join(work, "overlay.tar"), os.path.join(work, "sources.list")
    with open(overlay, "wb") as tar:
        tar.write(overlay_archive(recipe.overlay))
    with open(sources, "w", encoding="utf-8") as listing:
        listing.write("\n".join(package_sources()) + "\n")
    masked = " ".join(shlex.quote(unit) for unit in recipe.masked_units)
    command = ["mmdebstrap", "--quiet", "--variant=essential", "--format=tar"]
    command += [f"--include={','.join(recipe.packages)}"]
    command += [f"--aptopt={line}" for line in _apt_settings()]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in WITHOUT]
    command += [f"--customize-hook=tar-in {shlex.quote(overlay)} /"]
    if masked:
        command += [f'--customize-hook=chroot "$1" systemctl mask {masked}']
    # Each machine has host keys of its own.
    command += ['--customize-hook=rm -f "$1"/etc/ssh/ssh_host_*']
    run([*command, "", archive, sources])


def _apt_settings() -> list[str]:
    # "Acquire::http::Proxy "…";" and the like; the lines that only open a scope have an empty value
    dumped = run(["apt-config", "dump", "--no-empty", "--format", "%F %v%n"])
    settings = []
    for line in dumped.splitlines():
        key, _space, value = line.partition(" ")
        if value and key.startswith(APT_SETTINGS):
            settings.append(f'{key} "{value}"')
    return settings


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
