# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine of the lab on which many updates are tried, one after the other, until one of them breaks it."""

from __future__ import annotations

import base64
import json
import pathlib
import queue
import re
import subprocess
import threading
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot.archive import make_archive
from ansible_collections.rebootless.splice.tests.support import own_kernels
from ansible_collections.rebootless.splice.tests.support.complaints import complaints
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.runner import Runner

COLLECTION = pathlib.Path(__file__).resolve().parents[2]
GUEST = "ansible_collections.rebootless.splice.tests.corpus.guest"
ARCHIVE = "/run/coverage.zip"
BOOT_TIMEOUT = 300  # seconds, as the lab's role has it
READY_TIMEOUT = 300  # seconds until the agent has started,
STEP_TIMEOUT = 300  # and that one step may take
MEMORY = 1024  # MiB
KERNEL_ARGUMENTS = ["oops=panic"]  # so that it is clear which update was the cause
MAIN = """\
import sys

if sys.argv[1:2] == ["load"]:
    from {package}.load import main
else:
    from {package}.__main__ import main
sys.exit(main(*sys.argv[2:]))
"""
AGENT = "\n--- the agent:\n"
CRASH = re.compile(r"(?:BUG:|Oops:|Kernel panic|WARNING:|general protection|RIP:|stall)[^\r\n]*")


class MachineLost(Exception):
    """The machine died or hangs; ``step`` is what it was at, ``console`` its last words."""

    def __init__(self, what: str, step: str, console: str) -> None:
        reason = CRASH.search(console)
        super().__init__(f"{what} at the step '{step}'" + (f": {reason.group(0).strip()}" if reason else ""))
        self.step, self.console = step, console

    def __str__(self) -> str:
        lines = self.console.partition(AGENT)[2].strip().splitlines()
        return super().__str__() + (f" ({lines[-1]})" if lines else "")


def archive() -> bytes:
    """The agent and what it needs of the product's target side, as a zip file that Python runs."""
    return make_archive(MAIN.format(package=GUEST), f"{GUEST}.load", f"{GUEST}.__main__")


