# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begins and ends a rollout on the controller; see the module rollout_run."""

from __future__ import annotations

import typing as t

from ansible.utils.display import Display

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import options
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.action import FleetAction
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import Budget
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import finish, lock, slices, start
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import RevertPlan, UpdateName
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.request import RunRequest

ARGUMENTS = {
    "step": {"type": "str", "required": True, "choices": ["rollout", "revert", "preflight", "finish"]},
    "directory": {"type": "path", "required": True},
    "plan": {"type": "path"},
    "digest": {"type": "str", "default": ""},
    "run": {"type": "path"},
    "name": {"type": "str"},
    "version": {"type": "str", "default": "1"},
    "store": {"type": "path"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    # As strings, so that they are the same in the run's digest however they were written.
    "batches": {
        "type": "list",
        "elements": "str",
        "default": [str(size) for size in options.BATCHES],
    },
    **options.specs("checks", "task_timeout", "concurrency", "failure_budget"),
    "remove": {"type": "bool", "default": False},
    "retry": {"type": "list", "elements": "str", "default": []},
    "proceed": {"type": "bool", "default": False},
    "break_lock": {"type": "bool", "default": False},
}


class ActionModule(FleetAction):
    BYPASS_HOST_LOOP = True
    SPEC = ARGUMENTS
    RULES = {
        "required_if": [
            ("step", "finish", ["run"]),
            ("step", "rollout", ["plan"]),
            ("step", "preflight", ["name", "store"]),
        ],
        "mutually_exclusive": [("plan", "name")],
    }

    def act(self, given: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        holder = lock.this_run()
        done: dict[str, t.Any] = getattr(self, f"_{given['step']}")(given, holder, variables)
        return done

    def _rollout(self, given: dict[str, t.Any], holder: lock.Holder, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        return start.rollout(self._request(given, holder, variables), given["plan"])

    def _revert(self, given: dict[str, t.Any], holder: lock.Holder, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        request = self._request(given, holder, variables)
        if given["plan"]:
            return start.take_back(request, given["plan"])
        if not given["name"]:
            raise RebootlessError(
                "nothing_named",
                "Neither a plan nor the name of an update was given.",
                "Give -e rebootless_plan=<path>, or -e rebootless_update=<name>.",
            )
        plan = RevertPlan(
            UpdateName(given["name"], ""),
            slices.batches_of(given["hosts"], given["batches"]),
            given["checks"],
            given["task_timeout"],
            given["concurrency"],
            Budget(**options.complete_budget(given["failure_budget"])),
            given["remove"],
        )
        return start.revert_hosts(request, plan)

    def _preflight(self, given: dict[str, t.Any], holder: lock.Holder, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        request = self._request(given, holder, variables)
        update = (given["name"], given["version"])
        return start.preflight(
            request, given["store"], update, given["hosts"], given["task_timeout"], given["concurrency"]
        )

    def _finish(self, given: dict[str, t.Any], holder: lock.Holder, _variables: dict[str, t.Any]) -> dict[str, t.Any]:
        files = RunFiles(given["run"])
        return finish.finish(files, given["directory"], holder, Display().display, self._task.check_mode)

    def _request(self, given: dict[str, t.Any], holder: lock.Holder, variables: dict[str, t.Any]) -> RunRequest:
        return RunRequest(
            given["directory"],
            holder,
            variables["groups"]["all"],
            str(variables.get("ansible_limit") or ""),
            given["retry"],
            given["digest"],
            given["proceed"],
            given["break_lock"],
            self._task.check_mode,
        )
