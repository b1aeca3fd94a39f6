# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two machines with the same kernel, and a controller of their own.

What befalls the first one must not reach the second one: a rollout over both has two batches, unless a test says
otherwise.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import subprocess
import typing as t

import yaml

from ansible_collections.rebootless.splice.plugins.module_utils._common.checks import normalise
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.canonical import digest_of, sealed
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import UTC, written
from ansible_collections.rebootless.splice.tests.fleet.scene import service
from ansible_collections.rebootless.splice.tests.fleet.scene.process import Process
from ansible_collections.rebootless.splice.tests.fleet.scene.updates import Harm
from ansible_collections.rebootless.splice.tests.support.builds import Builds
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import probe, text_digest
from ansible_collections.rebootless.splice.tests.support.runner import Run, Runner

SYSFS = "/sys/kernel/rebootless"
BOOT_S = 600.0
#: the states that update_info has words for
NAMED = {"matched", "applied", "confirmed", "reversed", "replaced", "failed", "absent"}
#: Only a test's soak is short: how long a visit takes depends on how busy the machine is that emulates the machines.
TIMES = {"rebootless_check_times": [0, 5], "rebootless_deadline": 600, "rebootless_task_timeout": 240}
#: Where the host will not answer: that long it is waited for, and its kernel waits about as long for the controller.
SILENT = {"rebootless_deadline": 75, "rebootless_task_timeout": 75}
CLEAN = f"""
for control in {SYSFS}/*/control; do test -e $control && echo reverse > $control; done 2>/dev/null
for module in $(grep -o '^rbl_[a-z0-9_]*' /proc/modules); do rmmod $module; done
rmmod rebootless 2>/dev/null
rm -rf /var/lib/rebootless /root/fleet-*
test ! -e {SYSFS}
"""


class Machine(Host):
    """A machine whose connection may die at any time."""

    def _ssh(self, command: str) -> list[str]:
        program, *rest = super()._ssh(command)
        return [program, "-o", "ServerAliveInterval=3", "-o", "ServerAliveCountMax=7", "-o", "ConnectTimeout=30", *rest]

    def answers(self) -> bool:
        """Whether a command can be run on it at this moment."""
        try:
            return self.run("true", check=False, timeout=60).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def wait_for_boot(self, before: str, timeout: float = 600.0) -> None:
        """Waits until it has booted anew, after the boot `before`."""
        self.wait_until(lambda: self.answers() and self.boot_id() != before, timeout)

    def power_off(self) -> None:
        """Takes the power away; what was not on the disk is lost."""
        self.machine.stop()

    def reset(self) -> None:
        """Presses the reset button."""
        with self.monitor() as monitor:
            monitor.cmd("system_reset")


