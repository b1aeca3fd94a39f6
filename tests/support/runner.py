# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Ansible as an operator does, and returns what its tasks returned."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
import tempfile
import typing as t

from ansible_collections.rebootless.splice.tests.support import ansible_server

BIN = pathlib.Path(sys.executable).parent
CALLBACKS = pathlib.Path(__file__).parent / "callback"


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """One task on one host; `outcome` is ok, failed, ignored, unreachable or skipped, `seconds` the whole task's."""

    outcome: str
    host: str
    task: str
    seconds: float
    result: dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of Ansible: its tasks' results in order, what it printed, its exit status."""

    tasks: list[TaskResult]
    output: str
    status: int

    def of(self, host: str, task: str) -> dict[str, t.Any]:
        """The result of the task whose name ends with `task` on a host."""
        (found,) = (row.result for row in self.tasks if row.host == host and row.task.endswith(task))
        return found


class Runner:
    """Ansible with an inventory (`None`: this machine only) and variables for every run."""

    def __init__(self, inventory: pathlib.Path | None = None, variables: dict[str, t.Any] | None = None) -> None:
        self.inventory = inventory
        self._inventory = ["-i", os.fspath(inventory)] if inventory else []
        self._variables = ["-e", json.dumps(variables)] if variables else []

    def playbook(self, name: str, *arguments: str, variables: dict[str, t.Any] | None = None, ok: bool = True) -> Run:
        """Runs a playbook (path, or name in the collection); `ok` demands that it succeeds."""
        extra = ["-e", json.dumps(variables)] if variables else []
        run = self._run("ansible-playbook", *self._variables, *extra, name, *arguments)
        if ok:
            assert run.status == 0, run.output
        return run

    def module(
        self, host: str, name: str, /, *, check: bool = False, diff: bool = False, **options: t.Any
    ) -> dict[str, t.Any]:
        """Runs one module on one host and returns its result, of a failure too (``failed`` is then true).

        A short name is one of the collection's.
        """
        full = full_name(name)
        arguments = ["-a", json.dumps(options)] if options else []
        modes = [*(["--check"] if check else []), *(["--diff"] if diff else [])]
        run = self._run("ansible", host, *self._variables, "-m", full, *arguments, *modes)
        assert len(run.tasks) == 1, run.output
        (task,) = run.tasks
        assert task.outcome != "unreachable", run.output
        return {**task.result, "failed": task.outcome == "failed"}

    def tasks(self, host: str, tasks: t.Sequence[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
        """Runs tasks one after the other in one play, also after failed ones, and returns their results like `module`.

        A task has the key `module`, may have `check` and `diff`, and all others are the module's options.
        """
        play = {"hosts": host, "gather_facts": False, "tasks": [_task(**task) for task in tasks]}
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump([play], file)  # which is YAML, too
            file.flush()
            run = self.playbook(file.name)
        assert len(run.tasks) == len(tasks), run.output
        return [{**task.result, "failed": task.outcome == "ignored"} for task in run.tasks]

    def _run(self, program: str, *arguments: str) -> Run:
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as results:
            environment = {
                **{name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
                "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
                "ANSIBLE_CALLBACK_PLUGINS": os.fspath(CALLBACKS),
                "ANSIBLE_CALLBACKS_ENABLED": "results",
                "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
                "ANSIBLE_NOCOLOR": "true",
                "ANSIBLE_LOCALHOST_WARNING": "false",
                "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            }
            own = {"REBOOTLESS_RESULTS": results.name}
            status, output = ansible_server.run(program, [*self._inventory, *arguments], environment, own)
            tasks = [TaskResult(**json.loads(line)) for line in pathlib.Path(results.name).read_text().splitlines()]
        return Run(tasks, output, status)


def full_name(module: str) -> str:
    return module if "." in module else f"rebootless.splice.{module}"


def _task(module: str, check: bool = False, diff: bool = False, **options: t.Any) -> dict[str, t.Any]:
    return {full_name(module): options, "check_mode": check, "diff": diff, "ignore_errors": True}
