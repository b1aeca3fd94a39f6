# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begins a run, or goes on with one that was interrupted.  Private to rebootless.splice.

Whatever the plan relies on is looked at here, before any host is touched: the plan itself, the update store, the
inventory, and that nobody else is at work on the same update.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import checks, outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import plan as plans
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import survey
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence, guards, lock, resume
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import files as progress
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import REVERT, ROLLOUT, RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.gate import Row, to_reverse
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.request import (
    Request,
    demand_inventory,
    demand_store,
    demand_valid,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.selection import to_take_back
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.slices import (
    parts_of_run,
    run_of_plan,
    slices_of_plan,
)

CHECKS = "checks"  # in the operator's directory: runs in check mode


def rollout(request: Request, path: str) -> Row:
    """Begins the rollout of the plan in a file, or goes on with it.  Raises ``RebootlessError``."""
    plan = plans.read_plan(path)
    demand_valid(plan, request)
    demand_store(plan)
    run = run_of_plan(plan, request.by)
    files, first = _open(request, run, plan.content, lambda: slices_of_plan(plan))
    status = files.status()
    if first:
        _log(files, run, "rollout_started", {"plan": path, "hosts": len(plan.hosts)})
    else:
        again = resume.again(files, run, status, request)
        _log(files, run, "rollout_resumed", {"plan": path, "was": status["status"], "again": again})
    return _result(files, run)


def take_back(request: Request, path: str) -> Row:
    """Begins to take the update of a plan back from all hosts that may have it, or goes on."""
    plan = plans.read_plan(path)
    demand_inventory(plan.hosts, request)
    run = run_of_plan(plan, request.by)
    files, first = _open(request, run, plan.content, lambda: slices_of_plan(plan))
    words = files.words([host for batch in run["batches"] for host in batch["hosts"]])
    # Where another controller rolled it out, what became of the hosts is not known here: each is visited.
    hosts = list(words) if first else resume.not_back(files, words) or to_reverse(words)
    return _revert(files, run, words, hosts, request)


def revert_hosts(request: Request, update: str, hosts: t.Sequence[str], settings: Row) -> Row:
    """Begins to take an update back from these hosts, whatever rolled it out, or goes on.

    ``settings``: ``batches`` (names and hosts), ``checks``, ``task_timeout``, ``concurrency``, ``failure_budget``,
    ``remove``.
    """
    if not hosts:
        raise RebootlessError(
            "no_hosts", "No host of the inventory matches.", "Give rebootless_targets, a pattern of hosts."
        )
    plan = {"format": 1, "kind": REVERT, "update": {"name": update, "version": ""}, **settings}
    content = canonical.canonical(plan)
    digest = canonical.sha256(content)
    budget = settings["failure_budget"]
    rows = [
        {**batch, "budget": max(budget["hosts"], len(batch["hosts"]) * budget["percent"] // 100)}
        for batch in settings["batches"]
    ]
    run = parts_of_run(REVERT, digest, plan["update"], request.by, rows, settings)
    piece = {
        "name": update,
        "version": "",
        "checks": checks.normalise(settings["checks"]),
        "task_timeout": settings["task_timeout"],
        "remove": settings["remove"],
    }
    files, first = _open(request, run, content, lambda: dict.fromkeys(hosts, piece))
    words = files.words(hosts)
    finished = not first and not to_take_back(files)
    if first or finished:
        words = {
            host: progress.new_host(host, word["batch"], piece, {**run, "goal": REVERT}) for host, word in words.items()
        }
        for word in words.values():
            files.write_host(word)
    again = list(hosts) if first or finished else resume.not_back(files, words)
    return _revert(files, run, words, again, request)


def preflight(request: Request, store: str, name: str, version: str, hosts: t.Sequence[str], settings: Row) -> Row:
    """Begins to ask hosts what the update would be on them; no plan, nothing changed, so always in check mode.

    ``settings``: ``task_timeout``, ``concurrency``.
    """
    manifest, path = survey.manifest_of(store, name, version)
    update = {"name": name, "version": version}
    run = parts_of_run(
        ROLLOUT, manifest.sha256, update, request.by, [{"name": "all", "hosts": list(hosts), "budget": 0}], settings
    )
    piece = {
        **update,
        "manifest": path,
        "place": os.path.dirname(path),
        "fixed_in": manifest.versions_with_fix,
        "task_timeout": settings["task_timeout"],
    }
    files, _first = _open(
        dataclasses.replace(request, check=True), run, manifest.content, lambda: dict.fromkeys(hosts, piece)
    )
    return _result(files, run)


def _revert(files: RunFiles, run: Row, words: dict[str, Row], hosts: list[str], request: Request) -> Row:
    resumed = resume.begin_to_revert(files, words, hosts, request)
    _log(files, run, "reverting", {"hosts": files.status()["reverting"], "resumed": resumed})
    return _result(files, run)


# ---- records


def _open(request: Request, run: Row, content: bytes, slices: t.Callable[[], dict[str, Row]]) -> tuple[RunFiles, bool]:
    """The locked files of the run, and whether they were made just now.

    In check mode they are a copy of their own, of a run that has not begun.
    """
    if request.check:
        base = _check_directory(request)
    else:
        base = request.directory
        name = run["update"]["name"]
        lock.acquire(progress.lock_of(base, name), request.holder, f"the update {name}", request.break_lock)
    files = RunFiles(progress.directory_of(base, run["plan"]))
    if not request.check:
        lock.acquire(files.lock, request.holder, f"this {run['goal']}", request.break_lock)
    first = not files.exists()
    places = {host: number for number, batch in enumerate(run["batches"]) for host in batch["hosts"]}
    wanted = slices()
    for host in places:
        word = files.host(host)
        if word is None:
            word = progress.new_host(host, places[host], wanted[host], run)
            if not first:  # its file was lost or damaged, so what became of it is not known here
                word["state"] = outcomes.APPLYING
            files.write_host(word)
    if first:
        canonical.write(files.plan, content)
        files.write_status(files.status())
        files.write_run(run)  # last: with it the run exists
    return files, first


def _check_directory(request: Request) -> str:
    """A directory for the files of a run in check mode; those of runs that are over are removed."""
    base = os.path.join(request.directory, CHECKS)
    os.makedirs(base, exist_ok=True)
    for name in os.listdir(base):
        path = os.path.join(base, name)
        if lock.held_by(os.path.join(path, "lock.json"), request.holder) is None:
            shutil.rmtree(path, ignore_errors=True)
    path = tempfile.mkdtemp(dir=base)
    lock.acquire(os.path.join(path, "lock.json"), request.holder, "this check")
    return path


def _result(files: RunFiles, run: Row) -> Row:
    status = files.status()
    return {
        "run": files.path,
        "plan": run["plan"],
        "update": run["update"],
        "goal": status["goal"],
        "status": status["status"],
        "batches": [{"name": batch["name"], "hosts": len(batch["hosts"])} for batch in run["batches"]],
        "guards": guards.names(run),
    }


def _log(files: RunFiles, run: Row, event: str, details: Row) -> None:
    row = {"event": event, "plan": run["plan"], "update": run["update"], "by": run["by"], "details": details}
    empty = {"batch": None, "host": None, "step": None, "state": None, "code": "", "sentence": "", "next_step": ""}
    evidence.append(files.evidence, [{**empty, **row}], sync=True)
