# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begins, judges and soaks a batch of a rollout; see the module rollout_batch."""

from __future__ import annotations

import typing as t

from ansible import context
from ansible.utils.display import Display

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import times
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.action import FleetAction, playbook_process
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import lock
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.batch import Batch
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles


class ActionModule(FleetAction):
    # Once for the batch.  Strategies that run hosts independently refuse such a task, and have to: the gate would be
    # no gate there.
    BYPASS_HOST_LOOP = True
    SPEC = {
        "step": {"type": "str", "required": True, "choices": ["begin", "gate", "soak"]},
        "run": {"type": "path", "required": True},
        "phase": {"type": "str", "choices": ["apply", "confirm", "reverse"]},
        "hold": {"type": "bool", "default": False},
        "until": {"type": "float", "default": 0},
    }
    RULES = {"required_if": [("step", "gate", ["phase"])]}

    def act(self, given: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        main = playbook_process()
        files, host = RunFiles(given["run"]), variables["inventory_hostname"]
        batch = Batch(files, host, Display().display, context.CLIARGS["forks"], self._task.check_mode)
        if given["step"] == "begin":
            return batch.begin(lock.process(main), times.now())
        if given["step"] == "gate":
            return batch.judge(given["phase"], given["hold"], given["until"])
        return batch.soak(lambda: playbook_process() == main)
