# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernels a host could boot, from their images."""

from __future__ import annotations

import struct

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution import kernel_package
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import installed

BANNER = "6.1.0-50-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-06-26)"


def image(banner: str, pointer: int = 0x3000) -> bytes:
    """The beginning of a kernel image that names its version at an offset."""
    head = bytearray(0x8000)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, pointer)
    head[pointer + 0x200 : pointer + 0x200 + len(banner)] = banner.encode()
    return bytes(head)


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        (BANNER, "6.1.176-1"),
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.12.90-2~bpo12+1 (2026-06-26)", "6.12.90-2~bpo12+1"),
        ("#1 SMP PREEMPT_DYNAMIC Wed Jun 1 10:00:00 UTC 2026", ""),
        ("#1 Debian unknown (2026-06-26)", ""),
        ("", ""),
    ],
)
def test_version_of_the_package(banner, version):
    assert kernel_package.version_in(banner) == version


def test_images_on_disk(tmp_path):
    (tmp_path / "vmlinuz-6.1.0-50-cloud-amd64").write_bytes(image(BANNER))
    (tmp_path / "vmlinuz-own").write_bytes(image("6.1.9 (me) #1 SMP"))
    (tmp_path / "vmlinuz-empty").write_bytes(b"")
    (tmp_path / "vmlinuz-gone").symlink_to("nothing")
    (tmp_path / "vmlinuz-unnamed").write_bytes(image("", pointer=0))
    (tmp_path / "initrd.img-6.1.0-50-cloud-amd64").write_bytes(image(BANNER))
    assert installed.kernels(str(tmp_path)) == [
        {"release": "6.1.0-50-cloud-amd64", "version": "6.1.176-1"},
        {"release": "6.1.9", "version": ""},
    ]
    assert installed.kernels(str(tmp_path / "none")) == []
