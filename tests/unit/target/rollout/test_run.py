# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a rollout on a host whose kernel is a few lines of Python: every way to be interrupted, and to fail."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import signal
import sys
import time

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target import update
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout import apply, run, watch
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.records import Records
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.step import StepRequest
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import armed_record
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store
from ansible_collections.rebootless.splice.tests.support import other_numbers
from ansible_collections.rebootless.splice.tests.support.target_host import NAME, OTHER_PLAN, PLAN, RolloutHost

ALWAYS = {"state", "failed", "changed", "kernel_state", "boot_id", "release", "effective_release", "build_id", "checks"}
FAILING = [{"kind": "command", "name": "never", "argv": ["false"], "retries": 0}]


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = RolloutHost(tmp_path, monkeypatch)
    yield made
    record = Records(str(made.state_directory)).read(NAME)
    if record is not None:
        watch.stop(record)


def test_a_host_on_which_all_goes_well(world):
    applied = world.run("apply", check_times=[0, 1])
    assert set(applied) >= ALWAYS
    assert (applied["state"], applied["failed"], applied["changed"]) == ("applied", False, True)
    assert [(row["name"], row["at"], row["ok"]) for row in applied["checks"]] == [
        (name, 0, True) for name in ("kernel_log", "taint", "load", "update_state")
    ]
    assert applied["effective_release"] == f"{os.uname().release}+{NAME}-1.0"
    status = world.run("status")
    assert (status["state"], status["watched"], status["changed"]) == ("applied", True, False)
    confirmed = world.run("confirm")
    assert (confirmed["state"], confirmed["changed"]) == ("confirmed", True)
    assert {(row["moment"], row["at"]) for row in confirmed["checks"][:-4]} == {("soak", 0), ("soak", 1)}
    assert world.commands() == ["apply 600", "confirm"]
    again = world.run("confirm")
    assert (again["state"], again["changed"]) == ("confirmed", False)
    late = world.run("apply")
    assert (late["state"], late["changed"]) == ("confirmed", False)
    assert world.commands() == ["apply 600", "confirm"]


def test_the_record_is_there_before_the_kernel_is_touched(world, monkeypatch):
    seen = []

    def load(_self, _package):
        seen.append(world.record()["step"])
        raise ZeroDivisionError

    monkeypatch.setattr(update.UpdateOperation, "_load", load)
    result = world.run("apply")
    assert (result["state"], result["code"]) == ("failed", "unexpected"), "every host answers"
    assert "ZeroDivisionError" in result["details"]["traceback"]
    assert seen == ["applying"]


def test_a_check_that_fails_at_once_reverses(world):
    result = world.run("apply", checks=FAILING)
    assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "check_failed", "reversed")
    assert result["details"]["reversed_by"] == "module"
    assert "never" in result["sentence"] and result["next_step"]
    assert world.record()["outcome"]["code"] == "check_failed"
    # Nothing of it is tried again unless the operator asks for it.
    for step in ("apply", "confirm"):
        again = world.run(step)
        assert (again["state"], again["code"], again["changed"]) == ("failed", "check_failed", False)
    assert world.commands() == ["apply 600", "reverse"]
    assert world.run("apply", retry=True)["state"] == "applied"


def test_a_check_that_fails_in_the_soak_reverses_without_a_controller(world):
    flag = world.directory / "bad"
    checks = [{"kind": "command", "name": "flag", "cmd": f"test ! -e {flag}", "retries": 0}]
    assert world.run("apply", checks=checks, check_times=[0, 1])["state"] == "applied"
    flag.touch()
    record = world.wait_for_watcher()
    assert world.kernel == "reversed"
    assert (record["outcome"]["code"], record["outcome"]["details"]["reversed_by"]) == ("check_failed", "watcher")
    result = world.run("confirm", checks=checks)
    assert (result["state"], result["code"]) == ("failed", "check_failed")
    assert "flag" in result["sentence"] and "1 s after the apply" in result["sentence"]


def test_an_oops_is_noticed_between_the_check_times(world):
    world.run("apply", check_times=[0, 400])
    world.say("BUG: kernel NULL pointer dereference, address: 0000000000000010")
    record = world.wait_for_watcher()
    assert world.kernel == "reversed"
    assert record["results"][-1]["moment"] == "watch" and "oops" in record["results"][-1]["sentence"]


