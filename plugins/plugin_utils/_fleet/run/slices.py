# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is made of: batches with their budgets, what the gates go by, and a slice for each host."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import checks
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import batches
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import Plan, PlannedBatch
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.host_slice import PlanSlice, RevertSlice
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import (
    REVERT,
    ROLLOUT,
    RevertPlan,
    Run,
    RunBatch,
    UpdateName,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import Manifest


def batches_of(hosts: t.Sequence[str], sizes: t.Sequence[str]) -> list[PlannedBatch]:
    """Hosts in batches of growing sizes, named by their numbers: all in one if no sizes are given.

    Raises ``RebootlessError`` code ``bad_batches``.
    """
    known = batches.read_sizes(list(sizes) or ["100%"], "The size of batches")
    return [PlannedBatch(str(number), names) for number, names in enumerate(batches.split(list(hosts), known), 1)]


def run_of_plan(plan: Plan, by: str) -> Run:
    """What the gates need of a plan."""
    times = plan.check_times or [0]
    return Run(
        goal=ROLLOUT,
        plan=plan.digest,
        update=UpdateName(plan.update.name, plan.update.version),
        by=by,
        batches=[RunBatch(batch.name, batch.hosts, plan.budget(number)) for number, batch in enumerate(plan.batches)],
        task_timeout=plan.task_timeout,
        concurrency=plan.concurrency,
        seconds_needed=_seconds_needed(plan.task_timeout, times),
        check_times=times,
        deadline=plan.deadline,
        revert_scope=plan.revert_scope,
        freezes=plan.freezes,
        uncovered_is_bad=plan.policy.uncovered == "stop",
        left_out=plan.left_out,
        task_files=task_files(plan.checks),
    )


def run_of_revert(plan: RevertPlan, by: str) -> Run:
    """What the gates need to take an update back by name."""
    rows = [RunBatch(batch.name, batch.hosts, plan.failure_budget.of(len(batch.hosts))) for batch in plan.batches]
    return Run(
        goal=REVERT,
        plan=plan.digest,
        update=plan.update,
        by=by,
        batches=rows,
        task_timeout=plan.task_timeout,
        concurrency=plan.concurrency,
        seconds_needed=_seconds_needed(plan.task_timeout, [0]),
        task_files=task_files(plan.checks),
    )


def run_of_preflight(manifest: Manifest, by: str, hosts: t.Sequence[str], task_timeout: int, concurrency: int) -> Run:
    """What the gates need to ask hosts without a plan: the manifest's digest names the run."""
    return Run(
        goal=ROLLOUT,
        plan=manifest.digest,
        update=UpdateName(manifest.name, manifest.version),
        by=by,
        batches=[RunBatch("all", list(hosts), 0)],
        task_timeout=task_timeout,
        concurrency=concurrency,
        seconds_needed=_seconds_needed(task_timeout, [0]),
    )


def _seconds_needed(task_timeout: int, check_times: t.Sequence[int]) -> int:
    """What a batch may take of which all hosts are worked on at once: applying, soaking, confirming."""
    return 2 * task_timeout + check_times[-1]


def task_files(rows: t.Sequence[Row]) -> list[str]:
    """The files of the checks that are tasks of the operator's own."""
    return [os.path.expanduser(row["file"]) for row in rows if checks.KINDS[row["kind"]].runs_on == checks.CONTROLLER]


def slices_of_plan(plan: Plan) -> dict[str, PlanSlice]:
    """What each host gets: the options of the module, and where its package is."""
    normal = checks.normalise(plan.checks)
    of_host = [check for check in normal if checks.KINDS[check["kind"]].runs_on == checks.TARGET]
    fixed_in = sorted({version for versions in plan.update.fixed_in.values() for version in versions})
    place = f"{plan.update.name}/{plan.update.version}"
    return {
        name: PlanSlice(
            name=plan.update.name,
            version=plan.update.version,
            task_timeout=plan.task_timeout,
            plan=plan.digest,
            build_id=host.build_id,
            digest=host.sha256,
            size=host.size,
            package=f"{plan.store}/{place}/{host.package}",
            url=f"{plan.store_url.rstrip('/')}/{place}/{host.package}" if plan.store_url else None,
            checks=of_host,
            check_times=plan.check_times,
            deadline=plan.deadline,
            persist=plan.persist,
            fixed_in=fixed_in,
            tries=plan.tries,
            blockers=plan.blockers,
            # A host that has windows is visited in them alone.
            isolated_cpus="apply" if plan.isolated_cpus == "window" and host.windows else plan.isolated_cpus,
            metrics_directory=plan.metrics_directory,
            windows=host.windows,
            freezes=host.freezes,
        )
        for name, host in plan.hosts.items()
    }


def slice_of_revert(plan: RevertPlan) -> RevertSlice:
    """What each host gets from which the update is taken back by name."""
    return RevertSlice(
        plan.update.name, plan.update.version, plan.task_timeout, checks.normalise(plan.checks), plan.remove
    )
