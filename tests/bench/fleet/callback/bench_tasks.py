# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the tasks of each host, and writes the sums to the file that REBOOTLESS_BENCH_TASKS names."""

from __future__ import annotations

import collections
import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: bench_tasks
type: aggregate
short_description: how many tasks each host had
description: Counts the tasks of each host, and writes the sums to the file that E(REBOOTLESS_BENCH_TASKS) names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "bench_tasks"

    def __init__(self):
        super().__init__()
        self._hosts: collections.Counter = collections.Counter()
        self._once: collections.Counter = collections.Counter()
        self._outcomes: collections.Counter = collections.Counter()

    def _count(self, outcome, result):
        task = result._task
        self._outcomes[outcome] += 1
        # One on behalf of all is the controller's, not the host's; so is `meta: end_play` (linear strategy).
        if task.run_once or task.action in ("meta", "ansible.builtin.meta"):
            self._once[task.get_name()] += 1
        else:
            self._hosts[result._host.get_name()] += 1

    def v2_runner_on_ok(self, result):
        self._count("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._count("failed", result)

    def v2_runner_on_unreachable(self, result):
        self._count("unreachable", result)

    def v2_runner_on_skipped(self, result):
        self._count("skipped", result)

    def v2_playbook_on_stats(self, stats):
        sums = {
            "most": max(self._hosts.values(), default=0),
            "mean": sum(self._hosts.values()) / len(self._hosts) if self._hosts else 0,
            "once": sum(self._once.values()),
            "outcomes": self._outcomes,
        }
        with open(os.environ["REBOOTLESS_BENCH_TASKS"], "w", encoding="utf-8") as stream:
            json.dump(sums, stream)