def test_a_refused_update_is_remembered(world, monkeypatch):
    def refuse(package):
        raise RebootlessError("no_match", "Running code differs.", "Look.", function="unix_ioctl")

    monkeypatch.setattr(update.UpdateOperation, "_load", lambda self, package: refuse(package))
    result = world.run("apply")
    assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "no_match", "absent")
    assert result["details"]["function"] == "unix_ioctl"
    assert world.run("status")["code"] == "no_match"


def test_confirmation_needs_a_watcher_that_came_to_its_end(world):
    world.run("apply", check_times=[0, 2])
    os.kill(world.record()["watcher"]["pid"], signal.SIGKILL)
    result = world.run("confirm")
    assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "watcher_died", "reversed")
    assert result["details"]["missing_times"] == [2]


def test_a_killed_step_goes_on_with_its_soak(world, monkeypatch):
    world.run("apply", check_times=[0, 1])
    os.kill(world.record()["watcher"]["pid"], signal.SIGKILL)
    world.wait_for_watcher()
    again = world.run("apply", check_times=[0, 1])
    assert again["state"] == "applied"
    assert world.commands() == ["apply 600", "extend 600"]
    assert world.run("confirm")["state"] == "confirmed"


def test_a_watcher_that_lives_is_left_alone(world):
    world.run("apply", check_times=[0, 300])
    before = world.record()["watcher"]
    assert world.run("apply", check_times=[0, 300])["state"] == "applied"
    assert world.record()["watcher"] == before


def test_a_watcher_of_an_earlier_soak_does_not_write_over_the_next(world, monkeypatch):
    monkeypatch.setattr(watch, "POLL_S", 30.0)
    world.run("apply", check_times=[0, 300])
    before = world.record()
    world.control(NAME, "reverse")  # by hand
    assert world.run("apply", check_times=[0, 300], retry=True)["state"] == "applied"
    assert not watch.alive(before) and watch.alive(world.record())


def test_killed_between_the_apply_and_the_record(world, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(apply, "_soak", lambda step, record: sys.exit("killed"))
        with pytest.raises(SystemExit):
            world.run("apply")
    assert (world.kernel, world.record()["step"]) == ("applied", "applying")
    assert world.run("apply")["state"] == "applied"
    assert world.commands() == ["apply 600", "extend 600"]
    assert world.run("confirm")["state"] == "confirmed"


def test_confirming_too_early_changes_nothing(world):
    world.run("apply", check_times=[0, 300])
    result = world.run("confirm")
    assert (result["state"], result["code"], result["failed"]) == ("applied", "soak_not_over", False)
    assert world.kernel == "applied"


def test_killed_between_the_confirmation_and_the_record(world):
    world.run("apply")
    world.control(NAME, "confirm")
    result = world.run("confirm")
    assert result["state"] == "confirmed"
    assert world.record()["step"] == "confirmed"


def test_a_reboot_in_the_soak(world):
    world.run("apply", check_times=[0, 300])
    watch.stop(world.record())
    world.reboot()
    for step in ("status", "apply", "confirm"):
        result = world.run(step)
        assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "rebooted", "absent")
        assert result["details"]["reversed_by"] == "reboot"
    assert world.run("apply", retry=True)["state"] == "applied"


def test_a_deadline_that_passed(world, monkeypatch):
    world.run("apply", check_times=[0])
    world.pass_deadline()
    with monkeypatch.context() as patch:
        start = time.clock_gettime(time.CLOCK_BOOTTIME)
        patch.setattr(time, "clock_gettime", lambda clock: start + 700)
        result = world.run("confirm")
    assert (result["state"], result["code"]) == ("failed", "deadline_passed")
    assert result["details"]["reversed_by"] == "helper"


def test_a_controller_that_was_away_too_long_may_try_again(world):
    world.run("apply", check_times=[0])
    world.pass_deadline()
    assert world.run("apply")["state"] == "applied"


