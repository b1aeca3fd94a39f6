# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel's image is named by its exact version."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab import (
    kernel_image,
)


def test_kernels_of_one_release_have_their_own_images():
    names = {kernel_image.kernel_directory(kernel) for kernel in ("6.1.0-56-amd64", "6.1.0-56-amd64=6.1.192-1")}
    assert len(names) == 2
