# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begins a run, or goes on with one that was interrupted.  Private to rebootless.splice.

Whatever the plan relies on is looked at here, before any host is touched: the plan itself, the update store, the
inventory, and that nobody else is at work on the same update.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import shutil
import tempfile
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import checks, outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._fleet import (
    canonical,
    evidence,
    guards,
    lock,
    packages,
    progress,
    survey,
)
from ansible_collections.rebootless.splice.plugins.module_utils._fleet import plan as plans
from ansible_collections.rebootless.splice.plugins.module_utils._fleet.batch import Batch
from ansible_collections.rebootless.splice.plugins.module_utils._fleet.gate import CONFIRM, Row, to_reverse
from ansible_collections.rebootless.splice.plugins.module_utils._fleet.progress import (
    REVERT,
    ROLLOUT,
    RUNNING,
    STOPPED,
    RunFiles,
)
from ansible_collections.rebootless.splice.plugins.module_utils._fleet.selection import to_take_back, went_back
from ansible_collections.rebootless.splice.plugins.module_utils._fleet.windows import UTC, parse_time

MANIFEST = "manifest.json"
CHECKS = "checks"  # in the operator's directory: runs in check mode
SHOWN = 10  # hosts that a sentence names


@dataclasses.dataclass(frozen=True)
class Request:
    """What the operator asked for.

    ``inventory`` are all known hosts, ``limit`` Ansible's ``--limit``, ``retry`` hosts to try again, ``proceed`` after
    a stop, ``break_lock`` of a run that cannot be seen, ``check`` leaves everything as it is.
    """

    directory: str
    holder: lock.Holder
    inventory: t.Collection[str]
    limit: str = ""
    retry: t.Sequence[str] = ()
    proceed: bool = False
    break_lock: bool = False
    check: bool = False

    @property
    def by(self) -> str:
        return self.holder.by


def rollout(request: Request, path: str) -> Row:
    """Begins the rollout of the plan in a file, or goes on with it.  Raises ``RebootlessError``."""
    plan = plans.read_plan(path)
    _demand_valid(plan, request)
    _demand_store(plan)
    run = run_of_plan(plan, request.by)
    files, first = _open(request, run, plan.content, lambda: slices_of_plan(plan))
    status = files.status()
    if first:
        _log(files, run, "rollout_started", {"plan": path, "hosts": len(plan.hosts)})
    else:
        again = _again(files, run, status, request)
        _log(files, run, "rollout_resumed", {"plan": path, "was": status["status"], "again": again})
    return _result(files, run)


def take_back(request: Request, path: str) -> Row:
    """Begins to take the update of a plan back from all hosts that may have it, or goes on."""
    plan = plans.read_plan(path)
    _demand_inventory(plan.hosts, request)
    run = run_of_plan(plan, request.by)
    files, first = _open(request, run, plan.content, lambda: slices_of_plan(plan))
    words = files.words([host for batch in run["batches"] for host in batch["hosts"]])
    # Where another controller rolled it out, what became of the hosts is not known here: each is visited.
    hosts = list(words) if first else _not_back(files, words) or to_reverse(words)
    return _begin_to_revert(files, run, words, hosts, request)


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
    run = _run(REVERT, digest, plan["update"], request.by, rows, settings)
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
    again = list(hosts) if first or finished else _not_back(files, words)
    return _begin_to_revert(files, run, words, again, request)


