# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper module's sources on their way from the controller to a build host."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import zipfile

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.helper_source import pack, read_sources
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import build_action
from ansible_collections.rebootless.splice.tests.support.places import KMOD


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"Kbuild": b"", "rebootless.h": b"", **members}.items():
            archive.writestr(name, content)
    return stream.getvalue()


def refused(path):
    with pytest.raises(RebootlessError) as caught:
        read_sources(str(path))
    assert caught.value.code == "no_helper_source" and str(path) in caught.value.sentence
    return caught.value.sentence


def test_what_arrives_is_what_was_sent(tmp_path):
    sources = read_sources(str(KMOD))
    assert {"Kbuild", "rebootless.h", "arch/x86/places.h", "matcher/match.c"} <= set(sources)
    assert sources["rebootless.h"] == (KMOD / "rebootless.h").read_bytes()
    archive = tmp_path / "kmod.zip"
    archive.write_bytes(pack(sources))
    assert list(read_sources(str(archive)).items()) == list(sources.items())


def test_the_controller_sends_the_directory_of_the_collection():
    assert os.path.samefile(build_action.KMOD, KMOD)
    assert build_action._own_sources() == read_sources(str(KMOD))


def test_what_a_build_leaves_is_no_source(tmp_path):
    copy = tmp_path / "kmod"
    shutil.copytree(KMOD, copy)
    for name in ("rebootless.mod.c", "rebootless.o", ".stop.o.cmd", "Module.symvers", "matcher/match.o"):
        (copy / name).write_text("left")
    assert read_sources(str(copy)) == read_sources(str(KMOD))


def test_a_directory_that_is_none_or_lacks_a_file(tmp_path):
    assert "No such file or directory" in refused(tmp_path / "none")
    (tmp_path / "Kbuild").write_text("")
    assert "there is no rebootless.h" in refused(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    shutil.copytree(KMOD, tmp_path / "kmod")
    (tmp_path / "kmod" / "matcher").chmod(0)
    assert "matcher: Permission denied" in refused(tmp_path / "kmod")


def test_an_archive_that_is_truncated_or_something_else(tmp_path):
    archive = tmp_path / "kmod.zip"
    whole = pack(read_sources(str(KMOD)))
    for content in (b"", b"text", whole[:-100], whole[: len(whole) // 2], whole[1000:]):
        archive.write_bytes(content)
        assert "neither a directory nor a whole archive" in refused(archive)
    for at in range(0, len(whole), 997):
        archive.write_bytes(whole[:at] + bytes((whole[at] ^ 0x55,)) + whole[at + 1 :])
        with contextlib.suppress(RebootlessError):  # never anything else; times of members, say, do not matter
            assert read_sources(str(archive)).keys() == read_sources(str(KMOD)).keys()


@pytest.mark.parametrize("name", ["../x.c", "/x.c", "a/../../x.c", "a//x.c", "x.sh", "x.mod.c"])
def test_an_archive_with_a_member_that_is_no_source_below_it(tmp_path, name):
    archive = tmp_path / "kmod.zip"
    archive.write_bytes(zipped(**{name: b""}))
    assert f"unexpected member {name!r}" in refused(archive)


def test_an_archive_that_unpacks_to_too_much(tmp_path):
    archive = tmp_path / "kmod.zip"
    archive.write_bytes(zipped(**{"x.c": bytes(17 << 20)}))
    assert "unpacks to too much" in refused(archive)
