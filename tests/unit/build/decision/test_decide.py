# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided about each change, before anything is found against it or made of it."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import decide
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange, compare
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import unit as findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.maker import make_replacement
from ansible_collections.rebootless.splice.tests.support.objects import (
    EXPORTS,
    KERNEL,
    SECTIONED,
    compile_fixture,
    decision,
    object_file,
    unit_change,
)


def functions(decided):
    return {function.name: fate.how for function, fate in decided.functions.items()}


def data(decided):
    return {datum.name: fate.how for datum, fate in decided.data.items()}


@pytest.mark.parametrize(
    ("construct", "object_name", "expected"),
    [
        ("functions_come_and_go", "vmlinux", {"entry": "replace", "old_helper": "replace", "new_helper": "carry"}),
        ("boot_code", "vmlinux", {"start": "", "stop": ""}),
        ("boot_code", "loadable", {"start": "replace at load", "stop": "replace"}),
        (
            "module_init",
            "loadable",
            {"functions": "replace", "own_init": "replace at load", "new_step": ""},
        ),
        ("module_init", "vmlinux", {"functions": "replace", "own_init": "", "new_step": ""}),
        ("no_longer_init", "vmlinux", {"caller": "replace", "was_init": "carry", "becomes_init": ""}),
    ],
)
def test_functions(construct, object_name, expected):
    found = functions(decision(construct, object_name))
    assert {name: found.get(name) for name in expected} == expected


def test_data():
    assert data(decision("exchanged")) == {"operations": "", "limits": "exchange"}
    assert set(data(decision("data")).values()) == {""}


def test_an_update_without_effect_is_told():
    assert not decision("boot_code").is_effective
    assert not decision("static_local_changed").is_effective
    assert decision("boot_code", "loadable").is_effective
    assert decision("exchanged").is_effective


def test_custom_code_that_claims_init_code_leaves_it_alone(tmp_path):
    """What is new beside it stays a finding, since no init code comes along that could use it."""
    post = ObjectFile(compile_fixture("module_init", tmp_path / "post.o", *SECTIONED, "-DPOST", "-DCLAIMED"))
    difference = compare(object_file("module_init", "pre"), post)
    change = UnitChange("loadable", "fixtures/module_init.o", object_file("module_init", "exact"), difference)
    decided = decide(change, KERNEL)
    assert decided.init_functions == []
    assert [row.details["function"] for row in findings.refusals(decided)] == ["new_step"]


def test_nothing_that_reads_a_decision_changes_it():
    change = unit_change("exchanged")
    first, again = decide(change, KERNEL), decide(change, KERNEL)
    rows = findings.findings_of(first)
    make_replacement([first], KERNEL, EXPORTS)
    assert findings.findings_of(first) == rows == findings.findings_of(again)
    assert dict(first.data) == dict(again.data) and dict(first.functions) == dict(again.functions)
    with pytest.raises(dataclasses.FrozenInstanceError):
        change.difference.data[0].change = "removed"  # type: ignore[misc]
