# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk


@pytest.fixture
def synced(monkeypatch):
    """The paths that fsync(2) was asked for, in order."""
    paths, fsync = [], os.fsync

    def note(descriptor):
        paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return paths


@pytest.mark.parametrize("write", [disk.replace, disk.replace_durably])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, write, monkeypatch):
    path = str(tmp_path / "file")
    write(path, b"old")

    def full(descriptor, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(os, "write", full)
        write(path, b"new")
    os.mkdir(tmp_path / "directory")
    with pytest.raises(IsADirectoryError):
        write(str(tmp_path / "directory"), b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["directory", "file"]


def test_modes(tmp_path):
    before = os.umask(0o027)
    try:
        disk.replace(tmp_path / "shared" / "file", b"")
        disk.replace(tmp_path / "given", b"", 0o666)
        disk.replace_durably(str(tmp_path / "private" / "deep" / "file"), b"")
    finally:
        os.umask(before)
    modes = {
        name: (tmp_path / name).stat().st_mode & 0o777
        for name in ("shared", "shared/file", "given", "private", "private/deep", "private/deep/file")
    }
    assert list(modes.values()) == [0o750, 0o640, 0o666, 0o700, 0o700, 0o600], modes


@pytest.mark.parametrize("durably", [False, True])
def test_the_content_is_on_the_disk_before_its_name(tmp_path, synced, durably):
    path = str(tmp_path / "new" / "file")
    if durably:
        disk.replace_durably(path, b"content")
    else:
        disk.replace(path, b"content", sync=True)
    made, content, named = synced
    assert (made, named) == (str(tmp_path), str(tmp_path / "new"))
    assert os.path.dirname(content) == named and os.path.basename(content).startswith(".file.")
    synced.clear()
    disk.replace(path, b"other")
    assert synced == []


def test_staged_until_it_is_placed(tmp_path):
    path = str(tmp_path / "file")
    disk.stage(path, b"one")
    assert not os.path.exists(path)
    disk.stage(path, b"two")  # what a power cut leaves is written over
    disk.place(path)
    assert os.listdir(tmp_path) == ["file"]
    disk.stage(path, b"three")
    disk.unstage(path)
    assert (tmp_path / "file").read_bytes() == b"two"
    disk.stage(path, b"four")
    assert disk.remove(path) and not disk.remove(path)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_takes_a_file_of_the_same_size(tmp_path):
    path = str(tmp_path / "file")
    disk.replace(path, b"1234")
    inode = os.stat(path).st_ino
    disk.overwrite(path, b"abcd")
    assert ((tmp_path / "file").read_bytes(), os.stat(path).st_ino) == (b"abcd", inode)
    with pytest.raises(OSError, match="No space left") as refused:
        disk.overwrite(path, b"longer")
    assert refused.value.errno in disk.FULL
    assert (tmp_path / "file").read_bytes() == b"abcd"


def test_only_empty_directories_are_dropped(tmp_path):
    disk.replace(tmp_path / "full" / "file", b"")
    disk.make_directory(str(tmp_path / "empty"))
    disk.drop_empty(str(tmp_path / "full"), str(tmp_path / "empty"), str(tmp_path / "missing"))
    assert os.listdir(tmp_path) == ["full"]


def test_a_long_name(tmp_path):
    disk.replace(tmp_path / ("n" * 255), b"content")
    assert os.listdir(tmp_path) == ["n" * 255]
