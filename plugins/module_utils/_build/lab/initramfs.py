# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The initial root of a lab machine: drivers, network and the machine's identity.

An initial root is two cpio archives in a row: one for the kernel, shared by all machines that run it, and one for the
machine, whose files below ``host/`` are laid over the root file system at every start.
"""

from __future__ import annotations

import lzma
import os

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.administration import run
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.cpio import CpioArchive

BUSYBOX = "/bin/busybox"
#: what the machine needs before its root file system is there, in the order of loading; a cloud kernel has some of it
#: built in, a generic one has all of it as modules
DRIVERS = ("virtio_pci", "virtio_blk", "virtio_net", "pvpanic_pci", "ext4")
#: QEMU's user network always looks the same from inside
ADDRESS, GATEWAY = "10.0.2.15/24", "10.0.2.2"

INIT = f"""#!/bin/busybox sh
set -e
bb=/bin/busybox
$bb mount -t devtmpfs devtmpfs /dev
$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
# One for a processor that this is not (crc32c-intel) refuses; what is missing in earnest shows in the next steps.
for driver in /drivers/*.ko; do $bb insmod $driver || true; done
$bb ip link set lo up
$bb ip address add {ADDRESS} dev eth0
$bb ip link set eth0 up
$bb ip route add default via {GATEWAY}
$bb mount -t ext4 /dev/vda /root
modules=/root/usr/lib/modules/$($bb uname -r)
$bb mkdir -p $modules
$bb mount -t ext4 /dev/vdb $modules
$bb cp -a /host/. /root/
$bb umount /proc /sys
$bb mount --move /dev /root/dev
exec $bb switch_root /root /sbin/init
"""


def kernel_archive(tree: str, release: str) -> bytes:
    """The part that belongs to a kernel.

    `tree` is a directory with ``lib/modules/<release>`` in which depmod has run.
    """
    archive = CpioArchive()
    archive.file("init", INIT.encode(), 0o755)
    with open(BUSYBOX, "rb") as program:
        archive.file("bin/busybox", program.read(), 0o755)
    for directory in ("dev", "proc", "sys", "root", "drivers", "host"):
        archive.directory(directory)
    for number, path in enumerate(driver_files(tree, release)):
        name = os.path.basename(path).partition(".")[0]
        archive.file(f"drivers/{number:02d}-{name}.ko", read_module(path))
    return archive.serialize()


def driver_files(tree: str, release: str) -> list[str]:
    """The module files of ``DRIVERS`` and what they depend on, in the order of loading; none for what is built in.

    modprobe reads modules.dep and modules.softdep: ext4 finds its checksum by name (``crc32c``), not by a symbol.
    """
    paths: list[str] = []
    for driver in DRIVERS:
        steps = run(["modprobe", "--dirname", tree, "--set-version", release, "--show-depends", driver])
        for line in steps.splitlines():
            kind, _space, path = line.strip().partition(" ")
            if kind == "insmod" and path not in paths:
                paths.append(path)
    return paths


def read_module(path: str) -> bytes:
    """A kernel module's ELF file; distributions may compress it with xz."""
    with open(path, "rb") as module:
        content = module.read()
    return lzma.decompress(content) if path.endswith(".xz") else content


def machine_archive(name: str, machine_id: str, authorized_key: str, host_key: str, host_key_public: str) -> bytes:
    """The part that belongs to a machine: its names and its SSH keys."""
    archive = CpioArchive()
    archive.directory("host/root", 0o700)
    archive.directory("host/root/.ssh", 0o700)
    archive.file("host/root/.ssh/authorized_keys", authorized_key.strip().encode() + b"\n", 0o600)
    archive.file("host/etc/ssh/ssh_host_ed25519_key", host_key.encode(), 0o600)
    archive.file("host/etc/ssh/ssh_host_ed25519_key.pub", host_key_public.encode())
    archive.file("host/etc/hostname", f"{name}\n".encode())
    archive.file("host/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {name}\n".encode())
    archive.file("host/etc/machine-id", f"{machine_id}\n".encode(), 0o444)
    return archive.serialize()
