# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Searching sources: what matches is found, and what cannot be searched is no empty answer."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.search import (
    files_with_words,
    matching_lines,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


@pytest.fixture
def source(tmp_path):
    for name, text in {"a/x.c": "one\ntwo: three\n", "a/x.h": "two\n", "b/-y.c": "two\n", "Kbuild": "two\n"}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_lines_are_found_with_their_files(source):
    assert matching_lines(source, "^tw[o]", ["*.c"], ["a", "b"]) == [("a/x.c", "two: three"), ("b/-y.c", "two")]
    assert matching_lines(source, "two", ["Kbuild*"], ["Kbuild"]) == [("Kbuild", "two")]


def test_no_line_and_no_directory_are_an_empty_answer(source):
    assert matching_lines(source, "four", ["*.c"], ["a"]) == []
    assert matching_lines(source, "two", ["*.c"], ["gone"]) == []


def test_what_cannot_be_searched_is_refused(source):
    with pytest.raises(RebootlessError) as refused:
        matching_lines(source, "(", ["*.c"], ["a"])
    assert refused.value.code == "scan_failed"
    with pytest.raises(RebootlessError) as refused:
        files_with_words([str(source / "gone.c")], [b"two"])
    assert refused.value.code == "scan_failed"


def test_files_are_found_by_whole_words(source):
    files = [str(source / name) for name in ("a/x.c", "a/x.h", "b/-y.c")]
    assert files_with_words(files, [b"three", b"tw"]) == files[:1]
    assert files_with_words(files, [b"four"]) == []
