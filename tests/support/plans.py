# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of rollouts for the lab's machines, with an update store of their own."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import typing as t

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles, directory_of
from ansible_collections.rebootless.splice.tests.support.builds import BuiltUpdate
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.runner import BIN, Run, Runner

# What a plan has besides its hosts, unless a test says otherwise: a short soak, and no room for failures.
SETTINGS: dict[str, t.Any] = {
    "created": "2026-11-23T12:00:00Z",
    "created_by": "operator@controller",
    "expires": None,
    "store_url": None,
    "left_out": {},
    "checks": [],
    "check_times": [0, 4],
    "deadline": 600,
    "task_timeout": 300,
    "failure_budget": {"hosts": 0, "percent": 0},
    "revert_scope": "batch",
    "concurrency": 0,
    "persist": False,
    "windows": [],
    "freezes": [],
    "policy": {"uncovered": "report"},
    "tries": 11,
    "metrics_directory": None,
    "approvals": {"required": 0},
}


@dataclasses.dataclass(frozen=True)
class PlanFile:
    """A plan and the directory of the operator; runs playbooks with both."""

    path: pathlib.Path
    base: pathlib.Path
    inventory: pathlib.Path

    @property
    def files(self) -> RunFiles:
        return RunFiles(directory_of(str(self.base), canonical.digest_of(self.path.read_bytes())))

    def states(self) -> dict[str, str]:
        """What the controller has of each host."""
        hosts = json.loads(self.path.read_text())["hosts"]
        return {host: record.state for host, record in self.files.records(hosts).items()}

    def lines(self, **wanted: t.Any) -> list[dict[str, t.Any]]:
        """The lines of evidence that have these values."""
        rows = evidence.read(self.files.evidence)
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    def run(self, playbook: str, *arguments: str, **variables: t.Any) -> Run:
        runner = Runner(self.inventory)
        return runner.playbook(
            f"rebootless.splice.{playbook}", *arguments, variables=_given({**self._variables, **variables}), ok=False
        )

    def start(self, playbook: str) -> subprocess.Popen[bytes]:
        """A run that goes on, in a process group of its own."""
        return subprocess.Popen(
            [
                os.fspath(BIN / "ansible-playbook"),
                "-i",
                os.fspath(self.inventory),
                f"rebootless.splice.{playbook}",
                "-e",
                json.dumps(self._variables),
            ],
            env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def _variables(self) -> dict[str, t.Any]:
        return {"rebootless_directory": str(self.base), "rebootless_plan": str(self.path)}


def _given(variables: dict[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in variables.items() if value is not None}


def write_plan(
    directory: pathlib.Path,
    inventory: pathlib.Path,
    batches: t.Sequence[t.Sequence[Host]],
    built: t.Mapping[str, BuiltUpdate],
    **settings: t.Any,
) -> PlanFile:
    """A plan for these hosts, and a store with the builds (by release) for it, below ``directory``."""
    name, version = (str(next(iter(built.values())).result[key]) for key in ("name", "version"))
    place = directory / "store" / name / version
    place.mkdir(parents=True, exist_ok=True)
    (place / "manifest.json").write_bytes(b"{}\n")
    for update in built.values():
        (place / pathlib.Path(update.result["package"]).name).write_bytes(update.content)
    hosts = {
        host.name: {
            "release": host.release,
            "build_id": built[host.release].result["build_id"],
            "arch": "x86_64",
            "batch": number,
            "ring": f"batch-{number}",
            "package": pathlib.Path(built[host.release].result["package"]).name,
            "sha256": built[host.release].digest,
            "size": len(built[host.release].content),
            "windows": [],
            "timezone": "UTC",
        }
        for number, batch in enumerate(batches)
        for host in batch
    }
    plan = {
        "format": 1,
        "kind": "rollout",
        "update": {
            "name": name,
            "version": version,
            "cves": ["CVE-2026-52928"],
            "fixed_in": {},
            "manifest_sha256": canonical.sha256(b"{}\n"),
        },
        "store": str(directory / "store"),
        "hosts": hosts,
        "batches": [
            {"name": f"batch-{number}", "hosts": [host.name for host in batch]} for number, batch in enumerate(batches)
        ],
        **SETTINGS,
        **settings,
    }
    content = canonical.sealed(plan)
    path = directory / f"plan-{canonical.digest_of(content)[:12]}.json"
    path.write_bytes(content)
    return PlanFile(path, directory / "operator", inventory)
