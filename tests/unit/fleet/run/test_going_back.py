# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run ends that takes an update back: what it says of hosts that had nothing of it."""

from __future__ import annotations

import os

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import Budget
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence, finish, lock, start, step
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.batch import Batch
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import RevertPlan, UpdateName
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.request import RunRequest
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.slices import batches_of

HOSTS = ["web1", "web2"]
NOT_THERE = {"state": "not there", "code": "not_there", "sentence": "Nothing is there.", "kernel_state": "absent"}
REVERSED = {"state": "reversed", "kernel_state": "reversed"}


class Revert:
    """Going back by name from two hosts, with what they answer."""

    def __init__(self, directory, *answers, check=False):
        self.directory, self.check = str(directory), check
        self.holder = lock.process(os.getpid())
        self.request = RunRequest(self.directory, self.holder, HOSTS, check=check)
        plan = RevertPlan(UpdateName("nosuch", ""), batches_of(HOSTS, ["100%"]), [], 300, 0, Budget(0, 0), False)
        self.files = RunFiles(start.revert_hosts(self.request, plan)["run"])
        for name, answer in zip(HOSTS, answers, strict=True):
            begun = step.begin(self.files, self.files.records([name])[name], step.REVERSE)
            settled = step.settle(begun, step.REVERSE, answer)
            evidence.append(self.files.evidence, [step.line(settled, step.REVERSE, answer, 0.1)])
            step.record(self.files, begun, settled)
        self.said = []

    def finish(self):
        return finish.finish(self.files, self.directory, self.holder, self.said.append, self.check)


def test_an_update_that_no_host_has_is_not_said_to_be_reverted(tmp_path):
    run = Revert(tmp_path, NOT_THERE, NOT_THERE)
    done = run.finish()
    assert (done["finished"], done["outcome"], done["code"]) == (False, "not there", "no_such_update")
    assert done["next_step"]
    words = [line.get("state") for line in evidence.read(run.files.evidence)]
    assert "reversed" not in words and "reverted" not in words
    assert run.said[0].startswith("nosuch: not there."), "no version and no plan were named"


@pytest.mark.parametrize("answers", [(REVERSED, NOT_THERE), (NOT_THERE, REVERSED), (REVERSED, REVERSED)])
def test_one_host_that_had_it_is_enough(tmp_path, answers):
    done = Revert(tmp_path, *answers).finish()
    assert (done["finished"], done["outcome"]) == (True, "reverted")


CONFIRMED = {"state": "confirmed", "kernel_state": "confirmed", "sentence": "It would be taken back."}


def test_a_look_says_what_would_go_back_and_loses_no_host(tmp_path):
    run = Revert(tmp_path, CONFIRMED, REVERSED, check=True)
    batch = Batch(run.files, "web1", run.said.append, forks=5, check=True)
    assert batch.judge("reverse")["go"]
    assert "lost" not in run.said[-1]
    done = run.finish()
    assert (done["finished"], done["outcome"], done["states"]) == (True, "checked", {"confirmed": 1, "reversed": 1})
    assert "taken back from 1 host (web1)" in done["sentence"]
    assert "Roll out" not in done["next_step"] and "--check" in done["next_step"]


def test_a_look_for_an_update_that_no_host_has_fails(tmp_path):
    done = Revert(tmp_path, NOT_THERE, NOT_THERE, check=True).finish()
    assert (done["finished"], done["code"]) == (False, "no_such_update")


def test_a_host_with_nothing_to_take_back_is_no_failure(tmp_path):
    run = Revert(tmp_path, REVERSED, NOT_THERE)
    assert not outcomes.is_bad("not there") and outcomes.is_settled("not there")
    assert not outcomes.may_be_live("not there")
    assert run.files.records(["web2"])["web2"].state == "not there"