class Pair:
    """`first` and `second`, and what a controller of their own does with them."""

    def __init__(self, lab: pathlib.Path, names: tuple[str, str], builds: Builds, directory: pathlib.Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._inventory = self._write_inventory(lab, names)
        self._runner = Runner(self._inventory)
        self.first, self.second = self.machines = tuple(Machine(lab, name, self._runner) for name in names)
        self.names = names
        self.builds = builds
        self._built: dict[str, dict[str, t.Any]] = {}
        self._plans: dict[str, pathlib.Path] = {}
        self._texts: dict[str, str] = {}
        self._beside: list[Process] = []
        self._runs = 0

    def _write_inventory(self, lab: pathlib.Path, names: tuple[str, str]) -> pathlib.Path:
        (group,) = yaml.safe_load((lab / "inventory.yml").read_text()).values()
        path = self.directory / "inventory.yml"
        path.write_text(yaml.safe_dump({"pair": {"hosts": {name: group["hosts"][name] for name in names}}}))
        return path

    # ---- what a test begins and ends with

    def clean(self) -> None:
        """Brings both machines to where nothing of the product is left, and remembers their kernels' text."""
        while self._beside:  # of a test that failed
            self._beside.pop().kill()
        for machine in self.machines:
            if machine.machine.pid() is None or not (machine.answers() or machine.answers()):
                machine.restart(BOOT_S)
            if machine.run(CLEAN, check=False).returncode != 0:
                machine.restart(BOOT_S)
                machine.run(CLEAN)
            boot = machine.boot_id()
            if boot not in self._texts:
                service.install(machine)
                self._texts[boot] = text_digest(machine)

    def is_untouched(self, machine: Machine) -> bool:
        """Whether the machine's running kernel is what it was before the first update, bit for bit.

        Of a kernel that was booted meanwhile only the absence of anything live can be told.
        """
        text = self._texts.get(machine.boot_id())
        if text is None:
            return machine.run("grep -q ^rbl_ /proc/modules", check=False).returncode != 0
        return text_digest(machine) == text

    # ---- what an operator does

    def update(self, harm: Harm, version: str = "1.0") -> dict[str, t.Any]:
        """Builds an update into this controller's store, once; returns it as the build playbook takes it."""
        key = f"{harm.name}-{version}"
        if key not in self._built:
            release = self.first.release
            patch = self.directory / f"{key}.patch"
            patch.write_text("".join(self.builds.patch(release, edit) for edit in harm.edits))
            update: dict[str, t.Any] = {"name": f"fleet-{harm.name}", "version": version, "patches": [str(patch)]}
            update["cves"] = ["CVE-2026-52928"]
            if harm.custom:
                code = self.directory / f"{key}.c"
                code.write_text(harm.custom)
                update["custom"] = [{"path": str(code), "source": harm.edits[0].path}]
            self.playbook("build", {"rebootless_update": update})
            self._built[key] = update
        return self._built[key]

    def plan(self, harm: Harm, **variables: t.Any) -> pathlib.Path:
        """Plans the rollout of an update over both machines, one after the other; returns the plan's path.

        The machines are asked for their kernels once for each update: all its plans have the same hosts.
        """
        if harm.name not in self._plans:
            self._plans[harm.name] = self.ask_and_plan(harm)
        plan = json.loads(self._plans[harm.name].read_text())
        options = {name.removeprefix("rebootless_"): value for name, value in {**TIMES, **variables}.items()}
        if options.pop("batches", None):
            plan["batches"] = [{"name": "1", "hosts": list(plan["hosts"])}]
            plan["hosts"] = {name: {**row, "batch": 0} for name, row in plan["hosts"].items()}
        checks = normalise(options.pop("checks", []))
        # another moment, so another digest
        plan.update(options, checks=checks, created=written(datetime.datetime.now(UTC)))
        path = self._path_of_plan()
        path.write_bytes(sealed(plan))
        return path

    def ask_and_plan(self, harm: Harm, ok: bool = True) -> pathlib.Path:
        """The same by the playbook that operators use; ``ok`` false: it must refuse."""
        path = self._path_of_plan()
        options = {"rebootless_batches": [1, "100%"], **TIMES}
        self.playbook("plan", {"rebootless_update": self.update(harm), "rebootless_plan": str(path), **options}, ok=ok)
        return path

    def _path_of_plan(self) -> pathlib.Path:
        self._runs += 1
        return self.directory / f"plan-{self._runs}.json"

    def rollout(self, plan: pathlib.Path, *arguments: str, ok: bool = True, **variables: t.Any) -> Run:
        """Rolls out, and demands success unless `ok` is false: then it must have failed."""
        run = self.playbook("rollout", {"rebootless_plan": str(plan), **variables}, *arguments, ok=ok)
        assert ok or run.status != 0, f"it should have failed:\n{run.output}"
        return run

    def revert(self, plan: pathlib.Path) -> Run:
        """Takes the update of a plan back from all machines."""
        return self.playbook("revert", {"rebootless_plan": str(plan)})

    def start_rollout(self, plan: pathlib.Path, **variables: t.Any) -> Process:
        """The same, beside the test."""
        self._runs += 1
        extra = json.dumps({**self._variables(), "rebootless_plan": str(plan), **variables})
        arguments = ["-i", str(self._inventory), "-e", extra, "rebootless.splice.rollout"]
        self._beside.append(Process(arguments, self.directory / f"rollout-{self._runs}.log"))
        return self._beside[-1]

    def playbook(self, name: str, variables: dict[str, t.Any], *arguments: str, ok: bool = True) -> Run:
        given = {**self._variables(), **variables}
        return self._runner.playbook(f"rebootless.splice.{name}", *arguments, variables=given, ok=ok)

    def _variables(self) -> dict[str, t.Any]:
        return {
            "rebootless_directory": str(self.directory / "controller"),
            "rebootless_cache": str(self.builds.cache),
            "rebootless_survey_timeout": 300,
        }

    # ---- what became of it

    def _rollout_directory(self, plan: pathlib.Path) -> pathlib.Path:
        digest = digest_of(plan.read_bytes())
        return self.directory / "controller" / "rollouts" / digest[:12]

    def evidence(self, plan: pathlib.Path) -> list[dict[str, t.Any]]:
        """The lines of evidence that are whole so far."""
        path = self._rollout_directory(plan) / "evidence.jsonl"
        if not path.exists():
            return []
        lines = path.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1]]

    def states(self, plan: pathlib.Path) -> dict[str, str]:
        """The state of each host in the rollout, as the controller has recorded it."""
        files = (self._rollout_directory(plan) / "hosts").glob("*.json")
        found = {path.stem: json.loads(path.read_text())["state"] for path in files}
        return {name: found.get(name, "pending") for name in self.names}

    def reasons(self, plan: pathlib.Path) -> dict[str, str]:
        """The code of the first thing that went wrong with each host; going back says more, later."""
        bad = [line for line in self.evidence(plan) if line["event"] == "host" and line["code"]]
        return {line["host"]: line["code"] for line in reversed(bad)}

    def live(self) -> list[list[str]]:
        """For each machine the updates whose code runs, and their state, as update_info names it."""
        play = {"hosts": "pair", "gather_facts": False, "tasks": [{"rebootless.splice.update_info": {}}]}
        path = self.directory / "look.yml"
        path.write_text(json.dumps([play]))  # which is YAML, too
        found = {row.host: row.result["updates"] for row in self._runner.playbook(str(path)).tasks}
        assert {update["state"] for updates in found.values() for update in updates} <= NAMED
        return [[f"{row['name']} {row['state']}" for row in found[name] if row["live"]] for name in self.names]

    def outcome(self, plan: pathlib.Path) -> list[tuple[str, str]]:
        """For each machine its state in the rollout, and the code of the first thing that went wrong with it."""
        states, reasons = self.states(plan), self.reasons(plan)
        return [(states[name], reasons.get(name, "")) for name in self.names]

    def untouched(self) -> list[bool]:
        """For each machine whether its kernel is what it was before the first update."""
        return [self.is_untouched(machine) for machine in self.machines]

    def probes(self) -> list[str]:
        """Whether the fix is in force, for each machine."""
        return [probe(machine) for machine in self.machines]
