# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates of a rollout, with real ansible-playbook runs; only the module on the target is replaced (loop_back.py)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import pytest

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.rebootless.splice.plugins.action import rollout_step
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence, step
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import Status
from ansible_collections.rebootless.splice.tests.support.fleet import loop_back, samples

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FAILED = {"state": "failed", "code": "check_failed", "sentence": "The web server is gone.", "next_step": "Look at it."}


@pytest.fixture
def fleet(tmp_path):
    """Makes a fleet with batches of these sizes; other fields of the plan by name."""

    def make(*sizes, **changes):
        return loop_back.Fleet(tmp_path / "fleet", loop_back.plan_with(sizes, samples.plan(), **changes))

    yield make
    # lets go of modules that outlived their controller
    (tmp_path / "fleet/world" / loop_back.STARTED).unlink(missing_ok=True)


def test_every_host_is_confirmed_batch_after_batch(fleet):
    three = fleet(1, 2, concurrency=1)
    done = three.run("rollout")
    assert done.returncode == 0, done.stdout
    assert set(three.states().values()) == {"confirmed"}
    deadline = three.plan["deadline"]  # with one host at once, those of the second batch wait for one another
    assert [row["deadline"] for row in three.options("apply")] == [deadline, deadline + 60, deadline + 60]
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


def test_a_stopped_rollout_stays_stopped_until_it_is_told_to_continue(fleet):
    three = fleet(2, 1, revert_scope="host")
    three.answers("web1", apply=FAILED)
    assert three.run("rollout").returncode == 2
    assert three.states() == {"web1": "failed", "web2": "confirmed", "web3": "pending"}
    refused = three.run("rollout")
    assert refused.returncode == 2
    assert "rebootless_continue=true" in refused.stdout
    assert "The rollout of cve-2026-52928 1.0 was stopped: batch b0, after" in refused.stdout
    three.answers("web1")
    asked = len(three.asked())
    for mistyped, code in (("wbe1", "no_hosts"), ("localhost", "not_in_plan")):
        refused = three.run("rollout", rebootless_continue=True, rebootless_retry=mistyped)
        assert refused.returncode != 0
        assert code in refused.stdout
    assert len(three.asked()) == asked
    done = three.run("rollout", rebootless_continue=True, rebootless_retry="web1")
    assert done.returncode == 0, done.stdout
    assert set(three.states().values()) == {"confirmed"}
    assert sorted(three.asked()[asked:]) == ["web1 apply", "web1 confirm", "web3 apply", "web3 confirm"]


@pytest.mark.parametrize("scope", ["batch", "host"])
def test_a_batch_that_failed_is_judged_though_the_controller_died_before_its_gate(fleet, scope):
    two = fleet(1, 1, revert_scope=scope)
    two.answers("web1", apply=FAILED)
    assert two.run("rollout").returncode == 2
    # as the run's files were when the first host had answered
    two.files.write_status(Status())
    again = two.run("rollout")
    assert again.returncode == 2
    assert "more than the 0 allowed" in again.stdout
    assert two.states() == {"web1": "failed", "web2": "pending"}
    assert "rebootless_continue=true" in two.run("rollout").stdout
    assert "web2" not in two.asked("apply")
    done = two.run("rollout", rebootless_continue=True)
    assert two.states() == {"web1": "failed", "web2": "confirmed"}, done.stdout


@pytest.mark.parametrize("hangs", [False, True])
def test_a_host_that_dies_during_the_tidying_up_stays_in_the_play(monkeypatch, hangs):
    begun = []

    def tidy(*_arguments):
        begun.append(time.monotonic())
        if hangs:
            time.sleep(60)
        raise AnsibleConnectionFailure("Connection reset by peer")

    monkeypatch.setattr(ActionBase, "cleanup", tidy)
    ended = []
    monkeypatch.setattr(rollout_step, "CLEANUP_S", 0.1)
    # In the worker of a task these are the task's; here they would be those of all tests.
    monkeypatch.setattr(rollout_step, "_end_children", lambda: ended.append(hangs))
    rollout_step.ActionModule.cleanup(object.__new__(rollout_step.ActionModule))
    assert len(begun) == 1 and time.monotonic() - begun[0] < 30
    assert ended == [True] * hangs


@pytest.mark.parametrize(
    ("wanted", "failures", "attempts"), [("confirm", 1, 2), ("reverse", 2, 3), ("reverse", 3, 3), ("apply", 1, 1)]
)
def test_a_host_that_was_there_is_tried_again_when_a_connection_is_dead(monkeypatch, wanted, failures, attempts):
    tried = []

    def execute(*_arguments, **_options):
        tried.append(1)
        if len(tried) <= failures:
            raise AnsibleConnectionFailure("read from master failed: Broken pipe")
        return {"state": "confirmed"}

    monkeypatch.setattr(ActionBase, "_execute_module", execute)
    monkeypatch.setattr(rollout_step, "AGAIN_S", (0, 0))
    action = object.__new__(rollout_step.ActionModule)
    lost = contextlib.nullcontext() if failures < attempts else pytest.raises(AnsibleConnectionFailure)
    with lost:
        assert action._module(wanted, {}, {}) == {"state": "confirmed"}
    assert len(tried) == attempts


