# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator asked for, and what refuses it before any host is touched."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.display import named
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import Plan, read_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.work import demand_work
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import lock
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.slices import task_files
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store import packages
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import FILE
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.targets import demand_unlimited
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import now, parse_time

SHOWN = 10  # hosts that a sentence names


@dataclasses.dataclass(frozen=True)
class RunRequest:
    """What the operator asked for.

    ``inventory`` are all known hosts, ``limit`` Ansible's ``--limit``, ``retry`` hosts to try again, ``approved`` the
    digest that the plan has to have, ``proceed`` after a stop, ``break_lock`` of a run that cannot be seen, ``check``
    leaves everything as it is.
    """

    directory: str
    holder: lock.Holder
    inventory: t.Collection[str]
    limit: str = ""
    retry: t.Sequence[str] = ()
    approved: str = ""
    proceed: bool = False
    break_lock: bool = False
    check: bool = False

    @property
    def by(self) -> str:
        return self.holder.by


def approved_plan(path: str, request: RunRequest) -> Plan:
    """The plan in a file, which is the one that the operator named by its digest, if he did."""
    plan = read_plan(path)
    wanted = request.approved.strip().lower()
    if wanted and wanted != plan.digest:
        raise RebootlessError(
            "plan_differs",
            f"The plan {path} has the digest {plan.digest}, and the run is to be of the one with {wanted}.",
            "Give the plan that was approved, or have this one approved; rebootless_plan_digest takes all 64 digits.",
            path=path,
            digest=plan.digest,
            approved=wanted,
        )
    return plan


def demand_valid(plan: Plan, request: RunRequest) -> None:
    if plan.approvals.required:
        raise RebootlessError(
            "approvals_unknown",
            f"The plan wants {plan.approvals.required} approvals, and this release knows none.",
            "Make a plan without approvals, or roll it out with a release that checks them.",
        )
    if plan.expires and parse_time(plan.expires, "The plan, expires,", "bad_plan") <= now():
        raise RebootlessError(
            "plan_expired", f"The plan has expired at {plan.expires}.", "Make a new plan.", expires=plan.expires
        )
    uncovered = sorted(host for host, row in plan.left_out.items() if row.state == outcomes.UNCOVERED)
    if uncovered and plan.policy.uncovered == "stop":
        raise RebootlessError(
            "uncovered_hosts",
            f"The plan has no build for {named(uncovered, SHOWN)}, and its policy is to stop then.",
            "Build the update for their kernels and make a new plan, or make one with the policy report.",
            hosts=uncovered,
        )
    demand_work(plan)
    demand_inventory(plan.hosts, request)
    for path in task_files(plan.checks):
        if not os.path.isfile(path):
            raise RebootlessError(
                "no_task_file",
                f"The health check with the tasks {path} cannot be run: there is no such file on the controller.",
                "Put it there, or make a plan with another path.",
                path=path,
            )


def demand_inventory(hosts: t.Collection[str], request: RunRequest) -> None:
    missing = sorted(set(hosts) - set(request.inventory))
    if missing:
        raise RebootlessError(
            "not_in_inventory",
            f"The inventory does not have {named(missing, SHOWN)} of the plan.",
            "Use the inventory that the plan was made with, or make a new plan.",
            hosts=missing,
        )
    demand_unlimited(request.limit)


def demand_store(plan: Plan) -> None:
    """Every file that the plan needs has the bytes that the plan says."""
    place = os.path.join(plan.store, plan.update.name, plan.update.version)
    wanted = {(host.package, host.sha256) for host in plan.hosts.values()}
    packages.demand_file(os.path.join(place, FILE), plan.update.manifest_sha256)
    for package, digest in sorted(wanted):
        packages.demand_file(os.path.join(place, package), digest)
