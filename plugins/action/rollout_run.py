# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begins and ends a rollout on the controller; see the module rollout_run."""

from __future__ import annotations

import os
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import finish, lock, slices, start
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.request import Request

ARGUMENTS = {
    "step": {"type": "str", "required": True, "choices": ["rollout", "revert", "preflight", "finish"]},
    "directory": {"type": "path", "required": True},
    "plan": {"type": "path"},
    "run": {"type": "path"},
    "name": {"type": "str"},
    "version": {"type": "str", "default": "1"},
    "store": {"type": "path"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "batches": {"type": "list", "elements": "str", "default": ["1", "10%", "50%", "100%"]},
    "checks": {"type": "list", "elements": "dict", "default": []},
    "task_timeout": {"type": "int", "default": 300},
    "concurrency": {"type": "int", "default": 0},
    "failure_budget": {"type": "dict", "default": {}},
    "remove": {"type": "bool", "default": False},
    "retry": {"type": "list", "elements": "str", "default": []},
    "proceed": {"type": "bool", "default": False},
    "break_lock": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    BYPASS_HOST_LOOP = True
    _requires_connection = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _unused, given = self.validate_argument_spec(
            ARGUMENTS,
            required_if=[
                ("step", "finish", ["run"]),
                ("step", "rollout", ["plan"]),
                ("step", "preflight", ["name", "store"]),
            ],
            mutually_exclusive=[("plan", "name")],
        )
        try:
            holder = lock.process(os.getppid())  # ansible-playbook itself; each task is a child of it
            done = getattr(self, f"_{given['step']}")(given, holder, variables)
        except RebootlessError as error:
            return {**result, "failed": True, "changed": False, **error.result()}
        return {**result, "changed": False, **done}

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
        budget = {"hosts": 0, "percent": 0, **given["failure_budget"]}
        settings = {
            **{name: given[name] for name in ("checks", "task_timeout", "concurrency", "remove")},
            "failure_budget": {name: int(value) for name, value in budget.items()},
            "batches": slices.batches_of(given["hosts"], given["batches"]),
        }
        return start.revert_hosts(request, given["name"], given["hosts"], settings)

    def _preflight(self, given: dict[str, t.Any], holder: lock.Holder, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        request = self._request(given, holder, variables)
        settings = {name: given[name] for name in ("task_timeout", "concurrency")}
        return start.preflight(request, given["store"], given["name"], given["version"], given["hosts"], settings)

    def _finish(self, given: dict[str, t.Any], holder: lock.Holder, _variables: dict[str, t.Any]) -> dict[str, t.Any]:
        files = RunFiles(given["run"])
        return finish.finish(files, given["directory"], holder, Display().display, self._task.check_mode)

    def _request(self, given: dict[str, t.Any], holder: lock.Holder, variables: dict[str, t.Any]) -> Request:
        return Request(
            given["directory"],
            holder,
            variables["groups"]["all"],
            str(variables.get("ansible_limit") or ""),
            given["retry"],
            given["proceed"],
            given["break_lock"],
            self._task.check_mode,
        )
