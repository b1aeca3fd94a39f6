# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begins, judges and soaks a batch of a rollout; see the module rollout_batch."""

from __future__ import annotations

import datetime
import os
import typing as t

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import lock
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.batch import Batch
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles


class ActionModule(ActionBase):
    # Once for the batch.  Strategies that run hosts independently refuse such a task, and have to: the gate would be
    # no gate there.
    BYPASS_HOST_LOOP = True
    _requires_connection = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _unused, given = self.validate_argument_spec(
            {
                "step": {"type": "str", "required": True, "choices": ["begin", "gate", "soak"]},
                "run": {"type": "path", "required": True},
                "phase": {"type": "str", "choices": ["apply", "confirm", "reverse"]},
                "hold": {"type": "bool", "default": False},
                "until": {"type": "float", "default": 0},
            },
            required_if=[("step", "gate", ["phase"])],
        )
        main = os.getppid()  # ansible-playbook itself; each task is a child of it
        try:
            files = RunFiles(given["run"])
            host = variables["inventory_hostname"]
            batch = Batch(files, host, Display().display, context.CLIARGS["forks"], self._task.check_mode)
            if given["step"] == "begin":
                done = batch.begin(lock.process(main), datetime.datetime.now(datetime.timezone.utc))
            elif given["step"] == "gate":
                done = batch.judge(given["phase"], given["hold"], given["until"])
            else:
                done = batch.soak(lambda: os.getppid() == main)
        except RebootlessError as error:
            return {**result, "failed": True, "changed": False, **error.result()}
        return {**result, "changed": False, **done}