def test_the_clock_of_the_wall_decides_nothing(world, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    world.run("apply", check_times=[0, 1])
    assert world.run("confirm")["state"] == "confirmed"


def test_two_rollouts_exclude_each_other(world):
    world.run("apply")
    for step in ("apply", "confirm"):
        result = world.run(step, plan=OTHER_PLAN)
        assert (result["state"], result["code"], result["changed"]) == ("failed", "other_rollout", False)
        assert result["details"]["plan"] == PLAN
    left = world.run("reverse", plan=OTHER_PLAN)
    assert (left["state"], left["code"], left["failed"]) == ("applied", "other_rollout", False)
    assert world.run("confirm")["state"] == "confirmed"
    assert world.run("apply", plan=OTHER_PLAN)["state"] == "confirmed"


def test_what_someone_applied_by_hand_is_left_alone(world):
    world.run("apply")
    Records(str(world.state_directory)).remove(NAME)
    assert world.run("apply")["code"] == "other_rollout"
    assert world.kernel == "applied"


def test_a_record_that_is_gone_is_no_confirmation(world):
    world.run("apply")
    Records(str(world.state_directory)).remove(NAME)
    result = world.run("confirm")
    assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "record_missing", "reversed")


def test_another_kernel(world):
    result = world.run("apply", build_id="00" * 20)
    assert (result["state"], result["code"], result["failed"]) == ("uncovered", "build_id_mismatch", True)
    assert world.kernel == "absent"


def test_a_kernel_that_has_the_fix(world, monkeypatch):
    from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts

    monkeypatch.setattr(facts, "version", lambda: "6.1.190-1")
    result = world.run("preflight", build_id="00" * 20, fixed_in=["6.1.187-1", "6.12.1-1"])
    assert (result["state"], result["code"], result["failed"]) == ("not needed", "kernel_has_fix", False)
    assert world.run("apply", build_id="00" * 20, fixed_in=["6.1.191-1"])["state"] == "uncovered"


def test_a_full_disk_is_found_before_the_kernel_is_touched(world, monkeypatch):
    real = os.statvfs("/")
    full = os.statvfs_result((*real[:3], 3, 3, *real[5:]))
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    result = world.run("apply")
    assert (result["state"], result["code"]) == ("failed", "no_room")
    assert world.kernel == "absent"


@pytest.mark.parametrize("write", [1, 2, 3, 4, 5])
def test_a_disk_that_gets_full_at_any_write(world, monkeypatch, write):
    """The record cannot be written from the n-th time on: refused before the apply, or taken back after it."""
    real, count = Records.write, 0

    def failing(self, record):
        nonlocal count
        count += 1
        if count >= write:
            raise RebootlessError("record_failed", "The record cannot be written: No space left.", "Free space.")
        real(self, record)

    monkeypatch.setattr(Records, "write", failing)
    applied = world.run("apply")
    confirmed = world.run("confirm") if applied["state"] == "applied" else applied
    assert confirmed["code"] == "record_failed" or confirmed["state"] == "confirmed"
    assert world.kernel in ("absent", "reversed") or confirmed["state"] == "confirmed"


def test_a_watcher_that_cannot_write_does_not_confirm_by_silence(world, monkeypatch):
    world.run("apply", check_times=[0, 1])
    records = Records(str(world.state_directory))
    held = records.directory + ".held"
    os.rename(records.directory, held)
    open(records.directory, "w").close()  # not even root can write into it
    time.sleep(1.5)
    os.unlink(records.directory)
    os.rename(held, records.directory)
    assert world.run("confirm")["state"] == "confirmed", "it wrote when there was room again"


def test_an_update_that_cannot_be_reversed_is_left_to_the_helper(world):
    world.refuse["reverse"] = "busy_function"
    result = world.run("apply", checks=FAILING)
    assert (result["state"], result["kernel_state"]) == ("failed", "applied")
    assert result["details"]["not_reversed"]["code"] == "busy_function"
    assert world.commands()[-1] == "extend 1"
    del world.refuse["reverse"]
    again = world.run("apply")
    assert (again["state"], again["code"], again["kernel_state"]) == ("failed", "check_failed", "reversed")


