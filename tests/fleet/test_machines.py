# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that die, hang, reboot or cannot be reached, with an update half way in."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.tests.fleet.scene import updates
from ansible_collections.rebootless.splice.tests.fleet.scene.pair import BOOT_S, SILENT

LATE = {"rebootless_check_times": [0, 25]}


def stopped_at_the_first(pair, plan, *states: str) -> None:
    """Asserts that the first machine failed, the second one was never begun, and neither has anything live."""
    (first, _code), second = pair.outcome(plan)
    assert first in states, pair.evidence(plan)
    assert second == ("pending", "")
    assert pair.live() == [[], []]
    assert pair.untouched() == [True, True]


@pytest.mark.quick
def test_panic_right_after_apply(pair):
    before = pair.first.boot_id()
    plan = pair.plan(updates.PANICS, **SILENT)
    pair.rollout(plan, ok=False)
    assert pair.first.panic() == "fleet: a bad update"
    pair.first.wait_for_boot(before)
    stopped_at_the_first(pair, plan, "lost", "failed")

    after = pair.first.boot_id()
    again = pair.rollout(plan, ok=False)
    assert "The rollout of fleet-panics 1.0 was stopped" in again.output
    assert pair.first.boot_id() == after, "a host that an update has killed is not tried again unasked"
    stopped_at_the_first(pair, plan, "lost", "failed")


def test_network_drops_with_the_update(pair):
    """The machine cannot be reached, so it helps itself."""
    before = pair.first.boot_id()
    plan = pair.plan(updates.DEAF, **SILENT)
    pair.rollout(plan, ok=False)
    pair.first.wait_until(pair.first.answers, 300)
    assert pair.first.boot_id() == before
    assert "fleet-deaf: reversed at its deadline" in pair.first.out("dmesg")
    stopped_at_the_first(pair, plan, "lost", "failed")


def test_network_link_goes_during_the_soak(pair):
    before = pair.first.boot_id()
    plan = pair.plan(updates.FIX, **LATE, **SILENT)
    run = pair.start_rollout(plan)
    run.until(lambda: pair.states(plan)[pair.first.name] == "applied")
    with pair.first.monitor() as monitor:
        monitor.command("set_link", name="network", up=False)
    try:
        assert run.wait() != 0
    finally:
        with pair.first.monitor() as monitor:
            monitor.command("set_link", name="network", up=True)
    pair.first.wait_until(pair.first.answers, 300)
    assert pair.first.boot_id() == before
    pair.first.wait_until(lambda: "fleet-fix: reversed" in pair.first.out("dmesg"), 90)
    stopped_at_the_first(pair, plan, "lost", "failed")


def test_user_space_hangs(pair):
    before = pair.first.boot_id()
    plan = pair.plan(updates.HANGS, **SILENT)
    pair.rollout(plan, ok=False)
    pair.first.wait_until(pair.first.answers, 300)
    assert pair.first.boot_id() == before
    assert "fleet-hangs: reversed at its deadline" in pair.first.out("dmesg")
    stopped_at_the_first(pair, plan, "lost", "failed")


def test_powered_off_in_the_middle_of_apply(pair):
    plan = pair.plan(updates.LINGERS, rebootless_task_timeout=90)
    run = pair.start_rollout(plan)
    run.until(lambda: "fleet: about to apply" in pair.first.console()[-2000:])
    pair.first.power_off()
    assert run.wait() != 0, run.output
    pair.first.restart(BOOT_S)
    stopped_at_the_first(pair, plan, "lost", "failed")

    again = pair.start_rollout(plan)
    assert again.wait() != 0, "a host that was lost is not tried again unasked"
    stopped_at_the_first(pair, plan, "lost", "failed")


def test_reboot_in_the_middle_of_the_soak(pair):
    before = pair.first.boot_id()
    plan = pair.plan(updates.FIX, **LATE)
    run = pair.start_rollout(plan)
    run.until(lambda: pair.states(plan)[pair.first.name] == "applied")
    pair.first.reset()
    assert run.wait() != 0, run.output
    pair.first.wait_for_boot(before)
    stopped_at_the_first(pair, plan, "failed", "lost")
    assert pair.probes() == ["vulnerable", "vulnerable"]


def test_clock_set_back_during_the_soak(pair):
    """Times are counted, not read off a clock: neither is a check left out nor does the deadline come too late."""
    plan = pair.plan(updates.FIX, rebootless_check_times=[0, 15])
    run = pair.start_rollout(plan)
    run.until(lambda: pair.states(plan)[pair.first.name] == "applied")
    pair.first.run("date --set='-2 days'")
    try:
        assert run.wait() == 0, run.output
        assert [state for state, _code in pair.outcome(plan)] == ["confirmed", "confirmed"]
        assert pair.live() == [["fleet-fix confirmed"]] * 2
    finally:
        pair.first.run("date --set='+2 days'")
