# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of rollout_plan, which has no other."""

from __future__ import annotations

import dataclasses
import datetime
import getpass
import os
import socket

from ansible.plugins.action import ActionBase

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import answers, planning
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import display as words
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import Plan, read_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.store import Store
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import UTC

TEXT = {"type": "str"}
ROWS = {"type": "list", "elements": "dict", "default": []}
SPEC = {
    "path": {"type": "path", "required": True},
    "store": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "version": {"type": "str", "default": "1"},
    "answers": {"type": "str", "default": "rebootless_running"},
    "store_url": TEXT,
    "batches": {"type": "list", "elements": "raw", "default": [1, "10%", "50%", "100%"]},
    "rings": {"type": "list", "elements": "raw", "default": []},
    "checks": ROWS,
    "check_times": {"type": "list", "elements": "int", "default": [0, 60, 300, 900]},
    "deadline": {"type": "int", "default": 1800},
    "task_timeout": {"type": "int", "default": 300},
    "failure_budget": {
        "type": "dict",
        "default": {},
        "options": {"hosts": {"type": "int", "default": 0}, "percent": {"type": "int", "default": 0}},
    },
    "revert_scope": {"type": "str", "default": "batch", "choices": ["host", "batch", "rollout"]},
    "concurrency": {"type": "int", "default": 0},
    "persist": {"type": "bool", "default": True},
    "windows": ROWS,
    "timezone": {"type": "str", "default": "UTC"},
    "freezes": ROWS,
    "uncovered": {"type": "str", "default": "report", "choices": ["report", "stop"]},
    "reboot_pending": {"type": "str", "default": "patch", "choices": ["patch", "reboot"]},
    "tries": {"type": "int", "default": 11},
    "metrics_directory": TEXT,
    "expires": TEXT,
    "approvals": {"type": "int", "default": 0},
}
# What the inventory may say of a host.
OF_HOST = ("rebootless_windows", "rebootless_freezes", "rebootless_timezone")
# Left out for want of something that could be had.
UNCOVERED = ("uncovered", "unreachable")


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        try:
            return self._plan(options, task_vars["hostvars"])
        except RebootlessError as error:
            return {"failed": True, **error.result()}

    def _plan(self, options, hostvars):
        store = Store(options["store"])
        manifest = store.manifest(options["name"], options["version"])
        if manifest is None:
            raise RebootlessError(
                "update_not_built",
                f"The store {store.root} has no {options['name']} {options['version']}.",
                "Run the build playbook first.",
                store=store.root,
            )
        store.verify(manifest)
        plan = planning.make_plan(
            self._asked(hostvars, options), manifest, store.root, options, _user(), datetime.datetime.now(UTC)
        )
        path = os.path.abspath(os.path.expanduser(options["path"]))
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
            "plan": canonical.parse(plan.content, "plan", path),
            "text": words.plan_lines(plan, manifest),
            "uncovered": sorted(name for name, row in plan.left_out.items() if row.state in UNCOVERED),
        }
        if self._task.diff:
            result["diff"] = {"before": before.content.decode() if before else "", "after": plan.content.decode()}
        if plan.policy["uncovered"] == "stop" and result["uncovered"]:
            names = words.few(result["uncovered"])
            result.update(
                RebootlessError(
                    "hosts_uncovered",
                    f"There is no package for {names}, or no word from them, and the policy is to stop then.",
                    "See left_out in the plan for the reasons, or plan with another policy.",
                    hosts=result["uncovered"],
                ).result(),
                failed=True,
            )
        return result

    @staticmethod
    def _asked(hostvars, options):
        found = answers.registered(hostvars, options["answers"], OF_HOST)
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
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"
