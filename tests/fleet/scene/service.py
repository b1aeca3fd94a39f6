# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that must lose nothing: it writes numbered lines, and tells the outside world each one that is on the disk.

The outside world is the serial console, which QEMU writes to a file: what stands there was safe before the fault.
"""

from __future__ import annotations

import re

from ansible_collections.rebootless.splice.tests.support.host import Host

PATH = "/var/lib/fleet-writer"
PROGRAM = f"""\
import os, time

path = "{PATH}"
with open(path, "ab+") as lines:
    lines.seek(0)
    whole = lines.read().rpartition(b"\\n")[0]
    number = int(whole.rpartition(b"\\n")[2] or 0)
file = os.open(path, os.O_WRONLY)
size = len(whole) + 1 if whole else 0
console = os.open("/dev/ttyS0", os.O_WRONLY | os.O_NOCTTY)
while True:
    line = b"%d\\n" % (number + 1)
    try:
        os.ftruncate(file, size)
        if os.pwrite(file, line, size) != len(line):
            raise OSError("the disk is full")
        os.fsync(file)
    except OSError:
        time.sleep(1)
        continue
    size, number = size + len(line), number + 1
    os.write(console, b"\\nfleet-writer: %d\\n" % number)
    time.sleep(2)
"""
UNIT = """\
[Unit]
Description=A service that must lose nothing

[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/fleet-writer.py

[Install]
WantedBy=multi-user.target
"""


def install(host: Host) -> None:
    """Starts the service, now and at every boot; it goes on with the number after the last one."""
    host.write("/usr/local/lib/fleet-writer.py", PROGRAM.encode())
    host.write("/etc/systemd/system/fleet-writer.service", UNIT.encode())
    host.run("systemctl daemon-reload; systemctl enable --now fleet-writer.service 2>/dev/null; sync")


def told(host: Host) -> int:
    """The last number that the outside world has seen."""
    with open(host.machine.console, "rb") as console:
        numbers = re.findall(rb"fleet-writer: (\d+)\r?\n", console.read())
    return int(numbers[-1]) if numbers else 0


def check(host: Host) -> None:
    """Asserts that every line is there, all that were told included, and that the service goes on."""
    before = told(host)
    assert before > 0, f"the service of {host.name} never wrote anything"
    found = [int(line) for line in host.read(PATH).decode().splitlines()]
    assert found == list(range(1, len(found) + 1)), f"lines of {host.name} are missing"
    assert len(found) >= before, f"{host.name} told {before} lines and has {len(found)}"
    host.wait_until(lambda: told(host) > before, 60)
