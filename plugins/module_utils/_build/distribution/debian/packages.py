# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Debian names the packages of a kernel, and where their files lie; ``root`` is where they were unpacked."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.material import string_in

# Image packages as Debian names them, without debug symbols, unsigned copies and meta packages.
IMAGES = r"linux-image-[0-9][0-9.]*[0-9](-[0-9]+|\+\S+?)(-(cloud|rt))?-amd64"
# Of what the headers depend on: those that all flavours share, and Kbuild's scripts and tools.
NEEDED_BY_HEADERS = re.compile(
    r"\b(?P<name>linux-headers-[^\s,]+-common[^\s,]*|linux-kbuild-[^\s,]+)"
    r"(?: \((?P<relation>[<>=]+) (?P<version>[^)]+)\))?"
)

# Signed programs that firmware with Secure Boot starts: the package, and the file in it.
SHIM = ("shim-signed", "usr/lib/shim/shimx64.efi.signed")
VENDOR = "debian"  # GRUB, as Debian signs it, looks for its configuration in this folder of EFI/
GRUB = ("grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")


def image(release: str) -> str:
    """The package with the image, the configuration and the modules."""
    return f"linux-image-{release}"


def release_of(image_package: str) -> str:
    """The release of the kernel in a package that ``image`` names."""
    return image_package.removeprefix("linux-image-")


def headers(release: str) -> str:
    """The package with what modules are built against."""
    return f"linux-headers-{release}"


def source(version: str) -> str:
    """The package with the source of the kernel packages of ``version`` (``6.1.176-1``)."""
    return f"linux-source-{'.'.join(re.split(r'[.-]', version)[:2])}"


def with_changelog(series: str) -> str:
    """The names of the smallest packages that have the changelog of the kernels of a series (``6.1``), as a pattern."""
    return rf"linux-kbuild-{re.escape(series)}(\.\S+)?"


def vmlinuz_in(root: Path, release: str) -> Path:
    """The bootable image."""
    return root / "boot" / f"vmlinuz-{release}"


def config_in(root: Path, release: str) -> Path:
    """The configuration."""
    return root / "boot" / f"config-{release}"


def modules_in(root: Path, release: str) -> Path:
    """The directory of the modules."""
    return root / "lib" / "modules" / release


def headers_in(root: Path, release: str) -> Path:
    """What modules are built against."""
    return root / "usr" / "src" / f"linux-headers-{release}"


def built_with(headers_directory: Path) -> dict[str, str]:
    """Make variables of Debian's own that put its package's version into objects; none if it is no kernel of Debian."""
    # #define LINUX_PACKAGE_ID " Debian 6.1.176-1": its first word and the rest
    words = string_in(headers_directory / "include" / "generated" / "package.h", "LINUX_PACKAGE_ID").split()
    if len(words) != 2:
        return {}
    return {"DISTRIBUTION_OFFICIAL_BUILD": "1", "DISTRIBUTOR": words[0], "DISTRIBUTION_VERSION": words[1]}


def by_version(name: str) -> list[int]:
    """A key that sorts names of packages by the numbers in them."""
    return [int(number) for number in re.findall(r"\d+", name)]
