# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A loadable module that comes and goes while its update is rolled out."""

from __future__ import annotations

import re

from ansible_collections.rebootless.splice.tests.fleet.scene import updates


def queue(machine) -> str:
    """The queue of a device that is made now: 77 with the update."""
    made = machine.out("ip link add rbltest type dummy && ip -o link show rbltest && ip link del rbltest")
    return re.search(r"qlen \d+", made)[0]


def test_module_loaded_unloaded_and_loaded_again(pair):
    plan = pair.plan(updates.MODULE, rebootless_check_times=[0, 25])
    for machine in pair.machines:
        machine.run("rmmod dummy 2>/dev/null", check=False)
    pair.second.run("modprobe dummy numdummies=0")
    try:
        run = pair.start_rollout(plan)
        run.until(lambda: pair.states(plan)[pair.first.name] == "applied")
        for _again in range(2):
            pair.first.run("modprobe dummy numdummies=0")
            assert queue(pair.first) == "qlen 77"
            pair.first.run("rmmod dummy")
        pair.first.run("modprobe dummy numdummies=0")
        assert run.wait() == 0, run.output
        assert [state for state, _code in pair.outcome(plan)] == ["confirmed", "confirmed"]
        assert pair.live() == [["fleet-module confirmed"]] * 2
        assert [queue(machine) for machine in pair.machines] == ["qlen 77"] * 2
        for machine in pair.machines:
            machine.run("rmmod dummy && modprobe dummy numdummies=0")
        assert [queue(machine) for machine in pair.machines] == ["qlen 77"] * 2
    finally:
        for machine in pair.machines:
            machine.run("rmmod dummy 2>/dev/null", check=False)
