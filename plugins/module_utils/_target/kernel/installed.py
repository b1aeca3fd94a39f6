# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels that a host could boot, by what their images say."""

from __future__ import annotations

import os

from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution.kernel_package import version_in
from ansible_collections.rebootless.splice.plugins.module_utils._target.arch.table import image_banner

DIRECTORY = "/boot"
PREFIX = "vmlinuz-"
HEAD = 64 << 10  # what a kernel says of its version lies in these bytes of its image


def kernels(directory: str = DIRECTORY) -> list[dict]:
    """``release`` and ``version`` of each kernel image in ``directory``, by file name.

    What cannot be read or is no image is left out; ``version`` is "" where the image does not say one.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if name.startswith(PREFIX))
    except OSError:
        return []
    banners = [_banner(os.path.join(directory, name)) for name in names]
    return [{"release": text.split()[0], "version": version_in(text)} for text in banners if text.strip()]


def _banner(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            return image_banner(stream.read(HEAD))
    except OSError:
        return ""
