# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine of the lab as tests see it."""

from __future__ import annotations

import atexit
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.console import read_console
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.machine import Machine, MachineSpec
from ansible_collections.rebootless.splice.tests.support import own_kernels
from ansible_collections.rebootless.splice.tests.support.gdb import Debugger
from ansible_collections.rebootless.splice.tests.support.monitor import Monitor
from ansible_collections.rebootless.splice.tests.support.runner import Runner

TIMEOUT_S = 120
# A socket's path holds 107 bytes, so it cannot be in the lab's directory.
CONNECTIONS = tempfile.mkdtemp(prefix="rbl-")
atexit.register(shutil.rmtree, CONNECTIONS, ignore_errors=True)


class Host:
    """One machine: commands by SSH, the collection's modules, its console and its monitor."""

    def __init__(self, lab: pathlib.Path, name: str, runner: Runner, interpreter: str = "/usr/bin/python3") -> None:
        self.name = name
        self.machine = Machine(str(lab / name))
        self._ssh_config = lab / "ssh_config"
        self.runner = runner
        self.interpreter = interpreter

    @property
    def release(self) -> str:
        """The release of the kernel that it was started with."""
        return str(self.machine.record()["spec"]["release"])

    # ---- commands and files

    def run(
        self, command: str, *, check: bool = True, stdin: bytes = b"", timeout: float = TIMEOUT_S
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a shell command as root; `check` demands that it succeeds."""
        limit = timeout * own_kernels.slowness()
        done = subprocess.run(self._ssh(command), input=stdin, capture_output=True, timeout=limit, check=False)
        if check:
            assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}"
        return done

    def out(self, command: str, **options: t.Any) -> str:
        """What a shell command prints, without white space around it."""
        return self.run(command, **options).stdout.decode().strip()

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """A shell command that goes on; its input and output are pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self._ssh(command), stdin=pipe, stdout=pipe, stderr=pipe)

    def python(self, script: str, **options: t.Any) -> str:
        """What a Python script prints on the host."""
        return self.out(self.interpreter, stdin=script.encode(), **options)

    def put(self, source: pathlib.Path, destination: str) -> None:
        """Copies a file to the host."""
        self.write(destination, source.read_bytes())

    def write(self, destination: str, content: bytes) -> None:
        """Makes a file on the host."""
        self.run(f"cat > {shlex.quote(destination)}", stdin=content)

    def read(self, source: str) -> bytes:
        """A file of the host, also of sysfs."""
        return self.run(f"cat {shlex.quote(source)}").stdout

    def _ssh(self, command: str) -> list[str]:
        # one connection for all commands: an emulated machine takes half a second to make another
        share = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60"]
        share += ["-o", f"ControlPath={CONNECTIONS}/%C"]
        return ["ssh", "-F", str(self._ssh_config), "-o", "BatchMode=yes", *share, self.name, command]

    def disconnect(self) -> None:
        """Ends the connection that commands share."""
        if self._ssh_config.exists():
            stop = [*self._ssh("")[:-2], "-O", "exit", self.name]
            subprocess.run(stop, capture_output=True, timeout=TIMEOUT_S, check=False)

    # ---- Ansible

    def module(self, name: str, /, **options: t.Any) -> dict[str, t.Any]:
        """Runs a module of the collection (or any, by its full name) on the host; see `Runner.module`."""
        return self.runner.module(self.name, name, **options)

    def tasks(self, *tasks: dict[str, t.Any]) -> list[dict[str, t.Any]]:
        """Runs several modules in one play on the host; see `Runner.tasks`."""
        return self.runner.tasks(self.name, tasks)

    # ---- the machine

    def boot_id(self) -> str:
        """Changes with every boot."""
        return self.out("cat /proc/sys/kernel/random/boot_id")

    def console(self) -> str:
        """What the serial console printed since the machine was started."""
        return read_console(self.machine.console, self.machine.record().get("console_offset", 0))

    def panic(self) -> str | None:
        """The reason of a kernel panic, None if there was none."""
        return self.machine.panic()

    def wait_for_panic(self, timeout: float = 30.0) -> str:
        """Waits until the console tells a panic and returns its reason."""
        return self.wait_until(self.machine.panic, timeout)

    def monitor(self) -> Monitor:
        """The QEMU monitor, to be used with ``with``."""
        return Monitor(self.machine.monitor)

    def debugger(self) -> Debugger:
        """A debugger that stops the machine, to be used with ``with``."""
        return Debugger(self.machine.monitor)

    def symbol(self, name: str) -> int:
        """The address of a kernel symbol that stands for one address."""
        (line,) = self.out(f"grep -E ' {name}(\\s|$)' /proc/kallsyms").splitlines()
        return int(line.split()[0], 16)

    def restart(self, timeout: float = 180.0) -> None:
        """Switches the machine off and on again; its disk stays."""
        self.machine.start(MachineSpec(**self.machine.record()["spec"]))
        self.machine.come_up(timeout * own_kernels.slowness())

    @staticmethod
    def wait_until(condition: t.Callable[[], t.Any], timeout: float = 30.0) -> t.Any:
        """Waits until `condition` returns something true, and returns that."""
        deadline = time.monotonic() + timeout * own_kernels.slowness()
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not within {timeout:g} s"
            time.sleep(0.1)
        return found
