# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which package of the build host's distribution has a tool or a header that is missing; for messages."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class HostPackages:
    """What one distribution calls them.

    ``tools`` has packages by program (``pahole``), and by what ``kernel/config.py`` says is missing where an option of
    the kernel's configuration comes out otherwise.  ``headers`` has them by a part of a header's path, as compilers
    print it when the header is not there.
    """

    tools: Mapping[str, str]
    headers: Mapping[str, str]


DEBIAN = HostPackages(
    tools={
        "apt-cache": "apt",
        "apt-get": "apt",
        "bc": "bc",
        "binutils": "binutils",
        "bison": "bison",
        "dpkg-deb": "dpkg",
        "flex": "flex",
        "git": "git",
        "gpg": "gpg",
        "gcc's plugin headers": "gcc-12-plugin-dev",
        "ld": "binutils",
        "make": "make",
        "objcopy": "binutils",
        "openssl": "openssl",
        "pahole": "dwarves",
        "perl": "perl",
        "rustc and bindgen": "rustc",
        "tar": "tar",
        "xz": "xz-utils",
    },
    headers={
        "gelf.h": "libelf-dev",
        "libelf.h": "libelf-dev",
        "openssl/": "libssl-dev",
    },
)
# Of this build host.  Its compiler has to be the kernel's, to the version: it is Debian as long as the kernels are.
HOST_PACKAGES = DEBIAN
