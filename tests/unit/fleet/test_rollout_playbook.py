# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates of a rollout, with real ansible-playbook runs; only the module on the target is replaced (loop_back.py)."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._fleet import evidence
from ansible_collections.rebootless.splice.tests.unit.fleet import loop_back, samples

FAILED = {"state": "failed", "code": "check_failed", "sentence": "The web server is gone.", "next_step": "Look at it."}


@pytest.fixture
def fleet(tmp_path):
    """Makes a fleet with batches of these sizes; other fields of the plan by name."""

    def make(*sizes, **changes):
        return loop_back.Fleet(tmp_path / "fleet", loop_back.plan_with(sizes, samples.plan(), **changes))

    return make


def test_every_host_is_confirmed_batch_after_batch(fleet):
    three = fleet(1, 2)
    done = three.run("rollout")
    assert done.returncode == 0, done.stdout
    assert set(three.states().values()) == {"confirmed"}
    assert three.asked()[:2] == ["web1 apply", "web1 confirm"]
    assert sorted(three.asked("apply")) == sorted(three.asked("confirm")) == ["web1", "web2", "web3"]
    assert "web1 apply: applied" in done.stdout
    number, broken = evidence.verify(three.files.evidence)
    assert (number > 6, broken) == (True, None)
    again = three.run("rollout")
    assert again.returncode == 0, again.stdout
    assert len(three.asked()) == 6, "a rollout that is over asks no host again"


def test_check_mode_changes_nothing_and_applies_nothing(fleet):
    two = fleet(1, 1)
    two.answers("web2", preflight={"state": "uncovered", "code": "build_id_mismatch", "sentence": "Another kernel."})
    done = two.run("rollout", "--check")
    assert done.returncode == 0, done.stdout
    assert two.asked() == ["web1 preflight", "web2 preflight"]
    assert not two.files.exists()
    assert "web2: uncovered [build_id_mismatch]: Another kernel." in done.stdout


@pytest.mark.parametrize("how", [{"state": "failed", "code": "x", "sentence": "y"}, {"crash": True}])
def test_a_batch_that_loses_all_hosts_reaches_going_back_and_the_verdict(fleet, how):
    four = fleet(1, 2, 1, revert_scope="rollout")
    for host in ("web2", "web3"):
        four.answers(host, apply=how)
    done = four.run("rollout")
    assert done.returncode == 2, done.stdout
    states = four.states()
    assert states == {"web1": "reversed", "web2": "failed", "web3": "failed", "web4": "pending"}
    assert "web4 apply" not in four.asked()
    assert "web1" in four.asked("reverse")
    assert "fatal: [web2]" in done.stdout
    assert "fatal: [localhost]" in done.stdout
    assert four.events()[-2:] == ["stopping", "rollout_finished"]
