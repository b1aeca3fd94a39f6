# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an installed Debian boots through with Secure Boot: shim, which firmware trusts, and GRUB, which shim trusts.

A lab machine gets them, its kernel and its initial root on a system partition (ESP), which QEMU makes of a directory.
Shim hands the certificates that the machine's owner has enrolled (MOK) on to the kernel.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import packages
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.apt import Apt
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.archive import unpack_package
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.code_digest import source_digest
from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json

_FACTS, _SIGNED = "loader.json", ".signed"


@dataclass(frozen=True)
class BootLoader:
    """The signed programs, by path."""

    shim: str
    grub: str


def loader_directory() -> str:
    """The name, below the cache's images, of the boot loader."""
    return f"loader-{source_digest(__name__)[:8]}"


def read_boot_loader(cache: Cache) -> BootLoader | None:
    """The boot loader, None if it was not fetched yet."""
    directory = cache.path("images", loader_directory())
    try:
        facts = strict_json.parse((directory / _FACTS).read_bytes())
    except FileNotFoundError:
        return None
    return BootLoader(**{name: os.fspath(directory / file) for name, file in facts.items()})


def make_boot_loader(cache: Cache) -> tuple[BootLoader, bool]:
    """Fetches the boot loader unless it is there.  Returns it and whether it was fetched now.

    Nothing is installed: the packages' own scripts would change how this host boots.  Raises ``RebootlessError``
    (``package_not_found``, ``download_failed``, ...).
    """
    with cache.made_once("images", loader_directory()) as directory:
        is_new = directory is not None
        if directory is not None:
            apt = Apt(cache)
            found = BootLoader(*(_fetch(apt, directory, *one) for one in (packages.SHIM, packages.GRUB)))
            (directory / _FACTS).write_bytes(strict_json.write(asdict(found), sort_keys=True))
    loader = read_boot_loader(cache)
    if loader is None:
        raise ValueError("the boot loader was fetched, and is not there")
    return loader, is_new


def _fetch(apt: Apt, directory: Path, package: str, member: str) -> str:
    tree = directory / "tree"
    unpack_package(apt.fetch(apt.find(package)), tree)
    name = os.path.basename(member)
    (tree / member).rename(directory / name)
    shutil.rmtree(tree)
    return name


def write_partition(directory: str, loader: BootLoader, vmlinuz: str, initrd: str, arguments: Sequence[str]) -> None:
    """Writes the files of a system partition from which firmware boots this kernel, as from a removable disk."""
    shutil.rmtree(directory, ignore_errors=True)
    boot, vendor = (Path(directory, "EFI", name) for name in ("BOOT", packages.VENDOR))
    boot.mkdir(parents=True)
    vendor.mkdir()
    suffix = os.path.basename(loader.shim).removeprefix("shim").removesuffix(_SIGNED)  # x64.efi: UEFI 2.10, 3.5.1.1
    shutil.copyfile(loader.shim, boot / f"BOOT{suffix}".upper())
    shutil.copyfile(loader.grub, boot / os.path.basename(loader.grub).removesuffix(_SIGNED))
    shutil.copyfile(vmlinuz, Path(directory, "vmlinuz"))
    shutil.copyfile(initrd, Path(directory, "initrd"))
    (vendor / "grub.cfg").write_text(_configuration(arguments), encoding="utf-8")


def _configuration(arguments: Sequence[str]) -> str:
    words = " ".join("'" + word.replace("'", "'\\''") + "'" for word in arguments)
    return f"linux /vmlinuz {words}\ninitrd /initrd\nboot\n"
