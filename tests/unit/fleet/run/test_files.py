# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller keeps of a run: locks, evidence, the records of hosts; and how the gate counts them."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import time
import types
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import parse_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence, gate, lock, step
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.batch import Batch
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.host_slice import (
    PlanSlice,
    RevertSlice,
    SurveySlice,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.pace import Pace, at_once
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import (
    HostRecord,
    Run,
    RunBatch,
    Status,
    UpdateName,
    new_host,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.slices import (
    batches_of,
    run_of_plan,
    slices_of_plan,
)
from ansible_collections.rebootless.splice.tests.support import other_numbers
from ansible_collections.rebootless.splice.tests.support.fleet import samples

PLAN = parse_plan(samples.plan())
SLICE = slices_of_plan(PLAN)["web1"]
RUN = Run("rollout", "ab" * 32, UpdateName("x", "1"), "me", [], 300, 0, 600)


# ---- locks


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "locks" / "update.json")


def test_a_lock_excludes_another_process_until_that_has_ended(path):
    with subprocess.Popen(["sleep", "600"]) as other:
        theirs, mine = lock.process(other.pid), lock.process(os.getpid())
        lock.acquire(path, theirs, "the update x")
        with pytest.raises(RebootlessError) as refused:
            lock.acquire(path, mine, "the update x")
        assert refused.value.code == "locked"
        assert "a rebootless_directory each" in refused.value.next_step
        lock.release(path, mine)  # not theirs to give
        assert lock.held_by(path, mine) == theirs
        other.kill()
    assert lock.acquire(path, mine, "the update x") == theirs
    assert lock.acquire(path, mine, "the update x") is None
    lock.release(path, mine)
    assert lock.held_by(path, mine) is None


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({"start": 1}, True),  # the number belongs to another process now
        ({"boot_id": "before"}, True),
        ({"boot_id": "other", "node": "elsewhere"}, None),
        ({"namespace": "pid:[1]"}, None),
        ({}, False),
    ],
)
def test_which_locks_are_stale(changes, stale):
    here = lock.process(os.getpid())
    assert lock.is_stale(dataclasses.replace(here, **changes), here) is stale


def test_a_lock_that_cannot_be_seen_into_is_taken_only_by_force(path):
    here = lock.process(os.getpid())
    lock.acquire(path, dataclasses.replace(here, boot_id="other", node="elsewhere"), "x")
    with pytest.raises(RebootlessError) as refused:
        lock.acquire(path, here, "x")
    assert refused.value.code == "lock_unclear"
    lock.acquire(path, here, "x", force=True)


# ---- evidence


def test_evidence_shows_what_was_changed_later(tmp_path):
    path = str(tmp_path / "evidence.jsonl")
    evidence.append(path, [{"event": "host", "host": f"web{number}", "sentence": "é" * 40000} for number in range(3)])
    evidence.append(path, [{"event": "gate"}], sync=True)
    assert evidence.verify(path) == (4, None)
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join([lines[0], lines[1].replace("web1", "web9"), *lines[2:]]) + "\n")
    assert evidence.verify(path) == (4, 3)


def test_evidence_keeps_names_of_files_that_are_no_utf8(tmp_path):
    path = str(tmp_path / "evidence.jsonl")
    sentence = f"{os.fsdecode(bytes([0x2F, 0xFF]))} é cannot be read."
    text = "/\\udcff é cannot be read."
    evidence.append(path, [{"event": "host", "sentence": sentence}, {"event": "gate"}])
    assert [line.get("sentence") for line in evidence.read(path)] == [text, None]
    assert evidence.verify(path) == (2, None)


def test_a_torn_line_stays_and_is_followed(tmp_path):
    path = str(tmp_path / "evidence.jsonl")
    evidence.append(path, [{"event": "gate"}])
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"event": "ho')
    evidence.append(path, [{"event": "gate"}])
    assert [line["event"] for line in evidence.read(path)] == ["gate", "gate"]
    assert evidence.verify(path) == (3, None)


def test_a_disk_that_is_nearly_full_has_no_room_for_evidence(tmp_path, monkeypatch):
    path = str(tmp_path / "evidence.jsonl")
    evidence.demand_room(path)
    real = os.statvfs(tmp_path)
    left = evidence.RESERVE // real.f_frsize - 1
    monkeypatch.setattr(
        os, "statvfs", lambda path: types.SimpleNamespace(f_bavail=left, f_frsize=real.f_frsize, f_files=1, f_favail=1)
    )
    with pytest.raises(RebootlessError) as refused:
        evidence.demand_room(path)
    assert refused.value.code == "not_writable"


# ---- records of hosts


