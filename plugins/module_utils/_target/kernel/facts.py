# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running kernel says of itself."""

from __future__ import annotations

import os
import re
import time

from ansible_collections.rebootless.splice.plugins.module_utils._common.build_id import parse_build_id
from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution.kernel_package import version_in

SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"  # UEFI 2.10, 3.3
FIRMWARE = "/sys/firmware/efi"
LOCKDOWN = "/sys/kernel/security/lockdown"  # security/lockdown/lockdown.c
VULNERABILITIES = "/sys/devices/system/cpu/vulnerabilities"  # arch/x86/kernel/cpu/bugs.c has the words in its files

# Documentation/admin-guide/tainted-kernels.rst
TAINTS = (
    "proprietary_module",
    "forced_module",
    "unsafe_smp",
    "forced_unload",
    "machine_check",
    "bad_page",
    "user",
    "died",
    "overridden_acpi_table",
    "warning",
    "staging_driver",
    "firmware_workaround",
    "out_of_tree_module",
    "unsigned_module",
    "soft_lockup",
    "live_patch",
    "auxiliary",
    "struct_randomized",
    "test",
)


def wall_time() -> str:
    """Now in UTC, for people to read; nothing is decided by it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def release() -> str:
    return os.uname().release


def version() -> str:
    """The version of the distribution's package of the running kernel, "" if the kernel does not say."""
    return version_in(os.uname().version)


def arch() -> str:
    return os.uname().machine


def build_id() -> str:
    """GNU build ID of the running kernel in hex, "" if it has none.  Read from the notes that the kernel exports."""
    return parse_build_id(_read_bytes("/sys/kernel/notes"))


def lockdown() -> str:
    """``none``, ``integrity``, ``confidentiality``, or ``unknown`` where securityfs or the LSM is not there."""
    return parse_lockdown(_read(LOCKDOWN))


def secure_boot() -> str:
    """``on``, ``off`` (or no UEFI), or ``unknown`` where UEFI's variables are not mounted or cannot be read."""
    variable = _read_bytes(SECURE_BOOT)
    if len(variable) == 5:  # four bytes of attributes before it
        return "on" if variable[4] else "off"
    return "unknown" if os.path.isdir(FIRMWARE) else "off"


def signatures_enforced() -> bool:
    """Whether the kernel loads no unsigned module even without lockdown."""
    return _read("/sys/module/module/parameters/sig_enforce") == "Y"


def modules_disabled() -> bool:
    """Whether loading of modules has been switched off until the next boot."""
    return _read("/proc/sys/kernel/modules_disabled") == "1"


def real_time() -> bool:
    """Whether it is the rt flavour (CONFIG_PREEMPT_RT), by the flags of its build (init/Makefile)."""
    return "PREEMPT_RT" in os.uname().version.split()


def call_depth_tracking() -> str:
    """The choice of this boot by which the kernel rewrites each call (6.2 and later), "" if there is none.

    It is ``retbleed=stuff`` or ``indirect_target_selection=stuff``.
    """
    names = ("retbleed", "indirect_target_selection")
    return next((f"{name}=stuff" for name in names if "Stuffing" in _read(f"{VULNERABILITIES}/{name}")), "")


def taint() -> dict:
    """``value`` as the kernel counts it, and the ``flags`` by name."""
    value = int(_read("/proc/sys/kernel/tainted") or 0)
    return {"value": value, "flags": [name for bit, name in enumerate(TAINTS) if value >> bit & 1]}


def boot_id() -> str:
    return _read("/proc/sys/kernel/random/boot_id")


def uptime() -> float:
    """Seconds since the kernel was booted."""
    return float((_read("/proc/uptime") or "0").split()[0])


def module_loaded(name: str) -> bool:
    return os.path.isdir(f"/sys/module/{name}")


def _read(path: str) -> str:
    return _read_bytes(path).decode("utf-8", "replace").strip()


def _read_bytes(path: str) -> bytes:
    """The file's content; empty if the kernel does not have it or does not show it."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def parse_lockdown(text: str) -> str:
    """The choice in brackets of ``none [integrity] confidentiality``."""
    chosen = re.search(r"\[(\w+)\]", text)
    return chosen.group(1) if chosen else "unknown"
