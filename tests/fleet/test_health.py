# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks that fail: on one host of a batch, on all, at once, during the soak and after it."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.tests.fleet.scene import updates

SICK = "/root/fleet-sick"
# Fails where the file is, or from the time on whose number is in it: 1 is the check at once, 2 that of the soak.
CHECK = f"""\
test -e {SICK} || exit 0
echo >> {SICK}.runs
test $(wc -l < {SICK}.runs) -lt $(cat {SICK})
"""
WELL = [{"name": "well", "kind": "command", "cmd": f"sh {SICK}.sh", "retries": 0}]
ONE_BATCH = {"rebootless_batches": ["100%"], "rebootless_checks": WELL}


@pytest.fixture
def sick(pair):
    """Makes a machine fail the check from its nth run on."""

    def make(machine, since: int) -> None:
        machine.write(SICK, f"{since}\n".encode())

    for machine in pair.machines:
        machine.write(f"{SICK}.sh", CHECK.encode())
    return make


def test_check_that_fails_on_one_host_of_a_batch(pair, sick):
    """The host goes back; its neighbour is well and stays, since only the host's own change is to be undone."""
    plan = pair.plan(updates.FIX, rebootless_revert_scope="host", **ONE_BATCH)
    sick(pair.first, since=1)
    pair.rollout(plan, ok=False)
    (first, code), (second, _code) = pair.outcome(plan)
    assert (first, code) == ("failed", "check_failed")
    assert second in ("confirmed", "applied")
    assert pair.live() == [[], [f"fleet-fix {second}"]]
    assert pair.untouched() == [True, False]
    assert pair.first.run(f"test -e {SICK}.runs", check=False).returncode == 0


def test_check_that_fails_on_one_host_takes_its_batch_back(pair, sick):
    plan = pair.plan(updates.FIX, rebootless_revert_scope="batch", **ONE_BATCH)
    sick(pair.first, since=1)
    pair.rollout(plan, ok=False)
    assert [state for state, _code in pair.outcome(plan)] == ["failed", "reversed"]
    assert pair.live() == [[], []]
    assert pair.untouched() == [True, True]


def test_controller_killed_while_it_goes_back(pair, sick):
    """The one phase that test_controller.py does not come to."""
    plan = pair.plan(updates.FIX, rebootless_revert_scope="batch", **ONE_BATCH)
    sick(pair.first, since=1)
    run = pair.start_rollout(plan)
    run.until(lambda: any(line["event"] == "stopping" for line in pair.evidence(plan)))
    run.kill()
    # the second host is asked to go back right afterwards, and does though its answer is lost
    assert pair.live()[1] in (["fleet-fix applied"], [])

    pair.rollout(plan, ok=False)
    assert [state for state, _code in pair.outcome(plan)] == ["failed", "reversed"]
    assert pair.live() == [[], []]
    assert pair.untouched() == [True, True]


@pytest.mark.quick
def test_check_that_fails_in_the_second_batch_takes_the_first_one_back(pair, sick):
    plan = pair.plan(updates.FIX, rebootless_revert_scope="rollout", rebootless_checks=WELL)
    sick(pair.second, since=1)
    pair.rollout(plan, ok=False)
    assert [state for state, _code in pair.outcome(plan)] == ["reversed", "failed"]
    assert pair.live() == [[], []]
    assert pair.untouched() == [True, True]
    (stopping,) = (line for line in pair.evidence(plan) if line["event"] == "stopping")
    assert stopping["details"]["bad"] == [pair.second.name]
    assert "rebootless_continue" in pair.rollout(plan, ok=False).output, "it stays stopped"


def test_check_that_fails_on_one_host_within_the_budget(pair, sick):
    plan = pair.plan(updates.FIX, rebootless_failure_budget={"hosts": 1, "percent": 0}, rebootless_checks=WELL)
    sick(pair.first, since=1)
    pair.rollout(plan, ok=False)
    assert [state for state, _code in pair.outcome(plan)] == ["failed", "confirmed"]
    assert pair.live() == [[], ["fleet-fix confirmed"]]


def test_check_that_fails_on_all(pair, sick):
    plan = pair.plan(updates.FIX, **ONE_BATCH)
    for machine in pair.machines:
        sick(machine, since=1)
    pair.rollout(plan, ok=False)
    assert pair.outcome(plan) == [("failed", "check_failed")] * 2
    assert pair.live() == [[], []]
    assert pair.untouched() == [True, True]


@pytest.mark.parametrize(("since", "when"), [(2, "soak"), (3, "confirm")])
def test_check_that_fails_only_later(pair, sick, since, when):
    """In the middle of the soak the host goes back by itself; after it, when it is to be confirmed."""
    plan = pair.plan(updates.FIX, rebootless_checks=WELL)
    sick(pair.first, since)
    pair.rollout(plan, ok=False)
    first, second = pair.outcome(plan)
    assert (first, second) == (("failed", "check_failed"), ("pending", ""))
    assert pair.live() == [[], []]
    assert pair.untouched() == [True, True]
    by = {"soak": "watcher", "confirm": "module"}[when]
    lines = [line for line in pair.evidence(plan) if line["event"] == "host" and line["state"] == "failed"]
    assert [line["details"]["reversed_by"] for line in lines] == [by]
