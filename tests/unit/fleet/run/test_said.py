# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators read of a run is made of sentences."""

from __future__ import annotations

import dataclasses
import os
import time

import pytest

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import parse_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import (
    display,
    interrupted,
    lock,
    slices,
    step,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.batch import Batch
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import HostRecord, Outcome
from ansible_collections.rebootless.splice.tests.support.fleet import samples

PLAN = parse_plan(samples.plan())


@pytest.mark.parametrize(
    "said, sentence",
    [
        ("[Errno 32] Broken pipe", "[Errno 32] Broken pipe."),
        ("Connection refused.\n", "Connection refused."),
        ("Is it up?", "Is it up?"),
    ],
)
def test_what_others_said_ends_before_the_next_step_begins(said, sentence):
    for answer in (step.unreached(said, "apply"), step.answer_of({"unreachable": True, "msg": said}, "apply")):
        assert answer["sentence"] == sentence
    assert step.answer_of({"failed": True, "msg": said}, "apply")["sentence"] == sentence
    record = HostRecord("web1", None, state="lost", code="unreachable", sentence=sentence, next_step="Look at it.")
    assert display.host_verdict(record)["msg"] == f"web1: lost [unreachable]: {sentence} Look at it."


def test_the_verdict_on_a_run_is_a_sentence():
    outcome = Outcome("stopped", False, "over_budget", "1 of 1 hosts bad.", "Find the cause.")
    assert display.run_verdict(outcome)["msg"] == "The run was stopped [over_budget]: 1 of 1 hosts bad. Find the cause."
    assert display.run_verdict(None)["msg"] == "The run did not come to its end."


@pytest.fixture
def files(tmp_path):
    """A run of the sample plan whose hosts soak."""
    made = RunFiles(str(tmp_path / "rollouts" / "run"))
    run = slices.run_of_plan(PLAN, "me")
    made.write_run(run)
    for name, planned in slices.slices_of_plan(PLAN).items():
        record = HostRecord(name, planned, PLAN.hosts[name].batch, state="applied", applied_at=time.time())
        made.write_host(record)
    return made


def test_an_interrupted_run_says_when_hosts_go_back_and_how_to_go_on(files):
    begun, web1 = time.time(), files.host("web1")
    files.write_host(dataclasses.replace(web1, applied_at=begun - 600))
    files.write_host(dataclasses.replace(files.host("web2"), state="applying", applied_at=None))
    files.write_host(dataclasses.replace(files.host("web3"), state="pending", applied_at=None))
    first, live, unclear = interrupted.lines(files, 5)
    assert "same command" in first
    back = time.strftime("%H:%M:%S", time.localtime(begun - 600 + PLAN.deadline))
    assert "web1" in live and back in live and "web2" not in live
    assert "web2" in unclear and "web3" not in unclear
    files.write_host(dataclasses.replace(web1, state="confirmed"))
    assert not any("web1" in line for line in interrupted.lines(files, 5)), "what is confirmed stays"


def test_a_run_that_ended_says_nothing_at_the_exit(files, capsys):
    here = lock.process(os.getpid())
    lock.acquire(files.lock, here, "this rollout")
    interrupted._at_exit(files.path, print, 5)
    assert "was interrupted" in capsys.readouterr().out
    lock.release(files.lock, here)
    interrupted._at_exit(files.path, print, 5)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("host, said", [("web1", "1 host soaks until"), ("web2", "2 hosts soak until")])
def test_hosts_that_soak_are_counted(files, host, said):
    lines: list[str] = []
    Batch(files, host, lines.append, forks=5).soak(lambda: False)
    assert said in lines[0]
