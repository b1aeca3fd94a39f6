# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that were booted once and are restored for each test, in a second or two instead of a whole boot.

A snapshot is a directory of the cache, named by a digest of everything that went into it:

=================  =====================================================================================
``memory``         the machine's memory; restored machines map it privately, so they share its pages
``state``          QEMU's migration stream: processors and devices, without the memory (``x-ignore-shared``)
``root.qcow2``     the disks; restored machines write to overlays of them
``modules.qcow2``
``host_key``       the machine's SSH host key, and ``host_key.pub``
``spec.json``      what the machine was made of, so that a restored one can be restarted as any other
=================  =====================================================================================

Restored machines have the snapshot's host name, machine ID and boot ID.  Their clock is set, and their entropy pool
gets bytes of this machine.  What cannot be restored is booted instead, with a warning that pytest shows at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import time
import typing as t
import uuid
import warnings

import yaml
from qemu.qmp import QMPError

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.code_digest import source_digest
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab import machine as lab_machine
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.machine import (
    Machine,
    MachineSpec,
    machines_of,
    usable_accelerator,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support import own_kernels, preloaded
from ansible_collections.rebootless.splice.tests.support.exclusive import locked
from ansible_collections.rebootless.splice.tests.support.host import CONNECTIONS, Host
from ansible_collections.rebootless.splice.tests.support.monitor import Monitor
from ansible_collections.rebootless.splice.tests.support.reaper import watch
from ansible_collections.rebootless.splice.tests.support.runner import Runner

ROLE = pathlib.Path(__file__).resolve().parents[2] / "roles" / "lab"
FORMAT = 1  # counted up when this file makes other snapshots from the same machine
NAME = "snapshot"  # of every machine that becomes one, and so the host name of every restored machine
BOOT_S, RESTORE_S, MIGRATE_S, REFUSED_S = 300.0, 60.0, 60.0, 5.0
UNUSED_S = 24 * 3600.0  # then a snapshot is deleted: it was made from what has changed since
KEPT = ("memory", "state", "root.qcow2", "modules.qcow2", "host_key", "host_key.pub")


class SnapshotWarning(UserWarning):
    """A machine was booted, since its snapshot could not be restored."""


class Snapshots:
    """The snapshots of a cache, and the images that they are made from."""

    def __init__(self, controller: Runner, cache: pathlib.Path) -> None:
        self._controller = controller
        self._cache = cache
        self.directory = cache / "snapshots"

    @functools.cached_property
    def key(self) -> pathlib.Path:
        """The private SSH key that opens every machine which is made or restored here."""
        path = self.directory / "id_ed25519"
        with locked(path):
            if not path.exists():
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", path], check=True)
        return path

    @functools.lru_cache(maxsize=64)  # noqa: B019 - one object for the whole run
    def spec(self, release: str, turns: bool = False) -> MachineSpec:
        """What the lab's role would make a machine of by its defaults; makes the images that are missing.

        `turns`: its processors are to take turns if they are emulated (accelerator ``tcg_single``).
        """
        defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
        images = self._controller.module(
            "localhost",
            "lab_image",
            kernels=[release],
            packages=defaults["lab_packages"],
            masked_units=defaults["lab_masked_units"],
            overlay=str(ROLE / "files" / "root"),
            size=defaults["lab_root_size"],
            cache=str(self._cache),
        )
        assert not images["failed"], images
        kernel = images["kernels"][release]
        accelerator = usable_accelerator()
        return MachineSpec(
            release=release,
            vmlinuz=kernel["vmlinuz"],
            initramfs=kernel["initramfs"],
            modules=kernel["modules"],
            root_image=images["root"],
            authorized_key=self.key.with_suffix(".pub").read_text(encoding="ascii").strip(),
            cpus=defaults["lab_cpus"],
            memory_mib=own_kernels.memory(release, defaults["lab_memory"]),
            accelerator=accelerator if not turns else {"tcg": "tcg_single"}.get(accelerator, accelerator),
            on_panic=defaults["lab_on_panic"],
            kernel_arguments=[*defaults["lab_kernel_arguments"], *own_kernels.arguments(release)],
        )

    def path(self, spec: MachineSpec) -> pathlib.Path:
        """Where the snapshot of a machine is, or will be."""
        return self.directory / f"{spec.release}-{digest(spec)}"

    @contextlib.contextmanager
    def made(self, spec: MachineSpec) -> t.Iterator[pathlib.Path]:
        """The snapshot of a machine, made unless it is there."""
        path = self.path(spec)
        with locked(path):
            if not (path / "spec.json").exists():
                self._make(spec, path)
            os.utime(path)
        yield path

    def _make(self, spec: MachineSpec, path: pathlib.Path) -> None:
        for old in self.directory.glob("*/"):
            if time.time() - old.stat().st_mtime > UNUSED_S:
                shutil.rmtree(old)
        shutil.rmtree(path, ignore_errors=True)
        work = self.directory / f".{path.name}"
        with watch(str(work)):  # ends the machine, also if this run is killed
            self._make_in(work, spec, path)

    def _make_in(self, work: pathlib.Path, spec: MachineSpec, path: pathlib.Path) -> None:
        lab = Lab(work, self)
        lab.remove()
        host = lab.boot(NAME, spec, *_memory(work / "memory", spec, share=True))
        state = host.out("systemctl is-system-running --wait || true")
        assert state == "running", f"{state}: {host.out('systemctl --failed --no-legend --plain; dmesg | tail -20')}"
        preloaded.start(host)
        host.run("sync")
        host.disconnect()
        time.sleep(1)  # for the server's end of the connection
        _save(host.machine, work / "state")
        directory = pathlib.Path(host.machine.directory)
        path.mkdir()
        for name in KEPT:
            (directory / name if (directory / name).exists() else work / name).rename(path / name)
        (path / "spec.json").write_text(json.dumps(dataclasses.asdict(spec), indent=2))
        lab.remove()


class Lab:
    """A directory of machines that a test has for itself, as the lab's role lays it out.

    `turns`: as with ``Snapshots.spec``, of machines that are restored.
    """

    def __init__(self, directory: pathlib.Path, snapshots: Snapshots, turns: bool = False) -> None:
        self.directory = directory
        self._snapshots = snapshots
        self._turns = turns
        self._hosts: list[Host] = []
        self.runner = Runner(directory / "inventory.yml")

    def restore(self, name: str, release: str) -> Host:
        """A machine with a stock kernel that has just booted, from its snapshot, or booted if that fails."""
        spec = self._snapshots.spec(release, self._turns)
        with self._snapshots.made(spec) as snapshot:
            host = Host(self.directory, name, self.runner, preloaded.PYTHON)
            _lay_out(snapshot, host.machine, spec)
            try:
                memory = _memory(snapshot / "memory", spec, share=False)
                host.machine.start(spec, more=[*memory, "-incoming", "defer"])
                with host.monitor() as monitor:
                    _migrate(monitor, "migrate-incoming", f"exec:cat {shlex.quote(os.fspath(snapshot / 'state'))}")
                self._tell(host)
                _set_clock(host)
                return host
            except (RebootlessError, QMPError, OSError, EOFError, AssertionError, subprocess.TimeoutExpired) as error:
                warnings.warn(f"{release} is booted, not restored: {error!r}", SnapshotWarning, stacklevel=2)
                # QEMU that refuses a state ends soon after it has said so, and would refuse it the next time.
                with contextlib.suppress(AssertionError):
                    host.wait_until(lambda: host.machine.pid() is None, REFUSED_S)
                    (snapshot / "spec.json").unlink(missing_ok=True)
        host.machine.remove()
        return self.boot(name, spec)

    def boot(self, name: str, spec: MachineSpec, *more: str) -> Host:
        """A machine that boots."""
        host = Host(self.directory, name, self.runner)
        host.machine.start(spec, more=more)
        host.machine.come_up(BOOT_S * own_kernels.slowness())
        self._tell(host)
        return host

    def _tell(self, host: Host) -> None:
        """Writes the files by which SSH and Ansible find the machines."""
        self._hosts = [*(other for other in self._hosts if other.name != host.name), host]
        key = self.directory / "id_ed25519"
        if not key.exists():
            shutil.copy(self._snapshots.key, key)
            shutil.copy(self._snapshots.key.with_suffix(".pub"), key.with_suffix(".pub"))
        machines = [host.machine.status() for host in self._hosts]
        known = self.directory / "known_hosts"
        known.write_text("".join(f"{machine['name']} {machine['host_key']}\n" for machine in machines))
        (self.directory / "ssh_config").write_text("".join(_ssh_config(machine, key, known) for machine in machines))
        pythons = [host.interpreter for host in self._hosts]
        variables = [_variables(*one, key, known) for one in zip(machines, pythons, strict=True)]
        inventory = {"lab": {"hosts": {host.name: of for host, of in zip(self._hosts, variables, strict=True)}}}
        (self.directory / "inventory.yml").write_text(yaml.safe_dump(inventory))

    def remove(self) -> None:
        """Ends the machines, also those of a run that was killed, and deletes everything."""
        for host in self._hosts:
            host.disconnect()
        for machine in machines_of(str(self.directory)):
            machine.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._hosts = []


def digest(spec: MachineSpec) -> str:
    """Names a snapshot by what it was made of: the images, QEMU and its arguments, the lab's code, and this file."""
    version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, check=True).stdout
    files = [spec.vmlinuz, spec.initramfs, spec.modules, spec.root_image]
    made_of = [
        FORMAT,
        dataclasses.asdict(spec),
        [(os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in files],
        Machine("/lab/machine").command(spec, "uuid", 0),
        version.decode(),
        source_digest(lab_machine.__name__),
        pathlib.Path(__file__).read_text(encoding="utf-8"),
        *preloaded.version(),
        _processor() if spec.accelerator == "kvm" else "",
    ]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]


