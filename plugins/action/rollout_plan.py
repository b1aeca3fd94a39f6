# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of rollout_plan, which runs on the controller alone."""

from __future__ import annotations

import dataclasses
import os

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical, options, times
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.action import FleetAction
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import answers, display, planning
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import Plan, read_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.work import demand_work
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import lock
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.store import Store

ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "store": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "version": {"type": "str", "default": "1"},
    "answers": {"type": "str", "default": "rebootless_running"},
    **options.specs(),
}
# What the inventory may say of a host.
OF_HOST = ("rebootless_windows", "rebootless_freezes", "rebootless_timezone")
# Left out for want of something that could be had.
UNCOVERED = ("uncovered", "unreachable")


class ActionModule(FleetAction):
    SPEC = ARGUMENTS
    _supports_check_mode = True
    _supports_diff = True

    def act(self, given, variables):
        store = Store(given["store"])
        manifest = store.built(given["name"], given["version"])
        store.verify(manifest)
        plan = planning.make_plan(
            self._asked(variables["hostvars"], given), manifest, store.root, given, _user(), times.now()
        )
        if plan.policy.uncovered != "stop":  # which says the same in its own words
            demand_work(plan)
        path = os.path.abspath(os.path.expanduser(given["path"]))
        before = _there(path)
        changed = before is None or _without_occasion(before) != _without_occasion(plan)
        if before is not None and not changed:
            plan = before
        if changed and not self._task.check_mode:
            canonical.write(path, plan.content)
        result = {
            "changed": changed,
            "path": path,
            "digest": plan.digest,
            "plan": canonical.parse(plan.content, "plan", path, seal=True),
            "text": display.plan_lines(plan, manifest),
            "uncovered": sorted(name for name, row in plan.left_out.items() if row.state in UNCOVERED),
        }
        if self._task.diff:
            result["diff"] = {"before": before.content.decode() if before else "", "after": plan.content.decode()}
        if plan.policy.uncovered == "stop" and result["uncovered"]:
            names = display.few(result["uncovered"])
            result.update(
                RebootlessError(
                    "hosts_uncovered",
                    f"There is no package for {names}, or no answer from them, and the policy is to stop then.",
                    "See left_out in the plan for the reasons, or plan with another policy.",
                    hosts=result["uncovered"],
                ).result(),
                failed=True,
            )
        return result

    @staticmethod
    def _asked(hostvars, given):
        found = answers.registered(hostvars, given["answers"], OF_HOST)
        return {
            name: planning.Asked(
                host.answer,
                host.groups,
                host.own.get("rebootless_windows"),
                host.own.get("rebootless_freezes") or (),
                host.own.get("rebootless_timezone"),
            )
            for name, host in found.items()
        }


def _there(path) -> Plan | None:
    """The plan that is at a path already; None if it is none that could be used."""
    try:
        return read_plan(path)
    except RebootlessError:
        return None


def _without_occasion(plan: Plan) -> Plan:
    """A plan that differs in nothing else is the same plan."""
    return dataclasses.replace(plan, created="", created_by="")


def _user() -> str:
    return f"{os.environ.get('SUDO_USER') or lock.user()}@{os.uname().nodename}"
