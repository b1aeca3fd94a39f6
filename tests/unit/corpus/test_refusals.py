# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of patches that mislead: how it is read, and when an answer is as expected."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.rebootless.splice.tests.corpus.refusals import run, table


def case(*expect: str) -> table.Case:
    return table.Case("x", table.BUILT, tuple(frozenset(words.split()) for words in expect), pathlib.Path("x.patch"))


def built(*remarks: str, absent: tuple[str, ...] = (), live: bool = True) -> frozenset[str]:
    rows: dict[str, t.Any] = {
        "remarks": [{"code": code} for code in remarks],
        "not_applicable": [{"code": code} for code in absent],
    }
    return table.said({"facts": rows, "live": live})


def refused(code: str, *findings: str) -> frozenset[str]:
    details = {"findings": [{"code": finding} for finding in findings]} if findings else {}
    return table.said({"error": {"code": code, "sentence": "", "details": details}})


@pytest.mark.parametrize(
    ("expect", "answer", "holds"),
    [
        (["live"], built(), True),
        (["live"], built("stays_loaded"), True),
        (["live"], built("existing_objects"), False),
        (["live"], built(absent=("documentation",)), False),
        (["live"], built(live=False), False),
        (["live"], refused("bad_patch"), False),
        (["live documentation"], built(absent=("documentation",)), True),
        (["live documentation"], built(), False),
        (["live stays_loaded"], built("stays_loaded"), True),
        (["live stays_loaded"], built(), False),
        (["remark"], built("stays_loaded"), False),
        (["remark"], built("stays_loaded", "existing_objects"), True),
        (["not_applicable"], built(), False),
        (["not_applicable"], built(absent=("not_built",)), True),
        (["same_object"], built(absent=("same_object",), live=False), True),
        (["bad_patch"], refused("bad_patch"), True),
        (["unsafe_change", "state_missing"], built("state_missing"), True),
        (["unsafe_change", "state_missing"], refused("unsafe_change", "work_moved"), True),
        (["unsafe_change", "state_missing"], refused("does_not_compile"), False),
        (["unsafe_change", "remark", "live"], refused("build_crashed"), False),
        (["layout_changed constant_renumbered"], refused("unsafe_change", "layout_changed"), False),
        (["layout_changed constant_renumbered"], refused("u", "constant_renumbered", "layout_changed"), True),
    ],
)
def test_an_answer_is_as_expected(expect: list[str], answer: frozenset[str], holds: bool) -> None:
    assert case(*expect).holds(answer) is holds


def test_what_is_to_be_said_is_spelt_with_what_lives_first() -> None:
    assert case("documentation live", "bad_patch").spelt == "live documentation | bad_patch"


@pytest.mark.parametrize(
    ("text", "files", "complaint"),
    [
        ('a = { how = "built", expect = ["live"] }', [], "same patches: a"),
        ('a = { how = "built", expect = ["live"] }', ["a", "b"], "same patches: b"),
        ("", [], "same patches"),
        ('a = { how = "guessed", expect = ["live"] }', ["a"], "a needs how"),
        ('a = { how = "built" }', ["a"], "a needs how"),
        ('a = { how = "built", expect = ["live"], why = "x" }', ["a"], "a needs how"),
        ('a = { how = "built", expect = [] }', ["a"], "a expects nothing"),
        ('a = { how = "built", expect = ["live", " "] }', ["a"], "a expects nothing"),
        ("a = {", ["a"], "Invalid"),
    ],
)
def test_a_table_that_is_none(tmp_path: pathlib.Path, text: str, files: list[str], complaint: str) -> None:
    for name in files:
        (tmp_path / f"{name}.patch").touch()
    (tmp_path / "expected.toml").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        table.read_table(tmp_path / "expected.toml", tmp_path)


def test_the_table_is_read_and_each_patch_says_why_it_is_there() -> None:
    cases = table.read_table()
    assert {case.how for case in cases} == {table.TEXT, table.BUILT}
    for row in cases:
        words, blank, patch = row.patch.read_bytes().partition(b"\n\n")
        assert words[:1].isalpha() and not words.startswith((b"diff", b"Only in", b"From")), row.name
        assert blank and patch, f"{row.name}: a blank line is to end what it says"


def test_cases_are_chosen_by_name() -> None:
    cases = table.read_table()
    assert [case.name for case in run.chosen(cases, "vmalloc, wrapper")] == ["wrapper", "vmalloc"]
    assert run.chosen(cases, "") == cases
    with pytest.raises(ValueError, match="no patch nowhere"):
        run.chosen(cases, "nowhere vmalloc")
