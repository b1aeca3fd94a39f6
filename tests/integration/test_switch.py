# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch itself, on stock kernels that are busy with what production machines are busy with.

``REBOOTLESS_NMIS`` is how many NMIs are injected while functions that NMIs run are replaced (20,000 in the long tests).
"""

from __future__ import annotations

import os
import random
import time

from support.builds import Edit
from support.host import Host

NMIS = int(os.environ.get("REBOOTLESS_NMIS", "300"))
SYSFS = "/sys/kernel/rebootless"
RELEASE = "6.1.0-50-cloud-amd64"
# What the test module's NMIs call.
BITMAP = Edit(
    "lib/bitmap.c",
    "bool __bitmap_equal(const unsigned long *bitmap1,\n\t\t    const unsigned long *bitmap2, unsigned int bits)\n{\n",
    "bool __bitmap_equal(const unsigned long *bitmap1,\n\t\t    const unsigned long *bitmap2, unsigned int bits)\n{\n"
    '\tasm volatile("nop");\n',
)


def control(host: Host, update: str, command: str) -> str:
    """What a command says that is written to an update's `control`: "" if it is done, else the system's error."""
    said = host.run(f"echo {command} > {SYSFS}/{update}/control", check=False)
    return "" if said.returncode == 0 else said.stderr.decode().rsplit(": ", 1)[-1].strip()


def state(host: Host, update: str) -> str:
    return host.out(f"cat {SYSFS}/{update}/state")


def insert(builds, host: Host, module: str, **parameters) -> None:
    """Loads a module of tests/integration/kmod."""
    host.put(builds.test_modules(host.release) / f"{module}.ko", f"/root/{module}.ko")
    host.run(f"insmod /root/{module}.ko " + " ".join(f"{key}={value}" for key, value in parameters.items()))


def applied(builds, host: Host, name: str, *edits: Edit, **options):
    """Builds an update of these edits and applies it."""
    built = builds.update(host.release, name, *edits)
    host.write(f"/root/{name}.rbl.tar.gz", built.content)
    result = host.module("update", package=f"/root/{name}.rbl.tar.gz", **options)
    assert not result["failed"], result
    return built


# ---- writing text


def test_nmis_run_what_is_being_written(builds, throwaway):
    """A CPU can be in an NMI, and in the very function, through any phase of the writing: it must find whole code."""
    host = throwaway(RELEASE)
    applied(builds, host, "bitmap", BITMAP)
    insert(builds, host, "nmi_user", symbol="__bitmap_equal", micros=3000)
    loop = host.start(
        f"cd {SYSFS}/bitmap; echo 1 > /sys/module/rebootless/parameters/first_pause_ms; n=0;"
        " while [ ! -e /run/enough ]; do echo reverse > control; echo apply > control; n=$((n+1)); done; echo $n"
    )
    sent = 0
    with host.monitor() as monitor:
        while sent < NMIS and host.panic() is None and host.machine.pid() is not None:
            monitor.command("inject-nmi")
            sent += 1
            time.sleep(0.02 * random.random())
    assert host.panic() is None, host.console()[-3000:]
    host.run("touch /run/enough", timeout=600)
    turns = int(loop.communicate(timeout=600)[0].split()[-1])
    seen = int(host.read("/sys/module/nmi_user/parameters/nmis"))
    assert seen >= sent * 0.5, "NMIs that come while one is served are one"
    assert turns >= sent / 200
    assert host.panic() is None
    host.run("rmmod nmi_user")
