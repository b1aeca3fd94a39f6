# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The package writer: deterministic, and what the reader of the targets accepts."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.package import (
    make_package,
    package_name,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import parse_package
from ansible_collections.rebootless.splice.tests.support import package as sample
from ansible_collections.rebootless.splice.tests.support.package import FILES

# The writer adds the format by itself.
MANIFEST = {key: value for key, value in sample.MANIFEST.items() if key != "format"}


def test_the_reader_gets_what_was_packed():
    package = parse_package("x", make_package(MANIFEST, FILES))
    assert package.files == FILES
    assert {key: package.manifest[key] for key in MANIFEST} == MANIFEST
    assert package.manifest["files"]["update.ko"]["size"] == len(FILES["update.ko"])


def test_the_same_content_gives_the_same_bytes():
    again = dict(reversed(list(FILES.items())))
    assert make_package(dict(reversed(list(MANIFEST.items()))), again) == make_package(MANIFEST, FILES)


def test_nothing_of_the_build_host_is_in_it():
    content = make_package(MANIFEST, FILES)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as archive:
        members = archive.getmembers()
    assert members[0].name == "manifest.json"
    for member in members:
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
        assert member.mode == 0o644
    assert json.loads(gzip.decompress(content)[512:].split(b"\0", 1)[0])["format"] == 2


def test_what_a_target_would_refuse_is_never_made():
    with pytest.raises(RebootlessError) as caught:
        make_package({**MANIFEST, "digest": "short"}, FILES)
    assert caught.value.code == "package_damaged"


def test_the_name_of_the_file():
    assert package_name("a", "1.0", "bb603a9147d3efe4744bf83c83eee397c591cc20") == "a-1.0-bb603a9147d3.rbl.tar.gz"
