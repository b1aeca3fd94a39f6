# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to look at a host from outside the product, the demo's own."""

from __future__ import annotations

import json

from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION

SCRIPTS = COLLECTION / "playbooks" / "files"
PROBE = (SCRIPTS / "probe_siocatmark.py").read_text(encoding="utf-8")
KERNEL_TEXT = (SCRIPTS / "kernel_text.py").read_text(encoding="utf-8")


def probe(host: Host) -> str:
    """``vulnerable`` or ``fixed``: whether the fix of CVE-2026-52928 is in force."""
    return host.python(PROBE)


def text_digest(host: Host) -> str:
    """BLAKE2b digest of the kernel's whole text, as it is in memory."""
    return str(json.loads(host.python(KERNEL_TEXT))["blake2b"])


def traces(host: Host) -> str:
    """All that the product can leave on a host: modules, sysfs, files."""
    return host.out(
        "grep -E '^(rbl_|rebootless)' /proc/modules | cut -d' ' -f1;"
        "ls -dA /sys/kernel/rebootless /sys/kernel/rebootless/*/ /var/lib/rebootless /var/lib/rebootless/* 2>/dev/null"
        " || true"
    )
