# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches derived from two versions of a source: each hunk alone, any of them together, and numbers that do not fit."""

from __future__ import annotations

import itertools
import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import (
    apply_patches,
    parse_patch,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import corpus
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

PATH = "net/unix/af_unix.c"


@pytest.fixture
def trees(tmp_path):
    """Two versions of a file that differ in four places: a line changed, added, removed, and one that is not UTF-8."""
    before = [b"line %d\n" % number for number in range(100)]
    after = [*before]
    after[90] = b"caf\xe9\n"
    del after[60]
    after[40:40] = [b"one\n", b"two\n"]
    after[10] = b"ten\n"
    for name, lines in (("before", before), ("after", after)):
        path = tmp_path / name / PATH
        path.parent.mkdir(parents=True)
        path.write_bytes(b"".join(lines))
    return tmp_path / "before", tmp_path / "after"


@pytest.mark.parametrize(
    "numbers", [list(chosen) for count in range(1, 5) for chosen in itertools.combinations(range(1, 5), count)]
)
def test_every_choice_of_hunks_is_a_patch_that_applies_without_offset(trees, numbers):
    before, after = trees
    patch = corpus.file_patch(before, after, PATH, numbers)
    done = subprocess.run(
        ["patch", "-p1", "--fuzz=0", "--batch", "-d", before], input=patch, capture_output=True, check=False
    )
    assert done.returncode == 0 and b"offset" not in done.stdout, done.stdout
    changed = (before / PATH).read_bytes()
    assert (changed == (after / PATH).read_bytes()) == (numbers == [1, 2, 3, 4])
    assert [text in changed for text in (b"ten\n", b"one\n", b"caf\xe9\n")] == [n in numbers for n in (1, 2, 4)]
    assert (b"line 60\n" not in changed) == (3 in numbers)


def test_hunks_are_counted(trees):
    assert corpus.hunks_of(trees[0], trees[1], PATH) == 4


def test_patch_is_one_that_updates_are_built_from(trees):
    before, after = trees
    patch = parse_patch("fix", corpus.file_patch(before, after, PATH, [2]))
    (file,) = apply_patches([patch], before)
    assert b"one\ntwo\n" in file.text(numbered=False)


@pytest.mark.parametrize("numbers", [[], [0], [5], [2, 1], [1, 1]])
def test_hunks_that_are_not_there_are_refused_with_their_number(trees, numbers):
    with pytest.raises(RebootlessError) as caught:
        corpus.file_patch(trees[0], trees[1], PATH, numbers)
    assert caught.value.code == "no_such_hunk"
    assert "from 1 to 4" in caught.value.sentence


def test_file_that_is_not_there_is_refused_by_name(trees):
    with pytest.raises(RebootlessError) as caught:
        corpus.file_patch(trees[0], trees[1], "net/none.c", [1])
    assert (caught.value.code, "net/none.c" in caught.value.sentence) == ("no_such_file", True)


def test_sources_that_trees_have_are_used_where_they_lie(trees, tmp_path):
    cache = Cache(tmp_path / "cache")
    fix = corpus.Fix("linux-source-6.1", "1", "2", {PATH: [1]})
    assert not corpus.is_at_hand(cache, fix)
    cache.directory("sources")
    for tree, version in zip(trees, ("1", "2"), strict=True):
        tree.rename(cache.path("sources", f"linux-source-6.1_{version}"))
    assert corpus.is_at_hand(cache, fix)
    assert b"-line 10\n+ten\n" in corpus.derive(cache, fix)
