# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begins a run, or goes on with one that was interrupted.

What the plan relies on is looked at here, before any host is touched: the plan itself, the update store, the inventory,
and that no other run is at work on the same update.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence, guards, lock, resume, slices
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles, directory_of, lock_of
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.gate import to_reverse
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.host_slice import Slice, SurveySlice
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import (
    HostRecord,
    RevertPlan,
    Run,
    new_host,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.request import (
    RunRequest,
    approved_plan,
    demand_inventory,
    demand_store,
    demand_valid,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.selection import to_take_back
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import FILE
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.store import Store
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.targets import demand_some

CHECKS = "checks"  # in the operator's directory: runs in check mode


def rollout(request: RunRequest, path: str) -> Row:
    """Begins the rollout of the plan in a file, or goes on with it.  Raises ``RebootlessError``."""
    plan = approved_plan(path, request)
    demand_valid(plan, request)
    demand_store(plan)
    run = slices.run_of_plan(plan, request.by)
    files, first = _open(request, run, plan.content, slices.slices_of_plan(plan))
    if first:
        _log(files, run, "rollout_started", {"plan": path, "hosts": len(plan.hosts)})
    else:
        was = files.status().status
        again = resume.again(files, run, request)
        _log(files, run, "rollout_resumed", {"plan": path, "was": was, "again": again})
    return _result(files, run)


def take_back(request: RunRequest, path: str) -> Row:
    """Begins to take the update of a plan back from all hosts that may have it, or goes on."""
    plan = approved_plan(path, request)
    demand_inventory(plan.hosts, request)
    run = slices.run_of_plan(plan, request.by)
    files, first = _open(request, run, plan.content, slices.slices_of_plan(plan))
    records = files.records(run.hosts)
    # Where another controller rolled it out, what became of the hosts is not known here: each is visited.
    hosts = list(records) if first else resume.not_back(files, records) or to_reverse(records)
    return _revert(files, run, records, hosts, request)


def revert_hosts(request: RunRequest, plan: RevertPlan) -> Row:
    """Begins to take an update back from the hosts that the operator named, or goes on."""
    demand_some(plan.hosts, ["rebootless_targets"])
    planned = slices.slice_of_revert(plan)
    run = slices.run_of_revert(plan, request.by)
    files, first = _open(request, run, plan.content, dict.fromkeys(plan.hosts, planned))
    records = files.records(plan.hosts)
    hosts = plan.hosts
    if first or not to_take_back(files):  # anew, also after one that is over
        records = {host: new_host(host, record.batch, planned, run) for host, record in records.items()}
        for record in records.values():
            files.write_host(record)
    else:
        hosts = resume.not_back(files, records)
    return _revert(files, run, records, hosts, request)


def preflight(
    request: RunRequest,
    store: str,
    update: tuple[str, str],
    hosts: t.Sequence[str],
    task_timeout: int,
    concurrency: int,
) -> Row:
    """Begins to ask hosts what the update (name, version) would be on them.

    There is no plan and nothing is changed, so it is always in check mode.
    """
    demand_some(hosts, ["rebootless_targets"])
    found = Store(store)
    manifest = found.built(*update)
    run = slices.run_of_preflight(manifest, request.by, hosts, task_timeout, concurrency)
    planned = SurveySlice(
        *update,
        task_timeout,
        manifest=found.path(*update, FILE),
        place=found.path(*update),
        fixed_in=manifest.versions_with_fix,
    )
    unchanging = dataclasses.replace(request, check=True)
    files, _first = _open(unchanging, run, manifest.content, dict.fromkeys(hosts, planned))
    return _result(files, run)


def _revert(files: RunFiles, run: Run, records: dict[str, HostRecord], hosts: list[str], request: RunRequest) -> Row:
    resumed = resume.begin_to_revert(files, records, hosts, request)
    _log(files, run, "reverting", {"hosts": files.status().reverting, "resumed": resumed})
    return _result(files, run)


# ---- records


def _open(request: RunRequest, run: Run, content: bytes, wanted: t.Mapping[str, Slice]) -> tuple[RunFiles, bool]:
    """The locked files of the run, and whether they were made just now.

    In check mode they are a copy of their own, of a run that has not begun.
    """
    if request.check:
        base = _check_directory(request)
    else:
        base = request.directory
        name = run.update.name
        lock.acquire(lock_of(base, name), request.holder, f"the update {name}", request.break_lock)
    files = RunFiles(directory_of(base, run.plan))
    if not request.check:
        lock.acquire(files.lock, request.holder, f"this {run.goal}", request.break_lock)
    first = not files.exists()
    for number, batch in enumerate(run.batches):
        for host in batch.hosts:
            if files.host(host) is None:
                record = new_host(host, number, wanted[host], run)
                # Without a file in a run that has begun, what became of the host is not known here.
                files.write_host(record if first else dataclasses.replace(record, state=outcomes.APPLYING))
    if first:
        canonical.write(files.plan, content)
        files.write_status(files.status())
        files.write_run(run)  # last: with it the run exists
    return files, first


def _check_directory(request: RunRequest) -> str:
    """A directory for the files of a run in check mode; those of runs that are over are removed."""
    base = os.path.join(request.directory, CHECKS)
    os.makedirs(base, exist_ok=True)
    for name in os.listdir(base):
        path = os.path.join(base, name)
        if lock.held_by(RunFiles(path).lock, request.holder) is None:
            shutil.rmtree(path, ignore_errors=True)
    path = tempfile.mkdtemp(dir=base)
    lock.acquire(RunFiles(path).lock, request.holder, "this check")
    return path


def _result(files: RunFiles, run: Run) -> Row:
    status = files.status()
    return {
        "run": files.path,
        "plan": run.plan,
        "update": run.update.to_json(),
        "goal": status.goal,
        "status": status.status,
        "batches": [{"name": batch.name, "hosts": len(batch.hosts)} for batch in run.batches],
        "guards": guards.names(run),
    }


def _log(files: RunFiles, run: Run, event: str, details: Row) -> None:
    line = evidence.line(event, run.plan, run.update.to_json(), run.by, details)
    evidence.append(files.evidence, [line], sync=True)
