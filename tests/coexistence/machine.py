# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab machine with the update of the coexistence tests, and everything that its neighbours need."""

from __future__ import annotations

import io
import pathlib
import re
import subprocess
import tempfile
import typing as t

from elftools.elf.elffile import ELFFile

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.cpio import CpioArchive
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.initramfs import BUSYBOX
from ansible_collections.rebootless.splice.tests.coexistence.table import Row
from ansible_collections.rebootless.splice.tests.support.builds import Builds, Edit
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import text_digest

GUEST = pathlib.Path(__file__).with_name("guest")
PLACE = "/root/coexistence"
NAME = "neighbours"
UPDATE = f"/sys/kernel/rebootless/{NAME}"
ENVIRONMENT = "/run/coexistence.env"
PROGRAMS = ("attach", "caller", "kexec")
MODULES = ("busy", "other_live_patch", "probe_inside")
ALARM = re.compile(r"WARNING:|BUG:|Oops|unexpected|lockup|stall|general protection|int3|hung", re.IGNORECASE)
# Of code that all supported kernels have.
EDITS = (
    Edit("net/unix/af_unix.c", "\t\tamount = unix_outq_len(sk);", "\t\tamount = unix_outq_len(sk) + 77;"),
    Edit("ipc/msg.c", "\tfree_msg(msg);\n\n\treturn bufsz;\n", "\tfree_msg(msg);\n\n\treturn bufsz + 77;\n"),
    Edit(
        "security/security.c",
        "int security_socket_shutdown(struct socket *sock, int how)\n{\n",
        "int security_socket_shutdown(struct socket *sock, int how)\n{\n\tif (how == 77)\n\t\treturn -EXDEV;\n",
    ),
    Edit("drivers/net/dummy.c", "\tdev->min_mtu = 0;\n", "\tdev->min_mtu = 0;\n\tdev->tx_queue_len = 77;\n"),
)
# An instruction of the function that is not its jump's, at which the kernel takes a kprobe, and optimises it.
FIND_INSIDE = """
optimize 1
for at in $(seq $((JUMP + 6)) $((JUMP + 120))); do
    kprobe "p:coexistence unix_ioctl+$at" 2>/dev/null && arm 2>/dev/null || continue
    sleep 0.3
    if kprobe_is OPTIMIZED "$at"; then kprobe_gone; echo "$at"; exit; fi
    kprobe_gone
done
exit 1
"""

# What a kernel runs that kexec or a panic has booted: it tells the console that it is there, and what it was handed.
CAPTURE = """#!/bin/busybox sh
bb=/bin/busybox
$bb mkdir -p /proc
$bb mount -t proc proc /proc
if [ -e /proc/vmcore ]; then
    echo "kdump: $($bb dd if=/proc/vmcore bs=64k count=64 2>/dev/null | $bb strings | $bb grep -m 1 ^OSRELEASE=)"
else
    echo "kexec: OSRELEASE=$($bb uname -r)"
fi
while :; do $bb sleep 1000; done
"""


def capture_image() -> bytes:
    """The initial file system for it."""
    archive = CpioArchive()
    archive.file("bin/busybox", pathlib.Path(BUSYBOX).read_bytes(), 0o755)
    archive.file("init", CAPTURE.encode(), 0o755)
    archive.directory("dev")
    return archive.serialize()


def compiled(name: str) -> bytes:
    """A program of ``guest`` for lab machines."""
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / name
        subprocess.run(["gcc", "-O2", "-static", "-o", path, GUEST / f"{name}.c"], check=True)
        return path.read_bytes()


def address_in(program: bytes, symbol: str) -> int:
    """The offset in a program's file at which a function of it begins."""
    elf = ELFFile(io.BytesIO(program))
    (found,) = elf.get_section_by_name(".symtab").get_symbol_by_name(symbol)
    address: int = found["st_value"]
    return next(iter(elf.address_offsets(address)))