def preflight(request: Request, store: str, name: str, version: str, hosts: t.Sequence[str], settings: Row) -> Row:
    """Begins to ask hosts what the update would be on them; no plan, nothing changed, so always in check mode.

    ``settings``: ``task_timeout``, ``concurrency``.
    """
    manifest, path = survey.manifest_of(store, name, version)
    update = {"name": name, "version": version}
    run = _run(
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


# ---- what a run is made of


def batches_of(hosts: t.Sequence[str], sizes: t.Sequence[str]) -> list[Row]:
    """Hosts in batches of growing sizes: a number of hosts, or a share of all of them; the last size is repeated.

    Raises ``RebootlessError`` code ``bad_batches``.
    """
    found: list[Row] = []
    left = list(hosts)
    while left:
        size = str(sizes[min(len(found), len(sizes) - 1)]) if sizes else "100%"
        match = re.fullmatch(r"([1-9][0-9]*)(%?)", size)
        if match is None:
            raise RebootlessError(
                "bad_batches", f"{size!r} is no size of a batch.", "Give numbers of hosts or shares, as [1, 10%, 100%]."
            )
        number = int(match.group(1))
        count = max(1, len(hosts) * number // 100) if match.group(2) else number
        found.append({"name": str(len(found) + 1), "hosts": left[:count]})
        left = left[count:]
    return found


def run_of_plan(plan: plans.Plan, by: str) -> Row:
    """What the gates need of a plan."""
    rows = [
        {"name": batch.name, "hosts": batch.hosts, "budget": plan.budget(number)}
        for number, batch in enumerate(plan.batches)
    ]
    update = {"name": plan.update.name, "version": plan.update.version}
    return _run(ROLLOUT, plan.digest, update, by, rows, dataclasses.asdict(plan))


def _run(kind: str, digest: str, update: Row, by: str, batches: list[Row], settings: Row) -> Row:
    times = settings.get("check_times") or [0]
    return {
        "goal": kind,
        "plan": digest,
        "update": update,
        "by": by,
        "batches": batches,
        "check_times": times,
        "concurrency": settings["concurrency"],
        "task_timeout": settings["task_timeout"],
        "deadline": settings.get("deadline", 0),
        "revert_scope": settings.get("revert_scope"),
        "freezes": settings.get("freezes", []),
        # of a batch of which all hosts are worked on at once: applying, soaking, confirming
        "seconds_needed": 2 * settings["task_timeout"] + times[-1],
        "uncovered_is_bad": settings.get("policy", {}).get("uncovered") == "stop",
        "left_out": settings.get("left_out", {}),
        "task_files": task_files(settings.get("checks", [])),
    }


def task_files(rows: t.Sequence[Row]) -> list[str]:
    """The files of the checks that are tasks of the operator's own."""
    return [os.path.expanduser(row["file"]) for row in rows if checks.KINDS[row["kind"]].runs_on == checks.CONTROLLER]


def slices_of_plan(plan: plans.Plan) -> dict[str, Row]:
    """What each host gets: the options of the module, and where its package is."""
    normal = checks.normalise(plan.checks)
    common = {
        "plan": plan.digest,
        "name": plan.update.name,
        "version": plan.update.version,
        "deadline": plan.deadline,
        "checks": [check for check in normal if checks.KINDS[check["kind"]].runs_on == checks.TARGET],
        "check_times": plan.check_times,
        "persist": plan.persist,
        "fixed_in": sorted({version for versions in plan.update.fixed_in.values() for version in versions}),
        "tries": plan.tries,
        "metrics_directory": plan.metrics_directory,
        "task_timeout": plan.task_timeout,
    }
    place = f"{plan.update.name}/{plan.update.version}"
    return {
        name: {
            **common,
            "build_id": host.build_id,
            "digest": host.sha256,
            "size": host.size,
            "package": f"{plan.store}/{place}/{host.package}",
            "url": f"{plan.store_url.rstrip('/')}/{place}/{host.package}" if plan.store_url else None,
            "windows": host.windows,
            "freezes": host.freezes,
        }
        for name, host in plan.hosts.items()
    }


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


# ---- refusals


def _demand_valid(plan: plans.Plan, request: Request) -> None:
    if plan.approvals["required"]:
        raise RebootlessError(
            "approvals_unknown",
            f"The plan wants {plan.approvals['required']} approvals, and this release knows none.",
            "Make a plan without approvals, or roll it out with a release that checks them.",
        )
    now = datetime.datetime.now(UTC)
    if plan.expires and parse_time(plan.expires, "expires of the plan", "bad_plan") <= now:
        raise RebootlessError(
            "plan_expired", f"The plan has expired at {plan.expires}.", "Make a new plan.", expires=plan.expires
        )
    uncovered = sorted(host for host, row in plan.left_out.items() if row.state == outcomes.UNCOVERED)
    if uncovered and plan.policy["uncovered"] == "stop":
        raise RebootlessError(
            "uncovered_hosts",
            f"The plan has no build for {_named(uncovered)}, and its policy is to stop then.",
            "Build the update for their kernels and make a new plan, or make one with the policy report.",
            hosts=uncovered,
        )
    _demand_inventory(plan.hosts, request)
    for path in task_files(plan.checks):
        if not os.path.isfile(path):
            raise RebootlessError(
                "no_task_file",
                f"The health check with the tasks {path} cannot be run: there is no such file on the controller.",
                "Put it there, or make a plan with another path.",
                path=path,
            )


def _demand_inventory(hosts: t.Collection[str], request: Request) -> None:
    missing = sorted(set(hosts) - set(request.inventory))
    if missing:
        raise RebootlessError(
            "not_in_inventory",
            f"The inventory does not have {_named(missing)} of the plan.",
            "Use the inventory that the plan was made with, or make a new plan.",
            hosts=missing,
        )
    if request.limit:
        raise RebootlessError(
            "limited",
            "The run is limited to a part of the hosts (--limit), which the plan does not say.",
            "Leave out --limit, or make a plan for these hosts.",
            limit=request.limit,
        )


def _demand_store(plan: plans.Plan) -> None:
    """Every file that the plan needs has the bytes that the plan says."""
    place = os.path.join(plan.store, plan.update.name, plan.update.version)
    wanted = {(host.package, host.sha256) for host in plan.hosts.values()}
    packages.demand_file(os.path.join(place, MANIFEST), plan.update.manifest_sha256)
    for package, digest in sorted(wanted):
        packages.demand_file(os.path.join(place, package), digest)


# ---- going on


def _judge_what_was_not(files: RunFiles, run: Row) -> None:
    """Passes the gate of a batch that was over when the run was killed: a batch that failed must not be followed by the
    next one because nobody was there to count."""
    for row in run["batches"]:
        batch = Batch(files, row["hosts"][0], lambda _line: None, forks=1)
        if batch.needs_judgement and batch.judge(CONFIRM)["stop"]:
            return


def _again(files: RunFiles, run: Row, status: Row, request: Request) -> list[str]:
    """Prepares a run that has begun to go on; returns the hosts that are tried again."""
    if status["status"] == RUNNING and status["goal"] == ROLLOUT:
        _judge_what_was_not(files, run)
        status = files.status()
    if status["goal"] == REVERT and not request.proceed:
        raise RebootlessError(
            "taken_back",
            "The update of this plan was taken back, or is about to be.",
            "Make a new plan; or finish with the playbook revert, or go on with -e rebootless_continue=true.",
        )
    if status["status"] == STOPPED and not request.proceed:
        if to_take_back(files):
            return []  # it was interrupted while it went back, which it does to the end
        stop = status["stop"] or {}
        raise RebootlessError(
            "stopped",
            f"The rollout was stopped: {stop.get('sentence', '')}.",
            "Find the cause. Then make a new plan, or go on with -e rebootless_continue=true (and, for the hosts that "
            "failed or went back, -e rebootless_retry=<pattern>).",
            stop=stop,
        )
    words = files.words([host for batch in run["batches"] for host in batch["hosts"]])
    again = [host for host in request.retry if host in words and _can_be_tried_again(words[host])]
    for host in again:
        word = words[host]
        piece = {**word["slice"], "retry": True}
        files.write_host(progress.new_host(host, word["batch"], piece, run))
    forgiven = set(status["forgiven"]) - set(again)
    if status["status"] == STOPPED:
        forgiven |= {host for host, word in words.items() if outcomes.is_bad(word["state"]) and host not in again}
        forgiven = {host for host in forgiven if outcomes.is_settled(words[host]["state"])}
    files.write_status(
        {
            **status,
            "status": RUNNING,
            "goal": ROLLOUT,
            "stop": None,
            "waiting": None,
            "reverting": [],
            "forgiven": sorted(forgiven),
            "judged": sorted(set(status["judged"]) - {words[host]["batch"] for host in again}),
        }
    )
    return again


def _can_be_tried_again(word: Row) -> bool:
    return outcomes.is_settled(word["state"]) and word["state"] != outcomes.CONFIRMED


def _begin_to_revert(files: RunFiles, run: Row, words: dict[str, Row], hosts: list[str], request: Request) -> Row:
    """Makes going back the run's goal; one that was interrupted goes on with the hosts that are left."""
    status = files.status()
    goes_on = status["goal"] == REVERT and status["status"] == RUNNING and to_take_back(files)
    if status["goal"] == REVERT and status["status"] == STOPPED and not request.proceed:
        raise RebootlessError(
            "stopped",
            f"Going back was stopped: {(status['stop'] or {}).get('sentence', '')}.",
            "Find the cause; then go on with -e rebootless_continue=true.",
        )
    if not goes_on:
        for host in hosts:
            # the step is taken anew, whatever step the host's file has
            files.write_host({**words[host], "goal": REVERT, "by": request.by, "step": None, "attempt": None})
        files.write_status(
            {**status, "status": RUNNING, "goal": REVERT, "stop": None, "waiting": None, "reverting": hosts}
        )
    _log(files, run, "reverting", {"hosts": files.status()["reverting"], "resumed": bool(goes_on)})
    return _result(files, run)


def _not_back(files: RunFiles, words: dict[str, Row]) -> list[str]:
    """The hosts of an earlier run of going back that it has not come to, or that failed in it."""
    status = files.status()
    wanted = status["reverting"] if status["goal"] == REVERT else []
    return [host for host in wanted if not went_back(words[host]) or outcomes.is_bad(words[host]["state"])]


# ---- records


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


def _named(hosts: t.Sequence[str]) -> str:
    more = len(hosts) - SHOWN
    return ", ".join(hosts[:SHOWN]) + (f" and {more} more" if more > 0 else "")
