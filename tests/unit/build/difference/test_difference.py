# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of the source is told as: one fixture for each construct, compiled like the kernel."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import compare
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import counterless, family
from ansible_collections.rebootless.splice.tests.support.objects import (
    FIXTURES,
    SECTIONED,
    compile_fixture,
    difference,
    object_file,
)

CONSTRUCTS = sorted(path.stem.removeprefix("diff_") for path in FIXTURES.glob("diff_*.c"))


def told(changes):
    return {(c.change, c.name) for c in changes}


@pytest.mark.parametrize(
    ("construct", "functions"),
    [
        ("alternative", {"other_replacement"}),
        ("bug_table", {"line_changes"}),
        ("changed_function", {"changed"}),
        ("clones", {"with_cold_part"}),
        ("ex_table", {"read_user"}),
        ("jump_label", {"other_key"}),
        ("merged_constant", {"changed"}),
        ("own_constant", {"switched"}),
        ("paravirt", {"irq"}),
        ("sanitized", {"adds", "watched"}),
        ("shared_section", {"changed"}),
        ("static_call", {"caller"}),
        ("strings", {"first"}),
        ("syscall", {"__se_sys_example"}),
    ],
)
def test_only_what_the_patch_changes_is_changed(construct, functions):
    assert told(difference(construct).functions) == {("changed", name) for name in functions}


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_an_object_does_not_differ_from_itself(construct, tmp_path):
    again = ObjectFile(compile_fixture(construct, tmp_path / "again.o", *SECTIONED, "-DPOST"))
    assert not compare(object_file(construct, "post"), again)


def test_functions_and_their_data_come_and_go():
    found = difference("functions_come_and_go")
    assert told(found.functions) == {("changed", "entry"), ("removed", "old_helper"), ("new", "new_helper")}
    assert told(found.data) == {("new", "new_state"), ("new", "new_table")}
    sizes = {c.name: (c.pre_size, c.post_size) for c in found.data}
    assert sizes == {"new_state": (0, 32), "new_table": (0, 20)}


def test_a_changed_cold_part_is_its_functions_change():
    (change,) = difference("clones").functions
    assert change.pre.name == change.post.name == "with_cold_part"
    assert [p.name for p in change.pre_parts] == [p.name for p in change.post_parts] == ["with_cold_part.cold"]


def test_clones_come_and_go_with_their_callers():
    assert told(difference("clone_numbers").functions) == {
        *(("changed", "calls_first"), ("changed", "calls_first_again")),
        *(("removed", "first.constprop.0"), ("new", "first")),
    }


def test_what_nobody_sees_is_no_change():
    assert not difference("cosmetic")


def test_state_of_one_place_belongs_to_its_function():
    found = difference("sites")
    assert told(found.functions) == {("changed", "stays"), ("removed", "goes"), ("new", "comes")}
    assert {(c.change, counterless(c.name)) for c in found.data} == {
        *(("removed", "_rs"), ("removed", "__already_done")),
        *(("new", "_rs"), ("new", "__already_done")),
    }
    # Two static counters of one name go on where they are: they were paired by their users.
    for name in ("stays", "next"):
        (pre, post) = (
            [r.target for r in p.references(p.by_name[name]) if r.piece and counterless(r.piece.name) == "next_id"]
            for p in (found.correlation.pre, found.correlation.post)
        )
        assert {found.correlation.post_of(piece) for piece in pre} == set(post) != set()


def test_a_static_local_of_another_function_is_another_thing():
    found = difference("other_owner")
    assert {(c.change, counterless(c.name)) for c in found.data} == {("removed", "state"), ("new", "state")}


def test_data_is_compared_by_value_size_and_section():
    assert told(difference("data").data) == {
        ("changed", "value"),
        ("changed", "resized"),
        ("changed", "moved"),
        ("removed", "gone"),
        ("new", "new_one"),
    }


def test_a_pointer_in_a_table_is_compared_by_what_it_points_to():
    assert told(difference("constant").data) == {("changed", "table")}
    assert not difference("constant").functions


def test_static_locals_are_paired_by_their_users():
    found = difference("static_locals")
    assert told(found.functions) == {("new", "added")}
    (new,) = found.data
    assert new.change == "new"
    pieces = found.correlation.post
    users = [p.name for p in pieces.all if any(r.target is new.post for r in pieces.references(p))]
    assert users == ["added"]


def test_a_changed_static_local_is_the_same_one():
    (change,) = difference("static_local_changed").data
    assert change.change == "changed"
    assert counterless(change.name) == "count"


def test_message_sites_are_paired_by_their_contents():
    found = difference("other_data")
    new = {(counterless(c.name) or c.name, c.change) for c in found.data}
    assert new == {("descriptor", "new"), ("new_per_cpu", "new")}
    assert told(found.functions) == {("changed", "changed")}


def test_calls_without_relocations_are_references():
    pieces = difference("shared_section").correlation.post
    targets = [r.target.name for r in pieces.references(pieces.by_name["unchanged"]) if r.piece is not None]
    assert sorted(targets) == ["changed", "small"]


def test_an_alternative_without_replacement_refers_to_nothing_else():
    pieces = difference("alternative").correlation.post
    function = pieces.by_name["without_replacement"]
    (entry,) = [e for e in pieces.entries(function) if e.section.name == ".altinstructions"]
    assert {r.target for r in entry.references} == {function}


@pytest.mark.parametrize(
    ("clone", "original"),
    [("foo.isra.0", "foo"), ("foo.constprop.12.cold", "foo"), ("foo.part.1.isra.2", "foo"), ("a.b", "a.b")],
)
def test_clones_are_told_by_their_names(clone, original):
    assert family(clone) == original
