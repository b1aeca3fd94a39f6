# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet for the gates: real ansible-playbook runs with local connections, where only the module on the target is
replaced by one that does what the test wrote down for its host.  It says nothing about kernels.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import typing as t

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles, directory_of
from ansible_collections.rebootless.splice.tests.support import ansible_server
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION

BIN = pathlib.Path(sys.executable).parent
SPLICE = "ansible_collections/rebootless/splice"
STARTED = "started"  # file that a module makes which then waits until it is gone

# Its world is a directory: <host>.json says what to answer to a step instead of that all is well, asked has the steps.
MODULE = r"""#!/usr/bin/python
import json, os, time
from ansible.module_utils.basic import AnsibleModule

GOOD = {"preflight": "matched", "apply": "applied", "confirm": "confirmed", "reverse": "reversed"}
OPTIONS = ("name", "version", "plan", "package", "url", "digest", "build_id", "reason", "deadline")

module = AnsibleModule(
    argument_spec={
        "step": {"type": "str"},
        "checks": {"type": "list", "elements": "dict"},
        "check_times": {"type": "list", "elements": "int"},
        "fixed_in": {"type": "list", "elements": "str"},
        "persist": {"type": "bool"},
        "retry": {"type": "bool"},
        "remove": {"type": "bool"},
        **{name: {"type": "int"} for name in ("size", "tries")},
        **{name: {"type": "str"} for name in (*OPTIONS, "metrics_directory", "state_directory")},
        **{name: {"type": "str"} for name in ("blockers", "isolated_cpus")},
        "deadline": {"type": "int"},
    },
    supports_check_mode=True,
)
step = module.params["step"]
world, host, _tmp = module._remote_tmp.rsplit("/", 2)
with open(f"{world}/asked", "a") as asked:
    asked.write(json.dumps([host, step, {name: module.params[name] for name in OPTIONS}]) + "\n")
package = module.params["package"]
if package and not os.path.exists(package):
    module.fail_json(msg="the package did not arrive")
answers = json.load(open(f"{world}/{host}.json")) if os.path.exists(f"{world}/{host}.json") else {}
answer = answers.get(step, {})
time.sleep(answer.get("slow", 0))
if answer.get("full"):
    os.unlink(answer["full"])
    os.symlink("/dev/full", answer["full"])
if answer.get("hang"):
    open(f"{world}/started", "w").close()
    while os.path.exists(f"{world}/started"):
        time.sleep(0.2)
if answer.get("no_place") and os.environ.get("TMPDIR") != "/dev/shm":
    raise SystemExit("FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp', '/root']")
if answer.get("crash"):
    raise SystemExit("Segmentation fault")
state = answer.get("state", GOOD[step])
kernel = {"failed": "reversed"}.get(state, state)
module.exit_json(**{"state": state, "kernel_state": kernel, "changed": True, "boot_id": "b", **answer})
"""


