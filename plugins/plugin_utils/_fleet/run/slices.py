# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is made of: batches with their budgets, what the gates go by, and a slice for each host.

Private to rebootless.splice.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import checks
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import plan as plans
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import ROLLOUT
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.gate import Row


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
    return parts_of_run(ROLLOUT, plan.digest, update, by, rows, dataclasses.asdict(plan))


def parts_of_run(kind: str, digest: str, update: Row, by: str, batches: list[Row], settings: Row) -> Row:
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