@pytest.fixture
def files(tmp_path):
    return RunFiles(str(tmp_path / "run"))


def host(name="web/1", **more):
    return dataclasses.replace(new_host(name, 0, SLICE, RUN), **more)


def test_a_damaged_record_counts_as_begun_and_never_heard_of(files):
    files.write_host(host())
    assert files.records(["web/1"])["web/1"].state == "pending"
    with open(files.host_path("web/1"), "w", encoding="utf-8") as file:
        file.write('{"host": "web/')
    assert files.reread("web/1") is None
    assert RunFiles(files.path).records(["web/1"])["web/1"].state == "applying"


@pytest.mark.parametrize(
    "planned",
    [
        SLICE,
        dataclasses.replace(SLICE, retry=True),
        RevertSlice("x", "", 300, checks=[], remove=True),
        SurveySlice("x", "1", 300, manifest="/srv/manifest.json", place="/srv", fixed_in=[]),
    ],
)
def test_a_record_is_read_as_it_was_written(files, planned):
    record = host(slice=planned, state="failed", code="check_failed", attempt="1.2", applied_at=1.5)
    files.write_host(record)
    read = RunFiles(files.path).host("web/1")
    assert read is not None
    assert dataclasses.replace(read, updated=None) == record
    assert "retry" in read.to_json()["slice"] or not getattr(planned, "retry", False)


def written(kind):
    return {Run: run_of_plan(PLAN, "me"), Status: Status(), HostRecord: host(), PlanSlice: SLICE}[kind].to_json()


@pytest.mark.parametrize("kind", [Run, Status, HostRecord, PlanSlice])
def test_a_record_from_which_a_field_is_lost_is_refused(kind):
    """A run without its freezes would be one that has none."""
    good = written(kind)
    for name in good:
        with pytest.raises(RebootlessError) as refused:
            kind.from_json({key: value for key, value in good.items() if key != name}, "It", "bad")
        assert repr(name) in refused.value.sentence


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        (Run, {"task_timeout": "300"}, "task_timeout"),
        (Run, {"goal": "backwards"}, "goal"),
        (Run, {"colour": "red"}, "colour"),
        (Status, {"judged": ["0"]}, "judged"),
        (Status, {"stop": {"batch": 0}}, "stop"),
        (HostRecord, {"state": ""}, "state"),
        (HostRecord, {"slice": {"name": "x"}}, "slice"),
        (PlanSlice, {"deadline": 0}, "deadline"),
        (PlanSlice, {"digest": "ab"}, "digest"),
    ],
)
def test_a_record_refuses_what_it_cannot_hold_and_names_the_field(kind, changes, named):
    good = written(kind)
    kind.from_json(good, "It", "bad")
    with pytest.raises(RebootlessError) as refused:
        kind.from_json({**good, **changes}, "It", "bad")
    assert refused.value.code == "bad"
    assert named in refused.value.sentence


@pytest.mark.parametrize("content", ['{"status": "stop', "{}", "[]", '{"status": "running"}'])
def test_a_status_that_is_damaged_is_not_one_of_a_run_that_goes_forward(files, content):
    files.write_status(Status(goal="revert"))
    assert RunFiles(files.path).status().goal == "revert"
    pathlib.Path(files.path, "status.json").write_text(content)
    with pytest.raises(RebootlessError) as refused:
        RunFiles(files.path).status()
    assert refused.value.code == "no_run"
    assert "status.json" in refused.value.sentence


def test_a_run_whose_file_holds_something_else_is_refused(files):
    files.write_run(run_of_plan(PLAN, "me"))
    assert RunFiles(files.path).run() == run_of_plan(PLAN, "me")
    path = pathlib.Path(files.path, "run.json")
    path.write_text(path.read_text().replace('"concurrency":0', '"concurrency":-1'))
    with pytest.raises(RebootlessError) as refused:
        RunFiles(files.path).run()
    assert refused.value.code == "no_run"
    assert "concurrency" in refused.value.sentence


@pytest.mark.parametrize("said", [{}, [], 1, True, None, 0.5])
def test_an_answer_of_any_type_leaves_a_record_that_can_be_read(files, said):
    files.write_host(host(boot_id="before"))
    begun = step.begin(files, files.host("web/1"), "apply")
    answer = dict.fromkeys(("kernel_state", "boot_id", "code", "sentence", "next_step", "details"), said)
    assert step.record(files, begun, step.settle(begun, "apply", {**answer, "state": "applied"}))
    read = RunFiles(files.path).host("web/1")
    assert read is not None and read.slice == SLICE
    assert (read.state, read.kernel_state, read.boot_id) == ("applied", None, "before")
    assert gate.to_reverse({"web/1": read}) == ["web/1"]


