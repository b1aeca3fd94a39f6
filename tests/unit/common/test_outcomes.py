# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a host."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import sysfs


def test_every_state_has_a_word_for_reports():
    assert {state.shown for state in outcomes.STATES.values()} == set(outcomes.SHOWN)


@pytest.mark.parametrize("state", ["failed", "lost", "applying", "a word of another release"])
def test_what_has_no_good_word_counts_against_the_budget(state):
    assert outcomes.is_bad(state)
    assert outcomes.shown(state) == "failed"
    assert outcomes.may_be_live(state)


def test_a_killed_rollout_goes_on_with_hosts_that_have_no_final_word():
    again = {name for name in outcomes.STATES if not outcomes.is_settled(name)}
    assert again == {"pending", "applying", "matched", "applied"}


def test_going_back_visits_every_host_that_may_run_replacement_code():
    visited = {name for name in outcomes.STATES if outcomes.may_be_live(name)}
    assert visited == {"applying", "applied", "confirmed", "failed", "lost"}


def test_the_original_code_runs_in_states_of_the_helper_module():
    assert outcomes.ORIGINAL_RUNS == (sysfs.REVERSED, sysfs.ABSENT)
