# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that share a unit are judged each for itself, though they share the difference of that unit."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import (
    IDLE,
    REPLACE,
    REPLACE_AT_LOAD,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import unit as findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.overrides import overrides
from ansible_collections.rebootless.splice.plugins.module_utils._build.judgement import judge_changes
from ansible_collections.rebootless.splice.plugins.module_utils._build.outcome import changed_facts
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.maker import make_replacement
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.objects import EXPORTS, KERNEL, decision, unit_change


def judged(construct, *object_names, running=()):
    """What is decided about each of the objects that the fixture's unit is linked into, and what has no effect."""
    changes = [unit_change(construct, name) for name in object_names]
    assert len({id(change.difference) for change in changes}) == 1
    return judge_changes(changes, KERNEL, lambda unit: unit, lambda *symbol: symbol in running)


def test_two_modules_of_one_unit_have_a_decision_each():
    decisions, idle = judged("module_init", "first", "second")
    assert idle == ()
    assert [decision.change.object_name for decision in decisions] == ["first", "second"]
    assert [decision.init_functions for decision in decisions] == [["own_init"], ["own_init"]]
    remarks = [row.sentence for decision in decisions for row in findings.remarks(decision)]
    assert [[name for name in ("first", "second") if f"the module {name} is loaded" in text] for text in remarks] == [
        ["first"],
        ["second"],
    ]


def test_two_modules_of_one_unit_have_replacement_code_each():
    decisions, _idle = judged("module_init", "first", "second")
    found = make_replacement(decisions, KERNEL, EXPORTS)
    assert {part.name: [row.name for row in part.functions] for part in found.parts} == {
        "first": ["functions"],
        "first:init": ["own_init"],
        "second": ["functions"],
        "second:init": ["own_init"],
    }
    carried = sorted((chunk.part, chunk.label) for chunk in found.carried)
    assert [part for part, _label in carried] == ["first", "first:init", "first:init", "second", *["second:init"] * 2]
    assert len({label for _part, label in carried}) == len(carried)
    rows = [(row["object"], row["name"]) for row in changed_facts(decisions, ())["functions"]]
    names = sorted(name for where, name in rows if where == "first")
    assert names == sorted(name for where, name in rows if where == "second") == ["functions", "new_step", "own_init"]


@pytest.mark.parametrize("order", [("vmlinux", "a_module"), ("a_module", "vmlinux")], ids="-".join)
def test_what_only_boot_calls_is_refused_for_the_kernel_and_not_for_a_module(order):
    """Whichever object comes first: its verdict is not that of the other."""
    (alone,), _idle = judged("existing_objects", "a_module")
    assert findings.refusals(alone) == []
    with pytest.raises(RebootlessError) as caught:
        judged("existing_objects", *order)
    rows = caught.value.details["findings"]
    assert [(row["code"], row["details"]["function"]) for row in rows] == [("init_code_changed", "for_boot")]
    functions = {(row["object"], row["name"]) for row in caught.value.details["functions"]}
    assert {("vmlinux", "for_boot"), ("a_module", "for_boot")} <= functions


@pytest.mark.parametrize("order", [("vmlinux", "a_module"), ("a_module", "vmlinux")], ids="-".join)
def test_exit_code_is_replaced_in_the_module_that_has_it_and_left_alone_in_the_kernel(order):
    decisions = {name: decision("boot_code", name) for name in order}
    fates = {name: {f.name: fate.how for f, fate in decided.functions.items()} for name, decided in decisions.items()}
    assert fates == {"vmlinux": {"start": IDLE, "stop": IDLE}, "a_module": {"start": REPLACE_AT_LOAD, "stop": REPLACE}}


@pytest.mark.parametrize("object_name", ["vmlinux", "a_module"])
def test_a_definition_in_place_of_a_weak_one_elsewhere_is_refused(object_name):
    decisions, _idle = judged(
        "taken_here", object_name, running=[("new_call", object_name), ("taken_elsewhere", "other")]
    )
    assert decisions  # new_call is local
    with pytest.raises(RebootlessError) as refused:
        judged("taken_here", object_name, running=[("taken_elsewhere", object_name), ("list_elsewhere", object_name)])
    assert refused.value.code == "unsafe_change"
    rows = [(row["code"], row["details"]) for row in refused.value.details["findings"]]
    unit = "fixtures/taken_here.o"
    assert rows == [
        ("overrides_running", {"unit": unit, "function": "taken_elsewhere"}),
        ("overrides_running", {"unit": unit, "data": "list_elsewhere"}),
    ]


def test_a_function_that_moves_to_another_unit_overrides_nothing():
    changes = [unit_change("moves_from"), unit_change("moves_to")]
    kinds = [{row.name: row.change for row in change.difference.functions}["moved"] for change in changes]
    assert kinds == ["removed", "new"]
    assert [codes(changes[number:], "moved") for number in (0, 1)] == [[], ["overrides_running"]]


def codes(changes, name):
    """The codes of findings that a definition of that name is in place of one that runs."""
    found = overrides(changes, lambda other, _object_name: other == name)
    return [row.code for rows in found.values() for row in rows]
