# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that dies with SIGKILL, in each phase; then the same command again."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.tests.fleet.scene import updates

PACE = {"rebootless_check_times": [0, 12]}
MARK = "/root/fleet-confirming"
# The third run is the one before confirm: it lasts long enough to be interrupted.
SLOW_AT_THE_END = {
    "name": "slow at the end",
    "kind": "command",
    "cmd": f"echo >> {MARK}.runs; test $(wc -l < {MARK}.runs) -ne 3 || {{ touch {MARK}; sleep 6; }}",
    "retries": 0,
}


def applied(machine) -> int:
    """How often the update was applied to the machine."""
    return int(machine.out("dmesg | grep -c 'fleet: applied' || true"))


def begun(pair, plan):
    return any(line["event"] == "rollout_started" for line in pair.evidence(plan))


def applying(pair, plan):
    return pair.states(plan)[pair.first.name] == "applying"


def soaking(pair, plan):
    return pair.states(plan)[pair.first.name] == "applied"


def confirming(pair, _plan):
    return pair.first.run(f"test -e {MARK}", check=False).returncode == 0


def between(pair, plan):
    return pair.states(plan)[pair.first.name] == "confirmed"


def second_batch(pair, plan):
    return pair.states(plan)[pair.second.name] == "applied"


PHASES = [begun, applying, soaking, confirming, between, second_batch]
QUICK = (soaking,)


@pytest.mark.parametrize(
    "phase", [pytest.param(one, id=one.__name__, marks=[pytest.mark.quick] * (one in QUICK)) for one in PHASES]
)
def test_controller_killed(pair, phase):
    plan = pair.plan(updates.FIX, rebootless_checks=[SLOW_AT_THE_END], **PACE)
    for machine in pair.machines:
        machine.run("dmesg -C")
    run = pair.start_rollout(plan)
    run.until(lambda: phase(pair, plan))
    run.kill()

    pair.rollout(plan)
    assert [state for state, _code in pair.outcome(plan)] == ["confirmed", "confirmed"]
    assert pair.live() == [["fleet-fix confirmed"]] * 2
    assert [applied(machine) for machine in pair.machines] == [1, 1], "nothing is applied twice"
    recorded = {line["host"] for line in pair.evidence(plan) if line["state"] == "confirmed"}
    assert sorted(recorded) == sorted(pair.names), "nothing confirmed stays unrecorded"


def test_controller_killed_for_good(pair):
    """The controller does not come back, so the machine reverses at its deadline."""
    plan = pair.plan(updates.FIX, rebootless_deadline=60, **PACE)
    run = pair.start_rollout(plan)
    run.until(lambda: soaking(pair, plan))
    run.kill()
    pair.first.wait_until(lambda: "fleet-fix: reversed at its deadline" in pair.first.out("dmesg"), 180)
    assert pair.live() == [[], []]
    assert pair.untouched() == [True, True]


def test_two_rollouts_of_one_update_exclude_each_other(pair):
    plan, other = (pair.plan(updates.FIX, rebootless_tries=tries, **PACE) for tries in (11, 12))
    run = pair.start_rollout(plan)
    run.until(lambda: soaking(pair, plan))
    refused = pair.rollout(other, ok=False)
    assert not pair.evidence(other) or all(line["event"] != "host" for line in pair.evidence(other))
    assert "rollout" in refused.output
    assert run.wait() == 0, run.output
    assert [state for state, _code in pair.outcome(plan)] == ["confirmed", "confirmed"]