def _processor() -> str:
    """With KVM a machine has the features of the processor that it was saved on."""
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "microcode"))}))


def _memory(path: pathlib.Path, spec: MachineSpec, share: bool) -> list[str]:
    backend = f"memory-backend-file,id=ram,size={spec.memory_mib}M,mem-path={path},share={'on' if share else 'off'}"
    return ["-object", backend, "-machine", "memory-backend=ram"]


def _save(machine: Machine, state: pathlib.Path) -> None:
    """Writes the machine's state and ends it; its memory is in a file already."""
    with Monitor(machine.monitor) as monitor:
        _migrate(monitor, "migrate", f"exec:cat > {shlex.quote(os.fspath(state))}")
    machine.stop()


def _migrate(monitor: Monitor, command: str, uri: str) -> None:
    without_memory = {"capability": "x-ignore-shared", "state": True}
    monitor.cmd("migrate-set-capabilities", capabilities=[without_memory])
    monitor.cmd(command, uri=uri)
    Host.wait_until(lambda: monitor.cmd("query-migrate").get("status") in ("completed", "failed"), MIGRATE_S)
    told = monitor.cmd("query-migrate")
    assert told["status"] == "completed", told


def _lay_out(snapshot: pathlib.Path, machine: Machine, spec: MachineSpec) -> None:
    """The machine's directory, as if it had been started before."""
    directory = pathlib.Path(machine.directory)
    directory.mkdir(parents=True)
    for name in ("host_key", "host_key.pub"):
        shutil.copy(snapshot / name, directory)
    for name in ("root.qcow2", "modules.qcow2"):
        overlay = ["-b", os.fspath(snapshot / name), "-F", "qcow2", os.fspath(directory / name)]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *overlay], check=True)
    record = {"spec": dataclasses.asdict(spec), "uuid": str(uuid.uuid4())}
    (directory / "machine.json").write_text(json.dumps(record))


