# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One QEMU machine of a lab: started, waited for, stopped.

Everything of a machine is in its directory:

==================  =====================================================================
``machine.json``    what it was made from, its port, its UUID
``root.qcow2``      its root file system, an overlay of the lab's root image
``modules.qcow2``   its kernel's modules, an overlay of the kernel's image
``initrd.cpio``     its kernel's drivers and its identity
``console.log``     its serial console, of all its starts
``qmp.sock``        its QEMU monitor (machine protocol)
``firmware.fd``     the variables of its UEFI firmware, if it has one
``system-partition``  its system partition, if it boots through shim
``host_key``        its SSH host key, and ``host_key.pub``
==================  =====================================================================

A machine is only ever signalled after its process was found to carry its UUID, so a stale pid ends nothing else.
"""

from __future__ import annotations

import contextlib
import glob
import os
import platform
import shutil
import signal
import socket
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.table import architecture
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.administration import run
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.boot_loader import (
    BootLoader,
    write_partition,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.console import (
    lost_timer,
    panic_reason,
    read_console,
    tail,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.initramfs import machine_archive
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.secure_boot import (
    firmware_arguments,
    write_variables,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, locks, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

LOOPBACK = "127.0.0.1"
GUEST_SSH_PORT = 22
STOP_TIMEOUT_S = 10.0
POLL_S = 0.25
# For one greeting: at first short, since a machine that boots drops what comes too early; then longer and longer, for
# one that is emulated on processors with much else to do.
ANSWER_S, ANSWER_MAX_S = 2.0, 30.0
# tb-size: MiB of translated code that QEMU keeps; its default is a gigabyte for each machine
ACCELERATORS = {
    "kvm": "kvm",
    "tcg": "tcg,thread=multi,tb-size=256",
    # QEMU discards its translation of code that a processor writes over before it writes, so that another one may
    # translate the old code in between, and run that for ever: a machine stood still after its kernel had switched the
    # event sched_switch on and off 68 times (QEMU 7.2.22; 10.0.2: 151 times).  Processors that take turns cannot do so.
    "tcg_single": "tcg,thread=single,tb-size=256",
}
EMULATORS = {"tcg", "tcg_single"}
# QEMU's emulation of several processors loses a timer interrupt now and then (seen with 7.2; others report it of 8.1,
# github.com/lima-vm/lima/issues/1758): the processor sleeps, and the kernel waits for it.  Such a boot never ends.
STARTS_ANEW = 2
BIOS, SECURE_BOOT, SHIM = "bios", "secure_boot", "shim"
FIRMWARE_VARIABLES, SYSTEM_PARTITION = "firmware.fd", "system-partition"
PANIC_ACTIONS = {"pause": ("pause", ()), "reboot": ("none", ("panic=-1",))}


@dataclass(frozen=True)
class MachineSpec:
    """What a machine is made of; a running machine whose spec differs has to be restarted."""

    release: str
    vmlinuz: str
    initramfs: str
    modules: str
    root_image: str
    authorized_key: str
    cpus: int = 2
    memory_mib: int = 512
    accelerator: str = "tcg"  # a key of ACCELERATORS
    on_panic: str = "pause"  # or reboot
    kernel_arguments: list[str] = field(default_factory=list)
    firmware: str = BIOS  # or SECURE_BOOT, SHIM
    certificates: list[str] = field(default_factory=list)  # PEM: whose signatures firmware with Secure Boot trusts
    owner_certificates: list[str] = field(default_factory=list)  # PEM: enrolled with shim
    boot_loader: dict[str, str] | None = None  # fields of BootLoader, with SHIM


def usable_accelerator() -> str:
    """``kvm`` where the processor has the extensions and the device opens, else ``tcg``.

    /dev/kvm alone proves nothing: nested under some hypervisors it opens, and then the machine hangs.
    """
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpuinfo:
        flags = {word for line in cpuinfo if line.startswith("flags") for word in line.split()}
    needed = architecture(platform.machine()).emulator.virtualization
    return "kvm" if flags & needed and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


class Machine:
    """A machine by its directory; its name is the directory's."""

    def __init__(self, directory: str) -> None:
        self.directory = os.path.abspath(directory)
        self.name = os.path.basename(self.directory)
        self.console = self._path("console.log")
        self.monitor = self._path("qmp.sock")

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def record(self) -> dict[str, Any]:
        """What is known of the machine since its last start; empty if there is no machine."""
        try:
            facts: dict[str, Any] = strict_json.read(self._path("machine.json"))
        except FileNotFoundError:
            return {}
        return facts

    def _write_record(self, **changes: Any) -> None:
        facts = {**self.record(), **changes}
        disk.replace(self._path("machine.json"), strict_json.exact(facts, indent=2, sort_keys=True))

    def pid(self) -> int | None:
        """The process of the machine, None if it does not run."""
        facts = self.record()
        try:
            with open(self._path("qemu.pid"), encoding="ascii") as pid_file:
                pid = int(pid_file.read())
            with open(f"/proc/{pid}/cmdline", "rb") as command:
                arguments = command.read().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if facts and facts["uuid"].encode() in arguments else None

    def panic(self) -> str | None:
        """The reason of a kernel panic since the last start, None if there was none."""
        return panic_reason(self._printed())

    def _printed(self) -> str:
        """What the machine printed since its last start."""
        return read_console(self.console, self.record().get("console_offset", 0))

    def status(self) -> dict[str, Any]:
        """The machine's state and how to reach it: the result of the modules."""
        facts = self.record()
        if not facts:
            return {"name": self.name, "state": "absent", "directory": self.directory}
        pid, panic = self.pid(), self.panic()
        return {
            "name": self.name,
            "state": self._state(pid, facts["spec"]["on_panic"], panic),
            "directory": self.directory,
            "pid": pid,
            "kernel": facts["spec"]["release"],
            "accelerator": facts["spec"]["accelerator"],
            "ssh_host": LOOPBACK,
            "ssh_port": facts["ssh_port"],
            "host_key": self._host_key(),
            "console": self.console,
            "monitor": self.monitor,
            "panic": panic,
        }

    @staticmethod
    def _state(pid: int | None, on_panic: str, panic: str | None) -> str:
        if pid is None:
            return "stopped"
        return "panicked" if panic is not None and on_panic == "pause" else "running"

    def runs(self, spec: MachineSpec) -> bool:
        """Whether the machine runs as `spec` says (also when it panicked)."""
        return self.pid() is not None and self.record().get("spec") == asdict(spec)

    def start(self, spec: MachineSpec, ssh_port: int = 0, more: Sequence[str] = ()) -> None:
        """Starts the machine, or stops it and starts it anew; its disk stays unless the root image is another one.

        `ssh_port` 0 keeps the port of the last start if it is free, else takes any free one.  `more` are arguments of
        QEMU for this start alone, such as ``["-incoming", "exec:cat state"]``.
        """
        os.makedirs(self.directory, exist_ok=True)
        with locks.locked(self._path(".lock")):  # two starts at the same time would share a disk
            self.stop()
            before = self.record()
            facts = before.get("spec", {})
            identity = before.get("uuid") or str(uuid.uuid4())
            self._overlay("root.qcow2", spec.root_image, facts.get("root_image"))
            self._overlay("modules.qcow2", spec.modules, facts.get("modules"))
            self._write_initrd(spec, identity)
            self._write_firmware(spec)
            port = ssh_port or _free_port(before.get("ssh_port", 0))
            offset = os.path.getsize(self.console) if os.path.exists(self.console) else 0
            self._write_record(spec=asdict(spec), uuid=identity, ssh_port=port, console_offset=offset)
            run([*self.command(spec, identity, port), *more], cwd=self.directory)

    def _overlay(self, name: str, image: str, image_before: str | None) -> None:
        path = self._path(name)
        if image != image_before or not os.path.exists(path):
            run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", path])

    def _write_initrd(self, spec: MachineSpec, identity: str) -> None:
        key = self._path("host_key")
        if not os.path.exists(key):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", key])
        with open(key, encoding="ascii") as private:
            host_key = private.read()
        machine_id = identity.replace("-", "")
        own = machine_archive(self.name, machine_id, spec.authorized_key, host_key, f"{self._host_key()}\n")
        with open(spec.initramfs, "rb") as shared, open(self._path("initrd.cpio"), "wb") as initrd:
            os.fchmod(initrd.fileno(), 0o600)
            shutil.copyfileobj(shared, initrd)
            initrd.write(own)

    def _write_firmware(self, spec: MachineSpec) -> None:
        """What a machine with Secure Boot starts from."""
        if spec.firmware == BIOS:
            return
        program = spec.vmlinuz
        if spec.boot_loader is not None:
            loader = BootLoader(**spec.boot_loader)
            program = loader.shim
            initrd, arguments = self._path("initrd.cpio"), self._kernel_arguments(spec)
            write_partition(self._path(SYSTEM_PARTITION), loader, spec.vmlinuz, initrd, arguments)
        emulator = architecture(platform.machine()).emulator
        variables = self._path(FIRMWARE_VARIABLES)
        write_variables(variables, emulator, program, spec.certificates, spec.owner_certificates)

    @staticmethod
    def _kernel_arguments(spec: MachineSpec) -> list[str]:
        emulator = architecture(platform.machine()).emulator
        _action, panic_arguments = PANIC_ACTIONS[spec.on_panic]
        arguments = [f"console={emulator.console}", "root=/dev/vda", "rw", "net.ifnames=0", "systemd.show_status=0"]
        return [*arguments, *panic_arguments, *spec.kernel_arguments]

    def _host_key(self) -> str:
        try:
            with open(self._path("host_key.pub"), encoding="ascii") as public:
                return public.read().strip()
        except FileNotFoundError:
            return ""

    def command(self, spec: MachineSpec, identity: str, port: int) -> list[str]:
        """QEMU's arguments for the machine with this UUID, whose SSH server is reached by this port."""
        # Kernels come from this host's package sources, so that they are for its architecture.
        emulator = architecture(platform.machine()).emulator
        panic_action, _arguments = PANIC_ACTIONS[spec.on_panic]
        command = [emulator.program, "-name", self.name, "-uuid", identity]
        command += ["-no-user-config", "-nodefaults", "-display", "none", "-machine", emulator.machine]
        command += ["-accel", ACCELERATORS[spec.accelerator], "-cpu", "max"]
        command += ["-smp", str(spec.cpus), "-m", str(spec.memory_mib)]
        if spec.firmware != BIOS:
            command += firmware_arguments(emulator, self._path(FIRMWARE_VARIABLES))
        if spec.firmware != SHIM:
            arguments = " ".join(self._kernel_arguments(spec))
            command += ["-kernel", spec.vmlinuz, "-initrd", "initrd.cpio", "-append", arguments]
        for name in ("root", "modules"):
            # An absolute path: QEMU opens it again when it hands the disk over, and is in another directory by then.
            path = self._path(f"{name}.qcow2").replace(",", ",,")
            command += ["-drive", f"file={path},if=none,id={name},cache=unsafe,discard=unmap"]
            command += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
        if spec.firmware == SHIM:  # after the others, whose names do not depend on it
            place = self._path(SYSTEM_PARTITION).replace(",", ",,")
            command += ["-drive", f"if=none,id=system,readonly=on,format=raw,file.driver=vvfat,file.dir={place}"]
            command += ["-device", "virtio-blk-pci,drive=system,bootindex=0"]
        forward = f"hostfwd=tcp:{LOOPBACK}:{port}-:{GUEST_SSH_PORT}"
        # restrict: the machine reaches nothing outside, only the forwarded port leads in
        command += ["-netdev", f"user,id=network,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=network"]
        command += ["-device", "pvpanic-pci", "-action", f"panic={panic_action}"]
        command += ["-chardev", "file,id=console,path=console.log,append=on", "-serial", "chardev:console"]
        command += ["-qmp", "unix:qmp.sock,server=on,wait=off", "-pidfile", "qemu.pid", "-daemonize"]
        return command

    def stop(self) -> bool:
        """Switches the machine off, at once.  Returns whether it was on."""
        pid = self.pid()
        if pid is None:
            return False
        _signal(pid, signal.SIGTERM)  # QEMU ends cleanly
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.pid() == pid:
            if time.monotonic() > deadline:
                _signal(pid, signal.SIGKILL)
            time.sleep(POLL_S / 5)
        return True

    def remove(self) -> bool:
        """Switches the machine off and deletes it.  Returns whether there was one."""
        if not self.record():
            return False
        self.stop()
        shutil.rmtree(self.directory)
        return True

    def wait(self, timeout: float) -> float:
        """Waits until the machine's SSH server answers; returns the seconds that it took.

        Raises ``RebootlessError`` `machine_panicked`, `machine_exited`, `machine_lost_timer` or `machine_timeout`.
        """
        begin = time.monotonic()
        patience = ANSWER_S
        while not _ssh_answers(self.record()["ssh_port"], patience):
            patience = min(2 * patience, ANSWER_MAX_S)
            self.check()
            if time.monotonic() - begin > timeout:
                raise self._failure("machine_timeout", f"did not answer by SSH within {timeout:g} seconds")
            time.sleep(POLL_S)
        return time.monotonic() - begin

    def come_up(self, timeout: float) -> tuple[float, int]:
        """Waits as `wait` does, and starts the machine anew where the emulator lost a timer interrupt of its boot.

        Returns the seconds that it took and how often the machine was started anew.  Raises as `wait` does.
        """
        begin = time.monotonic()
        for anew in range(STARTS_ANEW + 1):
            try:
                self.wait(timeout - (time.monotonic() - begin))
                return time.monotonic() - begin, anew
            except RebootlessError as error:
                if error.code != "machine_lost_timer" or anew == STARTS_ANEW:
                    raise
            self.start(MachineSpec(**self.record()["spec"]))
        raise AssertionError("the last turn returns or raises")

    def check(self) -> None:
        """Raises ``RebootlessError`` if the machine stands still after a panic, lost a timer or does not run."""
        panic = self.panic()
        if panic is not None and self.record()["spec"]["on_panic"] == "pause":
            raise self._failure("machine_panicked", f"panicked: {panic}")
        if self.pid() is None:
            raise self._failure("machine_exited", "does not run")
        if self.record()["spec"]["accelerator"] in EMULATORS and lost_timer(self._printed()):
            raise self._failure("machine_lost_timer", "waits for a timer interrupt that the emulator lost")

    def _failure(self, code: str, what: str) -> RebootlessError:
        return RebootlessError(
            code,
            f"Machine {self.name} {what}.",
            "Read its serial console; start it again with state restarted.",
            machine=self.name,
            console=self.console,
            panic=self.panic(),
            tail=tail(self._printed()),
        )


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            # so that a port whose last connection only lingers counts as free, as it does for QEMU
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RebootlessError("no_free_port", "No loopback port is free.", "End programs that hold ports, then try again.")


def _ssh_answers(port: int, timeout: float) -> bool:
    # QEMU accepts the connection long before the machine does: only the server's greeting proves anything.
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def machines_of(directory: str) -> list[Machine]:
    """The machines of the lab in a directory, by name; none if there is no lab."""
    records = glob.glob(os.path.join(glob.escape(os.path.abspath(directory)), "*", "machine.json"))
    return [Machine(os.path.dirname(record)) for record in sorted(records)]