class Neighbourhood:
    """The machine, whose update is matched and not applied between two cells."""

    def __init__(self, host: Host, builds: Builds) -> None:
        self.host = host
        self._builds = builds
        self._as_found: dict[str, str] = {}
        self.untouched = True
        self._install()

    def _install(self) -> None:
        host = self.host
        host.run(f"mkdir -p {PLACE}; sysctl -q kernel.bpf_stats_enabled=1")
        # Else each event that is enabled switches a static branch of the scheduler.  QEMU's emulation of several
        # processors now and then runs such a place's breakpoint for ever after it has gone (seen with 7.2).
        host.run("echo 0 >/sys/kernel/tracing/options/record-cmd")
        for name in PROGRAMS:
            host.write(f"{PLACE}/{name}", compiled(name))
        host.run(f"cd {PLACE}; chmod +x {' '.join(PROGRAMS)}")
        for name in MODULES:
            host.put(self._builds.test_modules(host.release) / f"{name}.ko", f"{PLACE}/{name}.ko")
        host.put(GUEST / "neighbours.sh", f"{PLACE}/neighbours.sh")
        host.write(f"{PLACE}/{NAME}.rbl.tar.gz", self._builds.update(host.release, NAME, *EDITS).content)
        result = host.module("update", package=f"{PLACE}/{NAME}.rbl.tar.gz")
        assert not result["failed"], result
        self._write_environment()

    def bring_kernel(self) -> None:
        """What kexec boots: the kernel that runs."""
        self.host.put(pathlib.Path(self.host.machine.record()["spec"]["vmlinuz"]), f"{PLACE}/vmlinuz")
        self.host.write(f"{PLACE}/initrd", capture_image())

    def _write_environment(self) -> None:
        rows = [line.split() for line in self.host.out(f"cat {UPDATE}/functions").splitlines()]
        (old, new, jump), *_others = (row[1:4] for row in rows if row[0] == "unix_ioctl")
        known = {
            "UPDATE": UPDATE,
            "OLD": old,
            "NEW": new,
            "JUMP": int(jump, 16) - int(old, 16),
            "ENTER": address_in(compiled("caller"), "enter"),
        }
        self._tell(known)
        assert self.command("reverse") == "done"
        self._tell({**known, "INSIDE": self.sh(FIND_INSIDE)})

    def _tell(self, known: dict[str, t.Any]) -> None:
        self.host.write(ENVIRONMENT, "".join(f"{name}={value}\n" for name, value in known.items()).encode())

    def sh(self, lines: str, **options: t.Any) -> str:
        """Runs lines of the table; returns what they print."""
        return self.host.out(f"cd {PLACE}; . ./neighbours.sh; {lines}", **options)

    def complaint(self, lines: str) -> str:
        """What lines of the table say that have to fail."""
        done = self.host.run(f"cd {PLACE}; . ./neighbours.sh; {lines}", check=False)
        assert done.returncode, done.stdout.decode()
        return done.stderr.decode()

    def command(self, words: str) -> str:
        """What a command to the update ends with: ``done``, or the code of its refusal."""
        return self.sh(f"control {words}")

    def state(self) -> str:
        return self.host.out(f"cat {UPDATE}/state")

    def says(self) -> str:
        """In which code calls are: ``old``, ``new``, or where each of them is."""
        return self.sh("./caller")

    def begin(self, row: Row) -> None:
        """Notes what the text is without the row's neighbour, which has been there once: it may have static keys."""
        if row.name not in self._as_found:
            self.sh(f"{row.place}; {row.works}; {row.remove}")
            self._as_found[row.name] = text_digest(self.host)
        self.host.run("dmesg -C")

    def end(self, row: Row) -> None:
        """That without the neighbour everything is as it was, and the update can be applied and reversed."""
        assert (self.command("apply"), self.says()) == ("done", "new")
        assert (self.command("reverse"), self.says()) == ("done", "old")
        assert text_digest(self.host) == self._as_found[row.name]
        log = self.host.out("dmesg")
        assert not ALARM.search(log), log
