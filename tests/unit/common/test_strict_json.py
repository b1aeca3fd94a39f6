# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON from elsewhere: what is written can be read, and all can be written."""

from __future__ import annotations

import json
import math

import hypothesis
import hypothesis.strategies as st
import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json

HALVES = st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0xE00F) | st.characters())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HALVES,
    lambda children: st.lists(children) | st.dictionaries(HALVES | st.integers(), children),
)


@hypothesis.given(VALUES)
def test_what_is_written_can_be_read(value):
    written = strict_json.write(value)
    assert strict_json.write(strict_json.parse(written)) == written


WORDLESS = (10**5000, -(2**70), math.nan, math.inf, "a\udcffb", {"\udcff": 1}, {1: 2}, object())


@pytest.mark.parametrize("value", WORDLESS, ids=map(str, range(len(WORDLESS))))
def test_what_json_has_no_words_for_is_text(value):
    assert strict_json.parse(strict_json.write({"of a host": value}))["of a host"] is not None


def test_what_is_nested_too_deeply_is_cut():
    value: list = []
    for _level in range(900):
        value = [value]
    assert b'"..."' in strict_json.write(value)
    strict_json.parse(strict_json.write(value))
    assert strict_json.parse(strict_json.write({"name": "web\udcff", "ok": True})) == {"name": "web\\udcff", "ok": True}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_that_json_has_not_is_written_or_read(value):
    for nested in (value, {"a": value}, [1, [value]]):
        with pytest.raises(ValueError):
            strict_json.exact(nested)
        with pytest.raises(ValueError):
            strict_json.parse(json.dumps(nested).encode())
    assert not strict_json.is_number(value)


@hypothesis.given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_what_is_written_exactly_is_the_same(value):
    assert strict_json.parse(strict_json.exact(value)) == value


@pytest.mark.parametrize(
    ("value", "same", "whole", "number"),
    [
        (1, True, True, True),
        (True, False, False, False),
        (1.0, False, False, True),
        (2, False, True, True),
        (1.5, False, False, True),
        ("1", False, False, False),
        (None, False, False, False),
    ],
)
def test_what_only_python_takes_for_a_number(value, same, whole, number):
    assert strict_json.is_same(value, 1) is same
    assert (strict_json.is_whole(value), strict_json.is_number(value)) == (whole, number)


def test_values_that_ansible_has_marked_are_what_they_say():
    """A plan whose policy came from a playbook had ``'stop', which is not one of report, stop``."""
    marked_text, marked_number = type("Marked", (str,), {})("stop"), type("Marked", (int,), {})(1)
    assert strict_json.is_same(marked_text, "stop") and not strict_json.is_same(marked_text, "report")
    assert strict_json.is_same(marked_number, 1) and not strict_json.is_same(marked_number, True)
    assert not strict_json.is_same(1, "1") and strict_json.is_same(True, True)
