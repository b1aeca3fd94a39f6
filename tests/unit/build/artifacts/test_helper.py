# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper module's sources in the cache."""

from __future__ import annotations

import shutil

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.helper import keep_sources
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.helper_source import pack, read_sources
from ansible_collections.rebootless.splice.tests.support.places import KMOD


@pytest.fixture
def kmod(tmp_path):
    shutil.copytree(KMOD, tmp_path / "kmod")
    return tmp_path / "kmod"


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def test_the_content_names_the_directory(kmod, cache, tmp_path):
    kept = keep_sources(str(kmod), cache)
    assert read_sources(str(kept)) == read_sources(str(kmod))
    archive = tmp_path / "kmod.zip"
    archive.write_bytes(pack(read_sources(str(kmod))))
    before = kept.stat().st_ino
    assert keep_sources(str(archive), cache) == kept
    assert kept.stat().st_ino == before, "it is there already"


def test_a_build_has_the_sources_as_they_were(kmod, cache):
    kept = keep_sources(str(kmod), cache)
    before = read_sources(str(kept))
    (kmod / "stop.c").write_text("/* half an edit")
    assert read_sources(str(kept)) == before
    assert keep_sources(str(kmod), cache) != kept
    shutil.rmtree(kmod)
    assert read_sources(str(kept)) == before


def test_what_was_kept_is_put_back_if_it_is_not_whole(kmod, cache):
    kept = keep_sources(str(kmod), cache)
    (kept / "stop.c").unlink()
    assert keep_sources(str(kmod), cache) == kept
    (kept / "stop.c").write_text("other")
    (kept / "more.c").write_text("more")
    assert keep_sources(str(kmod), cache) == kept
    assert read_sources(str(kept)) == read_sources(str(kmod))


def test_a_module_to_which_nothing_was_sent(cache):
    for kmod in (None, ""):
        with pytest.raises(RebootlessError, match="has not sent the sources") as refused:
            keep_sources(kmod, cache)
        assert refused.value.code == "no_helper_source"