@pytest.mark.parametrize("scope", ["batch", "host"])
def test_a_policy_that_stops_at_uncovered_hosts_does_with_every_scope(fleet, scope):
    two = fleet(1, 1, revert_scope=scope, policy={"uncovered": "stop"})
    two.answers("web1", apply={"state": "uncovered", "code": "build_id_mismatch", "sentence": "Another kernel."})
    assert two.run("rollout").returncode == 2
    assert two.states() == {"web1": "uncovered", "web2": "pending"}


def test_a_killed_rollout_goes_on_and_two_exclude_each_other(fleet):
    two = fleet(2)
    two.answers("web2", apply={"hang": True})
    first = two.start("rollout")
    started = two.world / loop_back.STARTED
    while not (started.exists() and two.states()["web1"] == "applied"):
        assert first.poll() is None
        time.sleep(0.1)
    other = two.run("rollout")
    assert other.returncode == 2
    assert "[locked]" in other.stdout or "Another run is at work" in other.stdout
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert two.states() == {"web1": "applied", "web2": "applying"}
    two.answers("web2")
    done = two.run("rollout")
    assert done.returncode == 0, done.stdout
    assert set(two.states().values()) == {"confirmed"}
    assert evidence.verify(two.files.evidence)[1] is None
    assert two.asked("confirm").count("web1") == two.asked("confirm").count("web2") == 1


