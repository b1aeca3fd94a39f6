# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strings and constants of an update that objects may hold when it has been reversed."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.handed_out import remarks
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.maker import make_replacement
from ansible_collections.rebootless.splice.tests.support.objects import EXPORTS, KERNEL, decision


def kept(construct):
    """What of a fixture's update objects may hold the address of."""
    (part,) = make_replacement([decision(construct)], KERNEL, EXPORTS).parts
    return part.handed_out


def test_strings_that_objects_may_hold():
    found = [words.removeprefix("a string or constant of ") for words in kept("literals_kept")]
    assert {name for name in found if not name.startswith("CSWTCH")} == {
        *("stores", "stores_behind_a_warning", "returns", "gives_away", "picks", "gives_away_in_a_static_branch"),
        *("gives_away_in_a_cold_part", "gives_away_in_another_function", "gives_away_on_the_stack"),
        "copies_from_the_stack",
    }
    # gcc makes a table of those that picks() returns
    assert [name for name in found if name.startswith("CSWTCH")]


def test_the_build_says_what_keeps_a_module():
    (part,) = make_replacement([decision("literals_kept")], KERNEL, EXPORTS).parts
    (remark,) = remarks([part])
    assert remark["code"] == "stays_loaded"
    assert remark["details"] == {"object": "vmlinux", "held": part.handed_out}
    assert "a string or constant of stores" in remark["sentence"]
    assert remarks(make_replacement([decision("strings")], KERNEL, EXPORTS).parts) == []


def test_strings_that_are_only_read_keep_no_module():
    assert kept("strings") == []


def test_strings_that_custom_code_gives_away_keep_no_module():
    """It is called to undo that; but not what a changed function did, in new code that both call."""
    assert kept("hooks_hand_out") == ["a string or constant of by_both"]


def test_a_replacement_that_is_pointed_to_for_the_first_time_keeps_the_module():
    """drain() was only called; grow() keeps its address, which stood in a table before."""
    assert kept("landing_mark") == ["drain"]


def test_what_describes_a_message_keeps_nothing():
    """The kernel forgets a module's dynamic debug messages with the module."""
    assert kept("other_data") == []
