# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of Debian packages, beside what dpkg says of them."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution.debian import (
    compare,
    fixed,
    is_version,
    upstream,
)

# In order; those of a row are the same version.
ORDER = [
    ["0"],
    ["1~~"],
    ["1~~a"],
    ["1~"],
    ["1~rc1-1"],
    ["1", "1-0", "01", "0:1"],
    ["1-0+a"],
    ["1-1~bpo12+1"],
    ["1-1"],
    ["1a"],
    ["1+"],
    ["1.0"],
    ["6.1.99-1"],
    ["6.1.176-1"],
    ["6.1.176-1+b1"],
    ["6.1.176-2"],
    ["6.1.187~rc2-1"],
    ["6.1.187-1", "6.1.187-01"],
    ["6.1.187+x-1"],
    ["6.12.107-1"],
    ["1:0.1"],
]


@pytest.mark.parametrize("one,other", list(itertools.combinations(range(len(ORDER)), 2)))
def test_order(one, other):
    for older, newer in itertools.product(ORDER[one], ORDER[other]):
        assert (compare(older, newer), compare(newer, older)) == (-1, 1), (older, newer)


@pytest.mark.parametrize("row", ORDER)
def test_the_same(row):
    assert {compare(one, other) for one, other in itertools.product(row, row)} == {0}


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not at hand")
@settings(max_examples=150)
@given(st.data())
def test_dpkg_agrees(data):
    version = st.from_regex(r"([0-9]:)?[0-9][a-c0-2.+~]{0,6}(-[a-c0-2.+~]{1,4})?", fullmatch=True)
    one, other = data.draw(version), data.draw(version)
    words = {-1: "lt", 0: "eq", 1: "gt"}
    command = ["dpkg", "--compare-versions", one, words[compare(one, other)], other]
    assert subprocess.run(command, check=False).returncode == 0, (one, compare(one, other), other)


@pytest.mark.parametrize("text", ["", "x", "-1", "1-", "a1", "1 2", "1:", "1_2", "é"])
def test_no_version(text):
    assert not is_version(text)
    with pytest.raises(ValueError, match="no version"):
        compare(text, "1")


@pytest.mark.parametrize(
    "version,fixed_in,expected",
    [
        ("6.1.176-1", ["6.1.187-1"], False),
        ("6.1.187-1", ["6.1.187-1"], True),
        ("6.1.190-1", ["6.1.187-1"], True),
        ("6.1.187~rc1-1", ["6.1.187-1"], False),
        ("6.12.50-1", ["6.1.187-1"], False),  # a later series, whose release may be older than the fix
        ("6.12.50-1", ["6.1.187-1", "6.12.107-1"], False),
        ("6.12.107-1", ["6.1.187-1", "6.12.107-1"], True),
        ("6.1.187-1", ["6.12.107-1"], False),
        ("6.10.2-1", ["6.1.0-1"], False),
        ("", ["6.1.187-1"], False),
        ("6.1.187-1", [], False),
        ("6.1.187-1", ["nonsense", ""], False),
    ],
)
def test_fixed(version, fixed_in, expected):
    assert fixed(version, fixed_in) is expected


@pytest.mark.parametrize(
    "version,linux",
    [
        ("6.1.176-1", "6.1.176"),
        ("6.12.107-1~deb12u1", "6.12.107"),
        ("6.1-1", "6.1"),
        ("6.1.187+x-1", "6.1.187"),
        ("6.1.187~rc2-1", ""),  # has not all that the release has
        ("6.1.187.5-1", ""),
        ("1-1", ""),
        ("none", ""),
        (None, ""),
    ],
)
def test_the_version_of_linux_in_a_package(version, linux):
    assert upstream(version) == linux
