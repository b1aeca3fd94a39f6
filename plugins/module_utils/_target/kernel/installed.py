# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels that a host could boot, by what their images say.

Source: Documentation/arch/x86/boot.rst, fields ``header`` and ``kernel_version``.
"""

from __future__ import annotations

import os
import re
import struct

from ansible_collections.rebootless.splice.plugins.module_utils._common import debian_version

DIRECTORY = "/boot"
PREFIX = "vmlinuz-"
HEADER, MAGIC = 0x202, b"HdrS"
POINTER, POINTER_BASE = 0x20E, 0x200
SETUP = 64 << 10  # the real-mode part, in which the string lies, ends here at the latest
# What Debian puts at the end of the version that the kernel was built with.
DEBIAN = re.compile(r"\bDebian (\S+) \(")


def package_version(banner: str) -> str:
    """The version of the distribution's package in what ``uname -v`` or a kernel image says; "" if it says none."""
    found = DEBIAN.search(banner)
    return found.group(1) if found and debian_version.is_version(found.group(1)) else ""


def image_banner(head: bytes) -> str:
    """What a kernel image, of which ``head`` is the beginning, says of its version; "" if it is none."""
    if head[HEADER : HEADER + len(MAGIC)] != MAGIC:
        return ""
    (pointer,) = struct.unpack_from("<H", head, POINTER)
    return head[pointer + POINTER_BASE :].partition(b"\0")[0].decode("ascii", "replace") if pointer else ""


def kernels(directory: str = DIRECTORY) -> list[dict]:
    """``release`` and ``version`` of each kernel image in ``directory``, by file name.

    What cannot be read or is no image is left out; ``version`` is "" where the image does not say one.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if name.startswith(PREFIX))
    except OSError:
        return []
    banners = [_banner(os.path.join(directory, name)) for name in names]
    return [{"release": text.split()[0], "version": package_version(text)} for text in banners if text.strip()]


def _banner(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            return image_banner(stream.read(SETUP))
    except OSError:
        return ""
