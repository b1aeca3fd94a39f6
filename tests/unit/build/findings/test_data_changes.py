# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of changed data: exchanged in place, another object, or a finding that names the member."""

from __future__ import annotations

import functools

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import unit as findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import counterless
from ansible_collections.rebootless.splice.tests.support.objects import decision


@functools.cache
def judged(construct, object_name="vmlinux"):
    decided = decision(construct, object_name)
    return decided, {row.details.get("data"): row for row in findings.findings_of(decided)}


def how(construct):
    decided, _rows = judged(construct)
    return {counterless(datum.name) or datum.name: fate.how for datum, fate in decided.data.items()}


def test_constants_of_unchanged_size_are_exchanged():
    hows = how("exchange")
    assert {name for name, how_ in hows.items() if how_ == "exchange"} == {
        *("policy", "bounds", "steps", "claimed"),
    }
    assert {name for name, how_ in hows.items() if how_ == "copy"} == {"grows"}


def test_what_cannot_be_exchanged_is_a_finding():
    _decided, rows = judged("exchange")
    assert {name: row.code for name, row in rows.items()} == {
        "kept": "data_resized",
        "shared": "data_resized",
        "params": "constant_changed",
        "boot_limit": "constant_changed",
        **dict.fromkeys(("own_table", "name", "defaults", "stored", "returned", "held"), "constant_changed"),
        "claimed": "constant_changed",
    }
    assert "rhashtable_params.min_size of params: 16 -> 32" in rows["params"].sentence
    assert "has a copy" in rows["params"].sentence
    assert rows["own_table"].details["why"] == "own gives its address away, and who got it may have copied it"
    assert rows["name"].details["why"] == "other units may have copied it"
    assert rows["defaults"].details["why"] == "make_object gives its address away, and who got it may have copied it"
    assert rows["stored"].details["why"].startswith("store gives its address away")
    assert rows["returned"].details["why"].startswith("where gives its address away")
    assert rows["held"].details["why"].startswith("holder has its address")
    assert "boot_limit[1]: 15 -> 150" in rows["boot_limit"].sentence


def test_every_user_of_a_copy_is_replaced():
    decided, _rows = judged("exchange")
    names = {f.name for f in decided.functions}
    assert {"read_one", "read_other"} <= names
    # The exchanged constants change for their users, too, but where they are.
    assert not {"give_away", "own", "make_table"} & names


def test_a_copy_is_a_thing_of_its_own():
    decided, _rows = judged("exchange")
    (copy,) = [datum for datum, fate in decided.data.items() if fate.how == "copy"]
    assert (copy.change, copy.pre_size, copy.post_size) == ("changed", 12, 16)
    assert decided.change.difference.correlation.pre_of(copy.post) is None


def test_a_pointer_in_an_ops_table_is_exchanged():
    assert how("constant") == {"table": "exchange"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("by_member", ["ops.open of by_member: 0 -> do_open", "ops.flags of by_member: 3 -> -4"]),
        ("nested", ["ops.flags of nested.table[1]: 7 -> 8"]),
        ("bits", ["bits.two of bits: 1 -> 2"]),
        ("text", ['text[1]: "two" -> "deux"']),
        ("plain", ["plain: 1 -> 2"]),
        ("matrix", ["matrix[1][2]: 0 -> 9"]),
        ("anonymous", ["holder.inside of anonymous: 1 -> 5"]),
        ("pointer", ["pointer: do_open -> do_close"]),
        ("count", ["count: 10 -> 100"]),
    ],
)
def test_a_changed_initial_value_names_the_member(name, expected):
    _decided, rows = judged("initial_values")
    row = rows[name]
    assert (row.code, row.details["changes"]) == ("variable_changed", expected)
    assert expected[0] in row.sentence


def test_only_the_first_members_are_in_the_sentence():
    _decided, rows = judged("initial_values")
    assert len(rows["many"].details["changes"]) == 6
    assert "many[2]: 0 -> 3 and 3 more" in rows["many"].sentence


def test_static_locals_of_one_name_are_told_apart():
    found = findings.findings_of(decision("initial_values"))
    (row,) = [row for row in found if row.details["data"] == "count"]
    assert row.details["changes"] == ["count: 10 -> 100"]
