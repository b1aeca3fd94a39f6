# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes every task's result as a JSON line to the file that REBOOTLESS_RESULTS names."""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: aggregate
short_description: task results as JSON lines
description: Writes every task's result as a JSON line to the file that E(REBOOTLESS_RESULTS) names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "results"

    def __init__(self):
        super().__init__()
        self._started = {}

    def v2_runner_on_start(self, host, task):
        self._started[host.get_name(), task._uuid] = time.monotonic()

    def _write(self, outcome, result):
        host = result._host.get_name()
        seconds = time.monotonic() - self._started.get((host, result._task._uuid), time.monotonic())
        line = {"outcome": outcome, "host": host, "task": result._task.get_name(), "seconds": seconds}
        with open(os.environ["REBOOTLESS_RESULTS"], "a", encoding="utf-8") as results:
            results.write(json.dumps({**line, "result": result._result}, default=str) + "\n")

    def v2_runner_on_ok(self, result):
        self._write("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_unreachable(self, result):
        self._write("unreachable", result)

    def v2_runner_on_skipped(self, result):
        self._write("skipped", result)