def test_who_outlived_a_killed_run_does_not_overwrite_what_the_next_one_began(files):
    files.write_host(host())
    orphan = step.begin(files, files.host("web/1"), "apply")
    again = step.begin(files, files.host("web/1"), "apply")
    late = step.settle(orphan, "apply", {"state": "failed", "code": "late"})
    assert not step.record(files, orphan, late)
    now = files.host("web/1")
    assert now is not None and now.attempt == again.attempt
    assert step.record(files, again, step.settle(again, "apply", {"state": "applied"}))
    last = RunFiles(files.path).host("web/1")
    assert last is not None and last.state == "applied"


@pytest.mark.parametrize(
    ("result", "state", "code"),
    [
        ({"state": "applied"}, "applied", None),
        ({"unreachable": True, "msg": "no route"}, "lost", "unreachable"),
        ({"failed": True, "msg": "MODULE FAILURE", "rc": 1, "module_stderr": "Killed"}, "failed", "module_failed"),
        ({"failed": True, "state": "better than ever"}, "failed", "module_failed"),
        ({}, "failed", "module_failed"),
    ],
)
def test_whatever_the_module_says_is_an_answer(result, state, code):
    answer = step.answer_of(result, "apply")
    assert (answer["state"], answer.get("code")) == (state, code)


def test_a_host_that_failed_and_went_back_stays_failed_in_a_rollout_but_not_when_going_back_was_asked_for():
    failed = host(state="failed", code="check_failed", step="apply")
    begun = dataclasses.replace(failed, before="failed", attempt="1")
    answer = {"state": "reversed", "kernel_state": "reversed"}
    row = step.settle(begun, "reverse", answer)
    assert (row.state, row.code, row.kernel_state) == ("failed", "check_failed", "reversed")
    assert step.settle(dataclasses.replace(begun, goal="revert"), "reverse", answer).state == "reversed"


# ---- the gate


@pytest.mark.parametrize(
    ("states", "phase", "budget", "stop"),
    [
        (["applied", "confirmed", "not needed", "uncovered"], "apply", 0, False),
        (["applied", "failed"], "apply", 0, True),
        (["applied", "failed"], "apply", 1, False),
        (["lost", "failed", "applied"], "apply", 1, True),
        (["applying"], "apply", 0, True),  # begun, and never heard of
        (["pending"], "apply", 0, True),  # not even begun
        (["confirmed", "applied"], "confirm", 0, True),
        (["confirmed", "reversed"], "confirm", 0, False),
    ],
)
def test_the_gate_counts_every_host(states, phase, budget, stop):
    records = {f"web{number}": host(f"web{number}", state=state) for number, state in enumerate(states)}
    verdict = gate.judge(records, phase, budget)
    assert verdict.stop is stop
    assert sum(verdict.states.values()) == len(states)


def test_hosts_that_were_told_to_wait_are_not_lost():
    records = {"web1": host(state="pending"), "web2": host(state="confirmed")}
    assert gate.judge(records, "confirm", 0, held=True).states == {"confirmed": 1, "pending": 1}


def test_what_an_operator_has_forgiven_counts_no_more():
    records = {"web1": host(state="failed")}
    assert gate.judge(records, "apply", 0).stop
    assert not gate.judge(records, "apply", 0, forgiven=["web1"]).stop


def test_who_has_to_go_back():
    states = {"a": "applied", "b": "confirmed", "c": "lost", "d": "pending", "e": "not needed"}
    records = {name: host(name, state=state) for name, state in states.items()}
    records["f"] = host("f", state="failed", kernel_state="reversed")
    records["g"] = host("g", state="failed", kernel_state="applied")
    assert gate.to_reverse(records) == ["a", "b", "c", "g"]


def test_batches_grow():
    hosts = [f"web{number}" for number in range(30)]
    assert [len(row.hosts) for row in batches_of(hosts, ["1", "10%", "100%"])] == [1, 3, 26]
    with pytest.raises(RebootlessError) as refused:
        batches_of(hosts, ["half"])
    assert refused.value.code == "bad_batches"


# ---- large batches


@pytest.mark.parametrize(
    ("hosts", "forks", "concurrency", "extra", "begins_within"),
    [
        (20, 20, 0, 0, 300),  # all at once: the plan's deadline
        (21, 20, 0, 60, 330),
        (1000, 25, 0, 2340, 1470),
        (20, 20, 5, 180, 390),
        (0, 5, 0, 0, 300),
    ],
)
def test_the_deadline_grows_with_the_rounds_that_a_batch_takes(hosts, forks, concurrency, extra, begins_within):
    pace = Pace(hosts, at_once(forks, concurrency), 300)
    assert (pace.extra, pace.begins_within) == (extra, begins_within)


