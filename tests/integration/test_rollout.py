# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout of two stock kernels: forward, killed and started again, stopped by a failure, and back."""

from __future__ import annotations

import os
import signal

import pytest
from support.builds import SIOCATMARK
from support.observe import probe, traces
from support.plans import write_plan

NAME = "cve-2026-52928"


@pytest.fixture
def make_plan(builds, hosts, tmp_path):
    """Makes plans of two batches, one host each; whatever is left on the hosts afterwards is taken back."""
    built = {host.release: builds.update(host.release, NAME, SIOCATMARK) for host in hosts}
    made = []

    def make(**settings):
        batches = [[host] for host in hosts]
        made.append(write_plan(tmp_path, hosts[0].runner.inventory, batches, built, **settings))
        return made[-1]

    yield make
    names = ",".join(host.name for host in hosts)
    done = made[-1].run(
        "revert", rebootless_plan=None, rebootless_update=NAME, rebootless_targets=names, rebootless_remove=True
    )
    assert done.status == 0, done.output
    assert [traces(host) for host in hosts] == ["", ""]
    assert [probe(host) for host in hosts] == ["vulnerable", "vulnerable"]


def test_a_rollout_goes_forward_through_a_kill_and_back(make_plan, hosts):
    first, second = hosts
    plan = make_plan()

    checked = plan.run("rollout", "--check")
    assert checked.status == 0, checked.output
    assert f"{first.name} preflight: matched" in checked.output
    assert [traces(host) for host in hosts] == ["", ""]
    assert not plan.files.exists()

    running = plan.start("rollout")
    first.wait_until(lambda: plan.files.exists() and plan.states()[first.name] == "applied", 300)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert plan.states() == {first.name: "applied", second.name: "pending"}

    done = plan.run("rollout")
    assert done.status == 0, done.output
    assert plan.states() == {first.name: "confirmed", second.name: "confirmed"}
    assert [probe(host) for host in hosts] == ["fixed", "fixed"]
    pauses = {row["result"]["pause_ns"] for row in plan.lines(host=first.name, step="apply")}
    assert len(plan.lines(host=first.name, step="apply")) == 2
    assert len(pauses) == 1, "the second run found the first one's apply, and did not apply again"

    back = plan.run("revert")
    assert back.status == 0, back.output
    assert plan.states() == {first.name: "reversed", second.name: "reversed"}
    assert [probe(host) for host in hosts] == ["vulnerable", "vulnerable"]


def test_a_failure_stops_the_rollout_and_takes_it_back(make_plan, hosts):
    first, second = hosts
    second.run("touch /run/unwell")
    check = {"kind": "command", "name": "well", "cmd": "test ! -e /run/unwell", "retries": 0}
    plan = make_plan(checks=[check], check_times=[0], revert_scope="rollout")
    done = plan.run("rollout")
    second.run("rm /run/unwell")
    assert done.status == 2, done.output
    assert plan.states() == {first.name: "reversed", second.name: "failed"}
    assert [probe(host) for host in hosts] == ["vulnerable", "vulnerable"]
    (stopping,) = plan.lines(event="stopping")
    assert stopping["details"]["bad"] == [second.name]
    refused = plan.run("rollout")
    assert refused.status == 2
    assert "rebootless_continue" in refused.output