@functools.cache
def collections() -> pathlib.Path:
    """Where the collection is whose module on the target is replaced; of all tests of a process.

    Python compiles it once, since it keeps what it compiles by its path.
    """
    made = pathlib.Path(tempfile.mkdtemp(prefix="loop-back-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    collection = made / SPLICE
    collection.mkdir(parents=True)
    for name in ("roles", "playbooks", "meta", "galaxy.yml"):
        (collection / name).symlink_to(COLLECTION / name)
    shutil.copytree(COLLECTION / "plugins", collection / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    (collection / "plugins/modules/rollout_host.py").write_text(MODULE)
    return made


class Fleet:
    """Hosts ``web1`` … in batches of the given sizes; other fields of the plan by name."""

    def __init__(self, directory: pathlib.Path, plan: dict[str, t.Any]) -> None:
        self.directory = directory
        self.base = directory / "controller"
        self.world = directory / "world"
        self.world.mkdir(parents=True)
        self.plan = plan
        self._make_store()
        self.plan_path = directory / "plan.json"
        self.plan_path.write_bytes(canonical.sealed(plan))
        self.inventory = directory / "inventory.json"
        self.set_inventory()

    def change(self, edit: t.Callable[[dict[str, t.Any]], object]) -> None:
        """Writes the plan anew after `edit` has changed it."""
        edit(self.plan)
        self.plan_path.write_bytes(canonical.sealed(self.plan))

    @property
    def files(self) -> RunFiles:
        return RunFiles(directory_of(str(self.base), canonical.digest_of(self.plan_path.read_bytes())))

    def set_inventory(self, **hosts: dict[str, t.Any]) -> None:
        """Writes the inventory; ``hosts`` have variables of their own."""
        variables = {
            name: {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "ansible_remote_tmp": f"{self.world}/{name}/tmp",
                **hosts.get(name, {}),
            }
            for name in self.plan["hosts"]
        }
        self.inventory.write_text(json.dumps({"all": {"hosts": variables}}))

    def answers(self, host: str, **steps: dict[str, t.Any]) -> None:
        """What the host's module answers to a step: ``apply={"state": "failed", "code": …}``, ``slow`` (seconds),
        ``full`` (a file that cannot be written to from then on), ``hang``, ``crash``."""
        (self.world / f"{host}.json").write_text(json.dumps(steps))

    def asked(self, step: str | None = None) -> list[str]:
        """Which hosts were asked for a step, in order; without a step ``host step``."""
        path = self.world / "asked"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [row[0] if step else f"{row[0]} {row[1]}" for row in rows if step in (None, row[1])]

    def options(self, step: str) -> list[dict[str, t.Any]]:
        """The options that the hosts got for a step, in the order of ``asked``."""
        rows = [json.loads(line) for line in (self.world / "asked").read_text().splitlines()]
        return [row[2] for row in rows if row[1] == step]

    def states(self) -> dict[str, str]:
        """The states of all hosts of the plan in the controller's files."""
        return {host: record.state for host, record in self.files.records(self.plan["hosts"]).items()}

    def events(self) -> list[str]:
        """The events of the evidence that are not of single hosts."""
        return [line["event"] for line in evidence.read(self.files.evidence) if line["event"] != "host"]

    def command(self, playbook: str, *arguments: str, **variables: t.Any) -> list[str]:
        extra = {"rebootless_directory": str(self.base), "rebootless_plan": str(self.plan_path), **variables}
        extra = {name: value for name, value in extra.items() if value is not None}
        path = collections() / SPLICE / "playbooks" / f"{playbook}.yml"
        inventory = ["-i", str(self.inventory)]
        return [str(BIN / "ansible-playbook"), *inventory, str(path), "-e", json.dumps(extra), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
            "ANSIBLE_COLLECTIONS_PATH": str(collections()),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_LOCAL_TEMP": str(collections() / "tmp"),
        }

    def run(self, playbook: str, *arguments: str, **variables: t.Any) -> subprocess.CompletedProcess[str]:
        program, *given = self.command(playbook, *arguments, **variables)
        status, output = ansible_server.run(pathlib.Path(program).name, given, self.environment, {})
        return subprocess.CompletedProcess([program, *given], status, output)

    def start(self, playbook: str, *arguments: str, **variables: t.Any) -> subprocess.Popen[bytes]:
        """A run that goes on, in a process group of its own."""
        return subprocess.Popen(
            self.command(playbook, *arguments, **variables),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _make_store(self) -> None:
        update = self.plan["update"]
        self.plan["store"] = str(self.directory / "store")
        place = self.directory / "store" / update["name"] / update["version"]
        place.mkdir(parents=True)
        (place / "manifest.json").write_bytes(b"{}\n")
        update["manifest_sha256"] = canonical.sha256(b"{}\n")
        for host in self.plan["hosts"].values():
            content = host["package"].encode()
            (place / host["package"]).write_bytes(content)
            host.update(sha256=canonical.sha256(content), size=len(content))


def plan_with(sizes: t.Sequence[int], sample: dict[str, t.Any], **changes: t.Any) -> dict[str, t.Any]:
    """A plan of batches of these sizes, with the hosts ``web1`` and so on, which soaks for no time."""
    names = iter(f"web{number}" for number in range(1, sum(sizes) + 1))
    batches = [{"name": f"b{i}", "hosts": list(itertools.islice(names, size))} for i, size in enumerate(sizes)]
    host = next(iter(sample["hosts"].values()))
    hosts = {
        name: {**host, "batch": number, "ring": batch["name"]}
        for number, batch in enumerate(batches)
        for name in batch["hosts"]
    }
    settled = {"check_times": [0], "left_out": {}, "freezes": [], "task_timeout": 300}
    return {**sample, **settled, "hosts": hosts, "batches": batches, **changes}
