# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that moves between functions which run one after the other on the same object."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.moved_calls import moved_work
from ansible_collections.rebootless.splice.tests.support.objects import unit_change


def test_work_that_moves_between_operations_is_a_finding():
    change = unit_change("moved_work")
    rows = moved_work([change])[id(change)]
    assert {(row.code, row.thing, *row.details["before"], *row.details["after"]) for row in rows} == {
        ("work_moved", "register_it", "first_init", "second_init"),
        ("work_moved", "unregister_it", "first_exit", "second_exit"),
    }
    assert any("register_it moves from first_init to second_init; what has been" in row.sentence for row in rows)


def test_the_functions_that_only_seem_to_move_work_do_change():
    names = {f.name for f in unit_change("moved_work").difference.functions if f.change == "changed"}
    assert {"inner", "outer", "drop", "take", "one", "other"} <= names


@pytest.mark.parametrize("fixture", ["clones", "exchange", "functions_come_and_go", "loadable", "shared_section"])
def test_nothing_else_moves_work(fixture):
    assert moved_work([unit_change(fixture)]) == {}