def test_an_armed_update_that_cannot_be_reversed_stays_live_and_armed(world):
    world.run("apply")
    world.run("confirm")
    store = Store(str(world.state_directory))
    first = hashlib.sha256(world.content).hexdigest()
    record = armed_record.ArmedRecord(NAME, "1.0", first, "ab" * 32, "6c" * 20, "6.1", [], "2026", plan=PLAN)
    armed_record.write(store, record)
    world.refuse["reverse"] = "busy_function"
    refused = world.run("reverse")
    assert (refused["state"], refused["code"], refused["kernel_state"]) == ("failed", "busy_function", "confirmed")
    assert refused["sentence"].endswith("The update stays live, and armed for the next boot, as it was.")
    assert armed_record.read(store, NAME) == record
    del world.refuse["reverse"]
    assert world.run("reverse")["state"] == "reversed"
    assert armed_record.names(store) == []
    assert list(world.state_directory.glob("armed/*")) == []


@pytest.mark.parametrize("step", ["preflight", "apply", "confirm", "status"])
def test_a_confirmed_update_that_is_bypassed_is_a_failure_of_the_host_and_left_alone(world, step):
    world.run("apply")
    world.run("confirm")
    world.show(NAME, state="bypassed")
    before = world.commands()
    result = world.run(step)
    assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "bypassed", "bypassed")
    assert result["effective_release"] == os.uname().release and result["next_step"]
    assert world.commands() == before
    assert world.run("reverse")["state"] == "reversed"


def test_an_update_that_is_bypassed_during_its_soak_goes_back(world):
    world.run("apply")
    world.show(NAME, state="bypassed")
    result = world.run("confirm")
    assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "check_failed", "reversed")


def test_a_bad_watcher_start_reverses(world, monkeypatch):
    monkeypatch.setattr(watch.Watch, "register", lambda self: os._exit(1))
    result = world.run("apply", check_times=[0, 300])
    assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "watcher_failed", "reversed")


def test_preflight_changes_nothing(world, monkeypatch):
    monkeypatch.setattr(update.UpdateOperation, "run", lambda self: {"matched_bytes": 7} if self.check_mode else 1 / 0)
    result = world.run("preflight")
    assert (result["state"], result["changed"], result["matched_bytes"]) == ("matched", False, 7)
    assert not world.state_directory.exists()
    assert not list(world.directory.glob("*.lock"))


def test_reverse_is_the_same_twice(world):
    world.run("apply")
    world.run("confirm")
    first, second = world.run("reverse", reason="test"), world.run("reverse")
    assert [(row["state"], row["changed"]) for row in (first, second)] == [("reversed", True), ("reversed", False)]
    assert world.record()["outcome"]["reason"] == "test"
    assert world.run("reverse", plan=None)["state"] == "reversed"
    assert world.run("status")["state"] == "reversed"


def test_reverse_where_nothing_was(world):
    """As with a name that is mistyped: nothing went back, so nothing is said to have."""
    for options in ({}, {"plan": None}, {"plan": None, "remove": True}):
        result = world.run("reverse", **options)
        assert (result["state"], result["code"], result["failed"], result["changed"]) == (
            "not there",
            "not_there",
            False,
            False,
        )
    assert world.run("status")["state"] == "pending"


def test_what_would_be_taken_back_is_said_and_left(world):
    assert (world.run("look back")["state"], world.run("look back", plan=None)["code"]) == ("not there", "not_there")
    world.run("apply")
    world.run("confirm")
    before = world.commands()
    looked = world.run("look back", plan=None)
    assert (looked["state"], looked["changed"], looked["kernel_state"]) == ("confirmed", False, "confirmed")
    assert "would be taken back" in looked["sentence"]
    assert world.run("look back", plan=OTHER_PLAN)["code"] == "other_rollout"
    assert world.commands() == before
    world.run("reverse")
    assert world.run("look back")["state"] == "reversed"


def test_reverse_tells_a_host_that_is_not_well(world):
    world.run("apply")
    result = world.run("reverse", checks=FAILING)
    assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "check_failed", "reversed")


def test_the_package_may_come_with_the_task_or_be_there(world):
    assert world.run("apply", package=None)["code"] == "package_missing"
    world.run("apply")
    world.run("reverse")
    assert world.run("apply", package=None)["state"] == "applied"


def test_the_package_may_come_from_a_web_server(world, monkeypatch):
    from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout import fetch

    got = []

    def fetched(url, limit, _ca):
        got.append((url, limit))
        return world.content

    monkeypatch.setattr(fetch, "fetch", fetched)
    options = {"package": None, "url": "https://store/p", "size": len(world.content)}
    assert world.run("apply", **options)["state"] == "applied"
    assert got == [("https://store/p", len(world.content))]
    world.run("reverse", remove=True)
    monkeypatch.setattr(fetch, "fetch", lambda url, limit, ca: world.content[:-1])
    assert world.run("apply", **options)["code"] == "package_digest_mismatch"


