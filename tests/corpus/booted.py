# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel memory of machines that have just booted, on any processor that QEMU knows and with any kernel parameters."""

from __future__ import annotations

import collections
import dataclasses
import gzip
import pathlib
import shutil
import subprocess
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.cpio import CpioArchive
from ansible_collections.rebootless.splice.tests.support.monitor import Monitor

START = 0xFFFFFFFF81000000  # __START_KERNEL without KASLR,
PHYSICAL_START = 0x1000000  # CONFIG_PHYSICAL_START
PAGE = 0x1000
TIMEOUT = 240  # seconds; the machine is emulated
READY = b"symbols are written"
VULNERABILITY = "vulnerability "  # begins a line of the console

INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox stty -F /dev/ttyS1 raw -opost
/bin/busybox gzip -1 -c /proc/kallsyms >/dev/ttyS1
cd /sys/devices/system/cpu/vulnerabilities
/bin/busybox grep . * | /bin/busybox sed 's/^/{VULNERABILITY}/'
/bin/busybox sleep 1
echo {READY.decode()}
/bin/busybox sleep 1000000
"""


@dataclasses.dataclass(frozen=True)
class Machine:
    """What to boot on: a processor model of QEMU, how many of them, and kernel parameters."""

    processor: str = "max"
    count: int = 2
    parameters: str = ""

    @classmethod
    def parse(cls, text: str) -> Machine:
        """From ``PROCESSOR[:COUNT[:PARAMETERS]]``."""
        processor, count, parameters = [*text.split(":", 2), "", ""][:3]
        return cls(processor, int(count or 2), parameters)

    def __str__(self) -> str:
        return " ".join(f"{self.processor} x {self.count} {self.parameters}".split())


class KernelMemory:
    """A booted kernel's text and data, and its symbols: a target for ``Matcher``.

    ``pages`` holds more of its memory: what the kernel has allocated for code, by address; ``vulnerabilities`` what
    sysfs says of them.
    """

    def __init__(
        self, memory: bytes, table: t.Mapping[str, list[int]], pages: t.Mapping[int, bytes] | None = None
    ) -> None:
        self._memory, self._table, self.pages = memory, table, pages or {}
        self.vulnerabilities: dict[str, str] = {}

    def prefetch(self, names: set[tuple[str, str]]) -> None:
        """Everything has been read."""

    def read(self, address: int, length: int) -> bytes | None:
        start = address - START
        if 0 <= start <= len(self._memory) - length:
            return self._memory[start : start + length]
        page, offset = self.pages.get(address & -PAGE, b""), address % PAGE
        return page[offset : offset + length] if offset + length <= len(page) else None

    def lookup(self, name: str, object_name: str) -> list[int]:
        return self._table.get(name, [])


def boot(vmlinuz: str | pathlib.Path, directory: pathlib.Path, machine: Machine) -> KernelMemory:
    """Boots the kernel with nothing but a shell, and returns its memory; files go to ``directory``."""
    for name in ("console", "symbols", "memory", "monitor"):
        (directory / name).unlink(missing_ok=True)
    (directory / "initrd").write_bytes(initial_root())
    command = [
        *("qemu-system-x86_64", "-accel", "tcg", "-cpu", machine.processor, "-smp", str(machine.count), "-m", "256"),
        *("-kernel", str(vmlinuz), "-initrd", "initrd", "-display", "none", "-no-reboot"),
        *("-append", f"console=ttyS0 nokaslr panic=-1 {machine.parameters}"),
        *("-serial", "file:console", "-serial", "file:symbols", "-qmp", "unix:monitor,server=on,wait=off"),
    ]
    with (directory / "qemu.log").open("wb") as log:  # warns of every feature that it does not emulate
        qemu = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(directory / "console", qemu)
        table = read_symbols(directory / "symbols")
        with Monitor(directory / "monitor") as monitor:
            monitor.cmd("stop")
            monitor.human(f"pmemsave {PHYSICAL_START:#x} {table['_end'][0] - START:#x} memory")
    finally:
        qemu.kill()
        qemu.wait()
    memory = KernelMemory((directory / "memory").read_bytes(), table)
    for line in (directory / "console").read_text(errors="replace").splitlines():
        if line.startswith(VULNERABILITY):
            name, _colon, words = line[len(VULNERABILITY) :].partition(":")
            memory.vulnerabilities[name] = words
    return memory


def initial_root() -> bytes:
    """An archive with a shell that sends the kernel's symbols to the second serial port."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("busybox, statically linked, is needed to boot a kernel")
    archive = CpioArchive()
    for path in ("proc", "sys", "dev"):
        archive.directory(path)
    archive.file("bin/busybox", pathlib.Path(busybox).read_bytes(), 0o755)
    archive.file("init", INIT.encode(), 0o755)
    return archive.serialize()


def wait_for(console: pathlib.Path, qemu: subprocess.Popen) -> None:
    """Until the machine says that it is ready."""
    end = time.monotonic() + TIMEOUT
    while not console.exists() or READY not in console.read_bytes():
        if time.monotonic() > end or qemu.poll() is not None:
            text = console.read_text(errors="replace")[-2000:] if console.exists() else ""
            raise TimeoutError(f"The machine did not get ready; the end of its console:\n{text}")
        time.sleep(0.2)


def read_symbols(path: pathlib.Path) -> dict[str, list[int]]:
    """The built-in symbols of a compressed copy of /proc/kallsyms."""
    table: dict[str, list[int]] = collections.defaultdict(list)
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        address, _kind, name, *module = line.split()
        if not module:
            table[name].append(int(address, 16))
    return table