def test_an_operator_who_interrupts_is_told_what_hosts_do_and_how_to_go_on(fleet):
    two = fleet(1, 1, check_times=[0, 60], deadline=900)
    with subprocess.Popen(
        two.command("rollout"),
        env=two.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as run:
        while not (two.files.exists() and two.states()["web1"] == "applied"):
            assert run.poll() is None
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        said, _none = run.communicate(timeout=120)
    assert run.returncode != 0
    assert "was interrupted. Start the same command again" in said
    assert "Live and not confirmed: 1 host (web1)" in said and "by themselves, at " in said
    again = two.run("rollout", "--check")
    assert "was interrupted" not in again.stdout


def test_a_look_at_going_back_changes_nothing_and_a_name_that_no_host_has_fails(fleet):
    two = fleet(1, 1)
    for host, state in (("web1", "confirmed"), ("web2", "not there")):
        two.answers(host, reverse={"state": state, "kernel_state": state, "code": "", "sentence": "It is so."})
    named = {"rebootless_plan": None, "rebootless_update": "nosuch"}
    looked = two.run("revert", "--check", **named)
    assert looked.returncode == 0, looked.stdout
    assert "would be taken back from 1 host (web1)" in looked.stdout
    assert "lost" not in looked.stdout.split("PLAY RECAP")[0] and "Roll out" not in looked.stdout
    two.answers("web1", reverse={"state": "not there", "kernel_state": "absent", "code": "not_there"})
    done = two.run("revert", **named)
    assert done.returncode == 2, done.stdout
    assert "[no_such_update]" in done.stdout and "reversed" not in done.stdout


def test_outside_its_window_nothing_begins(fleet):
    never = {"days": [DAYS[(time.gmtime().tm_wday + 3) % 7]], "start": "00:00", "end": "24:00", "timezone": "UTC"}
    two = fleet(1, 1)
    two.change(lambda plan: plan["hosts"]["web2"].update(windows=[never]))
    waiting = two.run("rollout")
    assert waiting.returncode == 2
    assert two.states() == {"web1": "confirmed", "web2": "pending"}
    assert "outside_window" in waiting.stdout
    assert "Next opening" in waiting.stdout
    assert "web2 apply" not in two.asked()
    assert two.events()[-2:] == ["waiting", "rollout_finished"]


def test_a_store_with_one_flipped_bit_is_refused_before_any_host(fleet):
    one = fleet(1)
    (package,) = one.directory.glob("store/*/*/*.rbl.tar.gz")
    content = bytearray(package.read_bytes())
    content[0] ^= 1
    package.write_bytes(content)
    refused = one.run("rollout")
    assert refused.returncode == 2
    assert "store_differs" in refused.stdout
    assert one.asked() == []


def test_a_host_that_does_not_answer_is_lost_and_within_the_budget_the_rollout_goes_on(fleet):
    three = fleet(2, 1, failure_budget={"hosts": 1, "percent": 0}, task_timeout=20)
    three.answers("web1", apply={"hang": True})
    done = three.run("rollout")
    assert done.returncode == 2
    assert three.states() == {"web1": "lost", "web2": "confirmed", "web3": "confirmed"}
    assert "web1 apply: lost [timeout]" in done.stdout
    assert "fatal: [web1]" in done.stdout
    assert "fatal: [localhost]" not in done.stdout


def test_a_host_that_answers_and_cannot_keep_a_file_is_not_lost(fleet):
    one = fleet(1)
    one.set_inventory(web1={"ansible_remote_tmp": "/dev/null/tmp"})
    done = one.run("rollout")
    assert done.returncode == 2
    assert one.states() == {"web1": "failed"}
    assert "web1 apply: failed [no_temporary_directory]" in done.stdout


def test_the_way_back_needs_no_disk(fleet):
    one = fleet(1)
    assert one.run("rollout").returncode == 0
    one.answers("web1", reverse={"no_place": True})
    back = one.run("revert")
    assert back.returncode == 0, back.stdout
    assert one.states() == {"web1": "reversed"}


@pytest.mark.parametrize(
    ("said", "state", "code"),
    [
        ("mkdir: cannot create directory '/root/.ansible/tmp/x': No space left on device", "failed", "no_room"),
        ("Failed to connect to the host via ssh: Connection refused", "lost", "unreachable"),
        ("", "lost", "unreachable"),
    ],
)
def test_what_ansible_says_of_a_host_it_could_not_begin_with(said, state, code):
    answer = step.unreached(said, "apply")
    assert (answer["state"], answer["code"]) == (state, code)
    assert answer["sentence"]


def test_a_limited_run_is_refused(fleet):
    two = fleet(1, 1)
    refused = two.run("rollout", "--limit", "web1,localhost")
    assert refused.returncode == 4
    assert "[limited]" in refused.stdout
    assert two.asked() == []


def test_going_back_by_plan_and_by_name(fleet):
    two = fleet(1, 1)
    assert two.run("rollout").returncode == 0
    back = two.run("revert")
    assert back.returncode == 0, back.stdout
    assert two.asked("reverse") == ["web1", "web2"]
    assert set(two.states().values()) == {"reversed"}
    again = two.run("rollout")
    assert "playbook revert" in again.stdout
    assert again.returncode == 2
    two.answers("web1", reverse=FAILED)
    named = two.run("revert", rebootless_plan=None, rebootless_update="cve-2026-52928", rebootless_batches=["1"])
    assert named.returncode == 2, named.stdout
    assert two.asked("reverse") == ["web1", "web2", "web1"], "the first batch failed, so the second one did not begin"
    assert "applying" not in named.stdout and "rebootless_retry" not in named.stdout, "those are words of rollouts"
    two.answers("web1")
    by_name = {"rebootless_plan": None, "rebootless_update": "cve-2026-52928", "rebootless_batches": ["1"]}
    done = two.run("revert", rebootless_continue=True, **by_name)
    assert done.returncode == 0, done.stdout
    assert two.asked("reverse")[3:] == ["web1", "web2"], "the one that failed, and the one that it had not come to"


def test_preflight_asks_each_host_once_and_leaves_nothing(fleet):
    two = fleet(1, 1)
    done = two.run("preflight")
    assert done.returncode == 0, done.stdout
    assert sorted(two.asked()) == ["web1 preflight", "web2 preflight"]
    assert not two.files.exists()


def test_tasks_of_the_operator_decide_before_a_host_is_confirmed(fleet, tmp_path):
    tasks = tmp_path / "tasks.yml"
    tasks.write_text("- ansible.builtin.assert:\n    that: inventory_hostname != 'web2'\n")
    two = fleet(2, revert_scope="host", checks=[{"kind": "tasks", "name": "mine", "file": str(tasks)}])
    done = two.run("rollout")
    assert done.returncode == 2, done.stdout
    assert two.states() == {"web1": "confirmed", "web2": "failed"}
    assert two.asked("confirm") == ["web1"]
    assert two.asked("reverse") == ["web2"]


@pytest.mark.parametrize("lost", [["web2"], ["web2", "web3"]], ids=["one", "all of the batch"])
def test_hosts_that_are_lost_in_tasks_of_the_operator_count_against_the_budget(fleet, tmp_path, lost):
    tasks = tmp_path / "tasks.yml"
    unreachable = "{ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}"
    tasks.write_text(f"- ansible.builtin.ping:\n  when: inventory_hostname in {lost}\n  vars: {unreachable}\n")
    four = fleet(1, 2, 1, revert_scope="rollout", checks=[{"kind": "tasks", "name": "mine", "file": str(tasks)}])
    done = four.run("rollout")
    assert done.returncode not in (0, 250), done.stdout
    assert four.states() == {"web1": "reversed", "web2": "lost", "web3": "lost" if "web3" in lost else "reversed"} | {
        "web4": "pending"
    }
    assert "web4 apply" not in four.asked()
    assert "web2 confirm" not in four.asked()
    assert four.events()[-2:] == ["stopping", "rollout_finished"]
    assert "fatal: [localhost]" in done.stdout


def test_without_room_for_evidence_no_host_is_touched_any_more(fleet):
    two = fleet(1, 1)
    two.answers("web1", apply={"full": two.files.evidence})
    full = two.run("rollout")
    assert full.returncode == 2, full.stdout
    assert "without evidence no host is touched" in full.stdout
    assert two.asked() == ["web1 apply"]
    assert two.states() == {"web1": "applying", "web2": "pending"}, "what was not written down is asked again"
    two.answers("web1")
    os.unlink(two.files.evidence)
    done = two.run("rollout")
    assert done.returncode == 0, done.stdout
    assert set(two.states().values()) == {"confirmed"}
