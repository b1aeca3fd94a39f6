# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run takes the plan that was approved, and no other."""

from __future__ import annotations

import os

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import parse_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import lock, start
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.request import RunRequest
from ansible_collections.rebootless.splice.tests.support.fleet import samples

PLAN = parse_plan(samples.plan())


@pytest.fixture
def path(tmp_path):
    (tmp_path / "plan.json").write_bytes(PLAN.content)
    return tmp_path / "plan.json"


def begin(how, path, approved=""):
    holder = lock.process(os.getpid())
    return how(RunRequest(str(path.parent), holder, [*PLAN.hosts], approved=approved, check=True), str(path))


def refusal(how, path, approved=""):
    with pytest.raises(RebootlessError) as refused:
        begin(how, path, approved)
    return refused.value.code


@pytest.mark.parametrize("how", [start.rollout, start.take_back])
def test_only_the_plan_that_was_approved_is_taken(how, path):
    for other in ("0" * 64, PLAN.digest[:12]):
        assert refusal(how, path, other) == "plan_differs"
    path.write_bytes(parse_plan(samples.plan(deadline=1501)).content)
    assert refusal(how, path, PLAN.digest) == "plan_differs"


def test_a_digest_may_be_written_in_another_way(path):
    assert begin(start.take_back, path, f" {PLAN.digest.upper()}\n")["plan"] == PLAN.digest
    assert begin(start.take_back, path)["plan"] == PLAN.digest


@pytest.mark.parametrize("how", [start.rollout, start.take_back])
def test_a_plan_that_was_edited_by_hand_is_not_taken(how, path):
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"deadline": 1500', b'"deadline": 1501'))
    assert path.read_bytes() != good
    assert refusal(how, path) == "plan_damaged"


def test_a_plan_without_work_is_not_rolled_out(path):
    left_out = {name: row for name, row in samples.plan()["left_out"].items() if row["state"] == "unreachable"}
    path.write_bytes(parse_plan(samples.plan(hosts={}, batches=[], left_out=left_out)).content)
    assert refusal(start.rollout, path) == "nothing_to_roll_out"
