# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archives that a machine starts from."""

from __future__ import annotations

import pathlib
import subprocess

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.cpio import CpioArchive


def unpacked(archive: bytes, directory: pathlib.Path) -> None:
    subprocess.run(["cpio", "-i", "--quiet", "--no-preserve-owner"], input=archive, cwd=directory, check=True)


def test_cpio_reads_back_what_was_written(tmp_path):
    archive = CpioArchive()
    archive.file("host/root/.ssh/authorized_keys", b"key\n", 0o600)
    archive.directory("host/root", 0o700)
    archive.file("init", b"#!/bin/sh\n", 0o755)
    archive.file("empty", b"")
    unpacked(archive.serialize(), tmp_path)
    assert (tmp_path / "host/root/.ssh/authorized_keys").read_bytes() == b"key\n"
    assert (tmp_path / "host/root/.ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "empty").read_bytes() == b""


def test_cpio_directory_keeps_the_mode_that_it_was_first_given(tmp_path):
    archive = CpioArchive()
    archive.directory("root", 0o700)
    archive.file("root/file", b"x")
    unpacked(archive.serialize(), tmp_path)
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700


def test_cpio_archives_can_follow_each_other():
    archive = CpioArchive()
    archive.file("odd", b"123")
    assert len(archive.serialize()) % 4 == 0
