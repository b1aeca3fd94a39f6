# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to look at a host from outside the product, the demo's own."""

from __future__ import annotations

import hashlib
import tempfile

from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION

SCRIPTS = COLLECTION / "playbooks" / "files"
PROBE = (SCRIPTS / "probe_siocatmark.py").read_text(encoding="utf-8")


def probe(host: Host) -> str:
    """``vulnerable`` or ``fixed``: whether the fix of CVE-2026-52928 is in force."""
    return host.python(PROBE)


def text_digest(host: Host) -> str:
    """BLAKE2b digest of the kernel's whole text, as the emulator has it in the machine's memory."""
    (line,) = (line for line in host.out("cat /proc/iomem").splitlines() if line.endswith(" : Kernel code"))
    start, last = (int(address, 16) for address in line.split()[0].split("-"))
    size = last + 1 - start
    with tempfile.NamedTemporaryFile() as file:
        with host.monitor() as monitor:
            monitor.cmd("pmemsave", val=start, size=size, filename=file.name)
        text = file.read()
    assert len(text) == size > 0, f"{len(text)} bytes of {size}"  # two digests of nothing would be equal
    return hashlib.blake2b(text, digest_size=32).hexdigest()


def traces(host: Host) -> str:
    """What an update leaves on a host: modules, sysfs, its state directory.  Not what ``persist`` installs for boot."""
    return host.out(
        "grep -E '^(rbl_|rebootless)' /proc/modules | cut -d' ' -f1;"
        "ls -dA /sys/kernel/rebootless /sys/kernel/rebootless/*/ /var/lib/rebootless /var/lib/rebootless/* 2>/dev/null"
        " || true"
    )