def _set_clock(host: Host) -> None:
    """The machine's clock stood still since it was saved, and its random numbers would repeat.

    This is the first connection: the machine is not asked before whether its server answers, since an emulated one
    takes a third of a second to start a process that greets.
    """
    told = host.start("echo ready; read now && date --set=@$now && cat > /dev/urandom")
    assert told.stdin and told.stdout
    assert told.stdout.readline() == b"ready\n"
    _out, errors = told.communicate(f"{time.time():.3f}\n".encode() + os.urandom(64), timeout=RESTORE_S)
    assert told.returncode == 0, errors


def _ssh_options(name: str, known: pathlib.Path) -> dict[str, str]:
    return {
        "HostKeyAlias": name,
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": f'"{known}"',
        "StrictHostKeyChecking": "yes",
        # A restored machine whose server does not greet is booted instead.
        "ConnectTimeout": f"{RESTORE_S:.0f}",
        # A machine that has stopped for good does not end the connection.
        "ServerAliveInterval": "30",
        "ServerAliveCountMax": "8",
        # Commands and Ansible share one connection: an emulated machine takes a second to make another.
        "ControlPath": f"{CONNECTIONS}/%C",
    }


def _ssh_config(machine: dict[str, t.Any], key: pathlib.Path, known: pathlib.Path) -> str:
    where = {"HostName": machine["ssh_host"], "Port": machine["ssh_port"], "User": "root", "IdentityFile": f'"{key}"'}
    options = {**where, **_ssh_options(machine["name"], known)}
    return f"Host {machine['name']}\n" + "".join(f"    {option} {value}\n" for option, value in options.items())


def _variables(machine: dict[str, t.Any], python: str, key: pathlib.Path, known: pathlib.Path) -> dict[str, t.Any]:
    return {
        "ansible_host": machine["ssh_host"],
        "ansible_port": machine["ssh_port"],
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": " ".join(f"-o {o}={v}" for o, v in _ssh_options(machine["name"], known).items()),
        "ansible_ssh_pipelining": True,
        "ansible_python_interpreter": python,
        "lab_kernel": machine["kernel"],
        "lab_accelerator": machine["accelerator"],
        "lab_console": machine["console"],
        "lab_monitor": machine["monitor"],
    }
