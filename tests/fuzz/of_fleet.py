# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers that a controller has: plans, manifests of the store, and the files of a run."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure import answers as exposure_answers
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure import render as exposure_render
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.policy import read_policy
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import parse_plan, read_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.windows import opening
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report import chain, model, render, sources
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import (
    HostRecord,
    Run,
    RunBatch,
    Status,
    UpdateName,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.slices import slices_of_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import (
    Manifest,
    empty_kernel,
    parse_manifest,
    read_manifest,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import parse_time
from ansible_collections.rebootless.splice.tests.fuzz.reader import PART, Reader, parts, scratch
from ansible_collections.rebootless.splice.tests.support.fleet import exposed, samples

NOON = parse_time("2026-12-05T12:00:00Z", "now", "bad_time")


def loaded(data: bytes) -> t.Any:
    """What JSON holds, None for what is none: what an operator's variables may be."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def read_plan_file(data: bytes) -> None:
    read_plan(scratch("plan.json", data))


def read_plan_table(data: bytes) -> None:
    """A plan's table; what is written of it is read as the same, and its windows can be asked."""
    plan = parse_plan(loaded(data))
    assert parse_plan(canonical.parse(plan.content, "plan", "", seal=True)) == plan
    assert canonical.digest_of(plan.content) == plan.digest
    for host in plan.hosts.values():
        opening(host.windows or plan.windows, [*plan.freezes, *host.freezes], NOON, 60)
    assert plan.budget(0) >= 0 and len(plan.digest) == 64


def read_manifest_file(data: bytes) -> None:
    read_manifest(scratch("manifest.json", data))


def read_manifest_table(data: bytes) -> None:
    manifest = parse_manifest(loaded(data), "The manifest")
    assert parse_manifest(json.loads(manifest.content), "The manifest") == manifest


RUN_FILES = ("run.json", "status.json", "hosts/web1.json", "evidence.jsonl")


def _write_run(data: bytes) -> str:
    directory = scratch("run")
    (directory / "hosts").mkdir(parents=True, exist_ok=True)
    for name, content in zip(RUN_FILES, parts(data, len(RUN_FILES)), strict=True):
        (directory / name).write_bytes(content)
    return str(directory)


def read_run(data: bytes) -> None:
    """The files of a run that a killed controller, or a full disk, has left."""
    files = RunFiles(_write_run(data))
    files.reread("web1")
    evidence.verify(f"{files.path}/evidence.jsonl")
    assert all(isinstance(entry, dict) for entry in evidence.read(f"{files.path}/evidence.jsonl"))
    files.run().to_json()
    files.status().to_json()


def read_report(data: bytes) -> None:
    """Evidence, a plan, a manifest and a host's answer, of which each may be broken: there is a report all the same."""
    lines, plan, manifest, answer = parts(data, 4)
    table = loaded(plan)
    rollout = sources.Rollout("ab" * 32, table if isinstance(table, dict) else {}, chain.parse(lines), "p")
    listed, said = loaded(manifest), loaded(answer)
    found = sources.Sources([rollout], [listed] if isinstance(listed, dict) else [], [])
    answers = {"web1": said} if isinstance(said, dict) else {}
    report = model.build(found, ["web1", "web2"], answers, "2026-12-05T12:00:00Z", "operator")
    render.as_csv(report)
    json.loads(render.as_json(report))


def read_exposure(data: bytes) -> None:
    """A host's answer and an account of its kernel, of which each may be broken: written all the same, or refused."""
    said, told = map(loaded, parts(data, 2))
    hosts = {"web1": exposed.answer(), "web2": said if isinstance(said, dict) else {}}
    account = told if isinstance(told, dict) else {}
    sound = exposed.account([exposed.cve("CVE-2026-00001")])
    made = exposed.exposure(hosts, {exposed.OLD: sound, exposed.NEW: account})
    for content in exposure_render.files(made).values():
        content.decode()
    json.loads(exposure_render.files(made)["json"])
    exposure_answers.completed(hosts["web2"], hosts["web2"], exposed.NOW)


def read_deadlines(data: bytes) -> None:
    """An operator's rules and exceptions are refused, or say of each CVE until when."""
    rules, exceptions = map(loaded, parts(data, 2))
    policy = read_policy(rules, exceptions, {"web": ["web1"]}, ["web1"])
    assert all(isinstance(leave.ends(), float) for leave in policy.leaves)
    policy.rule(True, None, "vmlinux", ["web"])


def exposure_seed() -> bytes:
    account = exposed.account([exposed.cve("CVE-2026-00001", ["sctp"], exploited=exposed.KEV)], exposed.NEW)
    return PART.join((json.dumps(exposed.answer(exposed.NEW)).encode(), json.dumps(account).encode()))


def deadlines_seed() -> bytes:
    rules = [{"name": "a", "days": 3, "exploited": True, "score": 7.0, "reach": ["vmlinux"], "groups": ["web"]}]
    exceptions = [{"cves": ["CVE-2026-00001"], "name": "x", "reason": "y", "end": "2026-12-31", "hosts": ["web1"]}]
    return PART.join((json.dumps(rules).encode(), json.dumps(exceptions).encode()))


def plan_seed() -> bytes:
    return json.dumps(samples.plan()).encode()


def manifest_seed() -> bytes:
    built = dataclasses.replace(
        empty_kernel("6.1.0-50-cloud-amd64", "6.1.176-1", "50" * 20, "x86_64"),
        status="built",
        package="cve-2026-52928-1.0-505050505050.rbl.tar.gz",
        sha256="ab" * 32,
        size=9,
        build_digest="cd" * 32,
        built="2026-11-23T12:00:00Z",
    )
    return Manifest("cve-2026-52928", "1.0", ["CVE-2026-52928"], {"linux": ["6.1.187-1"]}, [], [], [built]).content


def run_seed() -> bytes:
    update = UpdateName("u", "1.0")
    run = Run("rollout", "ab" * 32, update, "operator", [RunBatch("canary", ["web1"], 0)], 300, 0, 900)
    status = Status("stopped", reverting=["web1"], judged=[0], updated=1.5)
    planned = slices_of_plan(parse_plan(samples.plan()))["web1"]
    host = HostRecord("web1", planned, batch=0, state="applied", kernel_state="applied")
    return PART.join([*(json.dumps(row.to_json()).encode() for row in (run, status, host)), evidence_seed()])


def evidence_seed() -> bytes:
    """Two lines whose chain holds."""
    lines, previous = b"", evidence.FIRST
    update = {"name": "cve-2026-52928", "version": "1.0"}
    for event, more in (("rollout_started", {}), ("host", {"host": "web1", "batch": 0, "state": "applied"})):
        row = evidence.line(event, "ab" * 32, update, "operator", {}, time="2026-12-05T11:00:00Z", **more)
        line = json.dumps({**row, "previous": previous}).encode()
        previous = canonical.sha256(line)
        lines += line + b"\n"
    return lines


def report_seed() -> bytes:
    kernel = {"release": "6.1.0-50-cloud-amd64", "build_id": "50" * 20, "version": "6.1.176-1", "arch": "x86_64"}
    update = {"name": "cve-2026-52928", "version": "1.0", "state": "applied", "digest": "cd" * 32}
    answer = {"reachable": True, "kernel": {**kernel, "boot_id": "b", "installed": []}, "updates": [update]}
    said = json.dumps({**answer, "last": answer}).encode()
    return PART.join([evidence_seed(), plan_seed(), manifest_seed(), said])


READERS = {
    "plan_file": Reader(read_plan_file, lambda: [("plan", parse_plan(samples.plan()).content)]),
    "plan": Reader(read_plan_table, lambda: [("plan", plan_seed())]),
    "store_file": Reader(read_manifest_file, lambda: [("manifest", manifest_seed())]),
    "store": Reader(read_manifest_table, lambda: [("manifest", manifest_seed())]),
    "run": Reader(read_run, lambda: [("run", run_seed())]),
    "report": Reader(read_report, lambda: [("report", report_seed())], 16384),
    "exposure": Reader(read_exposure, lambda: [("exposure", exposure_seed())]),
    "deadlines": Reader(read_deadlines, lambda: [("deadlines", deadlines_seed())]),
}
