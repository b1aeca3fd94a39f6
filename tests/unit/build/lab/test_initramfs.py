# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the archives: a machine's identity, and the modules that its kernel needs to come up."""

from __future__ import annotations

import lzma
import pathlib
import subprocess

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab import (
    initramfs,
)


def unpacked(archive: bytes, directory: pathlib.Path) -> None:
    subprocess.run(["cpio", "-i", "--quiet", "--no-preserve-owner"], input=archive, cwd=directory, check=True)


def test_machine_archive_is_its_identity_and_nothing_else(tmp_path):
    archive = initramfs.machine_archive("lab1", "0" * 32, "ssh-ed25519 AAAA me", "private\n", "ssh-ed25519 BBBB lab1\n")
    unpacked(archive, tmp_path)
    files = {
        str(path.relative_to(tmp_path / "host")): path.read_text() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert files == {
        "root/.ssh/authorized_keys": "ssh-ed25519 AAAA me\n",
        "etc/ssh/ssh_host_ed25519_key": "private\n",
        "etc/ssh/ssh_host_ed25519_key.pub": "ssh-ed25519 BBBB lab1\n",
        "etc/hostname": "lab1\n",
        "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 lab1\n",
        "etc/machine-id": "0" * 32 + "\n",
    }
    assert (tmp_path / "host/root/.ssh").stat().st_mode & 0o777 == 0o700


def test_compressed_modules_are_read_as_elf(tmp_path):
    (tmp_path / "a.ko").write_bytes(b"\x7fELF")
    (tmp_path / "b.ko.xz").write_bytes(lzma.compress(b"\x7fELF"))
    assert {initramfs.read_module(str(path)) for path in tmp_path.iterdir()} == {b"\x7fELF"}