def test_a_host_whose_turn_comes_too_late_is_not_begun_but_one_that_has_begun_goes_on():
    assert step.reason_to_skip(host(), "apply", False, until=1e-9) == "its turn came too late"
    assert step.reason_to_skip(host(), "apply", False, until=time.monotonic() + 60) is None
    assert step.reason_to_skip(host(state="applied"), "apply", False, until=1e-9) is None
    assert step.reason_to_skip(host(state="applied"), "confirm", False, until=1e-9) is None


def batch_of(files, hosts, **run):
    """The first batch of a run, that has these hosts."""
    batches = [RunBatch("all", list(hosts), 0)]
    files.write_run(dataclasses.replace(RUN, **{"batches": batches, "revert_scope": "batch", "deadline": 600, **run}))
    for row in hosts.values():
        files.write_host(row)
    return Batch(files, next(iter(hosts)), lambda line: None, forks=1)


def test_a_batch_that_was_too_slow_is_brought_to_its_end_and_the_run_waits_for_the_same_command(files):
    hosts = {"web1": host("web1", state="confirmed"), "web2": host("web2")}
    batch = batch_of(files, hosts)
    assert batch.judge("apply", until=1e-9)["go"], "web1 has to be confirmed"
    assert not batch.judge("confirm", until=1e-9)["go"]
    assert (files.status().status, files.status().waiting.code) == ("waiting", "too_slow")
    assert "1 of 2 hosts" in files.status().waiting.sentence


@pytest.mark.parametrize(("name", "title"), [("canary", "batch canary"), ("batch 2", "batch 2")])
def test_a_batch_is_called_one_only_once(files, name, title):
    hosts = {"web1": host("web1", state="failed")}
    batch = batch_of(files, hosts, batches=[RunBatch(name, ["web1"], 0)])
    assert batch.judge("apply")["stop"]
    assert files.status().stop.sentence.startswith(f"{title}, after apply: 1 of 1 hosts")


def test_a_host_that_gave_no_answer_is_lost_while_there_is_time(files):
    batch = batch_of(files, {"web1": host("web1", state="confirmed"), "web2": host("web2")})
    assert not batch.judge("apply", until=time.monotonic() + 60)["go"]
    assert files.host("web2").state == "lost"


# ---- numbers


def test_whole_numbers_of_records_are_no_others():
    host = {**new_host("web1", 0, SLICE, RUN).to_json(), "applied_at": 1.5}
    status = {**Status(judged=[1]).to_json(), "stop": {"batch": 1, "phase": "gate", "code": "c", "sentence": ""}}
    status["stop"] |= {"bad": [], "scope": None}
    batch = RunBatch("1", ["web1"], 1)
    for kind, table in (
        (HostRecord, host),
        (Status, status),
        (Run, dataclasses.replace(RUN, batches=[batch]).to_json()),
    ):
        kind.from_json(table, "It", "bad")
        # Health checks are the plan's, which checks them, and the host's, which does so again.
        changed = [row for row in other_numbers.variants(table) if "checks" not in row[0]]
        assert len(changed) > 1
        for _place, _other, row in changed:
            with pytest.raises(RebootlessError):
                kind.from_json(row, "It", "bad")
    for no_time in (True, float("nan"), float("inf")):
        with pytest.raises(RebootlessError):
            HostRecord.from_json({**host, "applied_at": no_time}, "It", "bad")


def test_a_lock_whose_numbers_are_none_is_held_by_no_process(path):
    here = lock.process(os.getpid())
    lock.acquire(path, dataclasses.replace(here, pid=1, start=1), "x")
    for _place, _other, changed in other_numbers.variants(json.loads(pathlib.Path(path).read_text())):
        pathlib.Path(path).write_text(json.dumps(changed))
        assert lock.held_by(path, here) is None
        assert lock.acquire(path, here, "x") is None


def test_evidence_says_who_signed_what_a_host_was_given():
    signer = {"subject": "CN=Fleet", "fingerprint": "ab" * 32, "key_id": "36b6", "hash": "sha256"}
    of_host = {"plan": "cd" * 32, "slice": None, "by": "operator", "batch": 0, "host": "web1", "state": "applied"}
    record: t.Any = types.SimpleNamespace(**of_host, code="", sentence="", next_step="")
    row = step.line(record, "apply", {"signer": signer, "pause_ns": 5, "other": 1}, 1.0)
    assert row["result"] == {"signer": signer, "pause_ns": 5}
    assert step.line(record, "confirm", {"pause_ns": 5}, 1.0)["result"] == {"pause_ns": 5}