class Bench:
    """One machine of its own lab.  It is booted when it is first needed, and again after it was lost."""

    def __init__(self, lab: str, cache: pathlib.Path, kernel: str) -> None:
        self._lab, self._cache, self._kernel = lab, cache, kernel
        self._variables = {"lab_name": lab, "lab_cache": str(cache)}
        self._agent: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._host: Host | None = None
        self.boots = 0
        self._read = 0  # of the console
        self.stopped = False  # set from another thread, ends all that goes on here
        self.tried: list[str] = []  # since the last boot

    @property
    def is_up(self) -> bool:
        return self._agent is not None

    def up(self) -> None:
        """Boots the machine, unless it runs, and starts the agent on it; raises ``MachineLost``."""
        for last in (False, False, True):
            if self._agent is not None:
                return
            if self.stopped:
                raise MachineLost("The machine is not wanted any more", "start", "")
            try:
                self._boot()
            except (MachineLost, RebootlessError):
                if last or self.stopped:
                    raise

    def _boot(self) -> None:
        if self._host is None:
            memory = max(MEMORY, own_kernels.memory(self._kernel, MEMORY))
            arguments = [*KERNEL_ARGUMENTS, *own_kernels.arguments(self._kernel)]
            wanted = [{"name": "machine", "kernel": self._kernel, "memory": memory}]
            limit = {"lab_timeout": int(BOOT_TIMEOUT * own_kernels.slowness())}
            variables = {"lab_hosts": wanted, "lab_kernel_arguments": arguments, **limit, **self._variables}
            Runner().playbook("rebootless.splice.lab_up", variables=variables)
            directory = self._cache / "lab" / self._lab
            self._host = Host(directory, "machine", Runner(directory / "inventory.yml"))
        if self.boots:
            self._host.restart()
        self.boots += 1
        self.tried = []
        self._host.write(ARCHIVE, archive())
        self._agent = self._host.start(f"exec /usr/bin/python3 -u {ARCHIVE}")
        self._answers = queue.Queue()
        threading.Thread(target=self._listen, args=(self._agent, self._answers), daemon=True).start()
        self._next("start", READY_TIMEOUT)
        self._read = len(self._host.console())

    @staticmethod
    def _listen(agent: subprocess.Popen[bytes], answers: queue.Queue[bytes]) -> None:
        for line in agent.stdout or ():
            answers.put(line)
        answers.put(b"")

    def complaints(self) -> list[str]:
        """The lines of its console that belong to the kernel's reports, from where this was last asked on."""
        console = t.cast(Host, self._host).console()
        new, self._read = console[self._read :], len(console)
        return complaints(new)

    def down(self) -> None:
        """Stops the agent; the machine is booted anew when it is needed again."""
        if self._agent is not None:
            self._agent.kill()
            self._agent.wait()
            self._agent = None

    def remove(self) -> None:
        """Removes the machine with its lab."""
        self.down()
        if self._host is not None:
            self._host.machine.stop()  # it does not run on, even if the rest fails
            Runner().playbook("rebootless.splice.lab_down", variables=self._variables, ok=False)

    def obey(self, order: dict[str, t.Any], say: t.Callable[[str], None]) -> dict[str, t.Any]:
        """What the agent answers to an order; raises ``MachineLost``."""
        self.up()
        self.tried.append(order["name"])
        step = "begin"
        try:
            agent = t.cast("subprocess.Popen[bytes]", self._agent)
            pipe = t.cast(t.IO[bytes], agent.stdin)
            pipe.write(json.dumps(order).encode() + b"\n")
            pipe.flush()
            while True:
                answer = self._next(step, STEP_TIMEOUT)
                if "done" in answer:
                    return t.cast("dict[str, t.Any]", answer["done"])
                step = answer["step"]
                say(step)
        except BrokenPipeError as error:
            raise self._lost("The machine's agent ended", step) from error

    def _next(self, step: str, timeout: float) -> dict[str, t.Any]:
        host = t.cast(Host, self._host)
        end = time.monotonic() + timeout * own_kernels.slowness()
        while time.monotonic() < end and not self.stopped:
            try:
                line = self._answers.get(timeout=1)
            except queue.Empty:
                if (panic := host.panic()) is not None:
                    raise self._lost(f"The machine panicked ({panic})", step) from None
                continue
            if not line:
                raise self._lost("The machine's agent ended", step)
            return t.cast("dict[str, t.Any]", json.loads(line))
        raise self._lost(f"The machine did not answer for {timeout:g} seconds", step)

    def _lost(self, what: str, step: str) -> MachineLost:
        if not self.stopped:
            time.sleep(1)  # for the last words
        lost = MachineLost(what, step, t.cast(Host, self._host).console()[-12000:])
        errors = b""
        if self._agent is not None and self._agent.poll() is not None and self._agent.stderr is not None:
            errors = self._agent.stderr.read()[-2000:]
        if errors.strip():
            lost.console += f"{AGENT}{errors.decode(errors='replace')}"
        self.down()
        return lost


def order(
    name: str,
    package: pathlib.Path,
    program: bytes,
    update_module: str,
    facts: dict[str, t.Any],
    load: float,
    witness: str = "",
) -> dict[str, t.Any]:
    """The order to try a package, for ``Bench.obey``; ``facts`` are the build's."""
    rows = facts["functions"]
    data = [row for row in facts["data"] if row["change"] == "exchanged"]
    changed = [(row["object"], row["name"]) for row in rows if row["change"] == "changed"]
    objects = {row["object"] for row in [*rows, *data]} - {"vmlinux"}
    return {
        "name": name,
        "package": base64.b64encode(package.read_bytes()).decode(),
        "program": base64.b64encode(program).decode(),
        "update_module": update_module,
        "modules": sorted(row.replace("-", "_") for row in objects),
        "functions": changed,
        "data": [(row["object"], row["name"]) for row in data],
        "late": False,
        "busy": False,
        "witness": witness,
        "load": load,
    }