def confirmed_before(world, version, digest):
    """Another version, live and confirmed; then a newer one comes with the tasks."""
    world.run("apply", plan=OTHER_PLAN)
    assert world.run("confirm", plan=OTHER_PLAN)["state"] == "confirmed"
    first = hashlib.sha256(world.content).hexdigest()
    world.provide(version, digest)
    return first


def test_a_newer_version_takes_the_place_of_a_confirmed_one(world):
    confirmed_before(world, "1.1", "cd" * 32)
    assert world.run("apply")["state"] == "applied"
    assert world.run("confirm")["effective_release"].endswith("-1.1")
    assert [path.name for path in (world.state_directory / "rollout").iterdir()] == [f"{NAME}.json"]


@pytest.mark.parametrize("when", ["apply", "soak", "deadline"])
def test_going_back_from_a_newer_version_brings_the_confirmed_one_back(world, when):
    first = confirmed_before(world, "1.1", "cd" * 32)
    store = Store(str(world.state_directory))
    armed_record.write(
        store, armed_record.ArmedRecord(NAME, "1.0", first, "ab" * 32, "6c" * 20, "6.1", [], "2026", plan="p")
    )
    flag = world.directory / "bad"
    checks = [{"kind": "command", "name": "flag", "cmd": f"test ! -e {flag}", "retries": 0}]
    if when == "apply":
        flag.touch()
    result = world.run("apply", checks=checks, check_times=[0, 1] if when == "soak" else [0])
    flag.touch()
    if when == "soak":
        world.wait_for_watcher()
    elif when == "deadline":
        world.pass_deadline()
    if when != "apply":
        result = world.run("confirm", checks=checks)
    assert (result["state"], result["kernel_state"], result["details"]["restored"]) == ("failed", "confirmed", "1.0")
    assert result["effective_release"].endswith("-1.0")
    armed = armed_record.read(store, NAME)
    assert armed is not None and (armed.version, armed.plan) == ("1.0", "p")
    assert os.path.exists(armed_record.package_path(store, NAME, first))
    assert world.run("confirm")["code"] == result["code"], "that the old one is confirmed is no confirmation"
    assert world.run("apply")["code"] == result["code"]


def test_an_update_that_was_applied_at_boot_is_no_other_rollout(world):
    world.run("apply")
    assert world.run("confirm")["state"] == "confirmed"
    store, first = Store(str(world.state_directory)), hashlib.sha256(world.content).hexdigest()
    armed = armed_record.ArmedRecord(NAME, "1.0", first, "ab" * 32, "6c" * 20, "6.1", [], "2026", plan=PLAN)
    world.reboot()
    world.boot_with(armed.version, armed.build_digest)
    armed_record.write(store, armed.with_boot(world.boot_id, armed_record.TRYING))
    for step in ("apply", "confirm"):
        result = world.run(step)
        assert (result["state"], result["code"], result["kernel_state"]) == ("failed", "boot_not_settled", "applied")
    world.control(NAME, "confirm")
    assert world.run("apply")["state"] == "confirmed"


def test_wrong_options(world):
    assert world.run("apply", check_times=[0, 600])["code"] == "bad_check_times"
    assert world.run("apply", checks=[{"kind": "nonsense"}])["code"] == "bad_check"
    request = StepRequest("apply", "../x")
    assert run.run(request)["code"] == "bad_name"


def test_a_record_whose_numbers_are_none_is_none(tmp_path):
    records = Records(str(tmp_path))
    kept = {"name": NAME, "deadline": 600, "check_times": [0, 4], "applied_at": 1.5, "log_seen": 7, "pause_ns": 9}
    kept["watcher"] = {"pid": 2, "start": 3, "state": "watching"}
    records.write(kept)
    assert records.read(NAME) == {"format": 1, **kept}
    path = pathlib.Path(records.path(NAME))
    for place, other, changed in other_numbers.variants({"format": 1, **kept}):
        path.write_text(json.dumps(changed))
        assert records.read(NAME) is None, (place, other)
