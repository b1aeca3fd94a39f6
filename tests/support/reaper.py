# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends the machines of labs when the test run that made them is gone, even by SIGKILL: ``reaper.py LAB...``.

Its standard input is a pipe that only the run holds open.
"""

from __future__ import annotations

import subprocess
import sys

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.machine import machines_of


def watch(*labs: str) -> subprocess.Popen[bytes]:
    """Starts it for this process.  Labs are directories; closing its standard input ends their machines."""
    # A session of its own: Ctrl-C in a terminal ends the run first, then this.
    return subprocess.Popen([sys.executable, __file__, *labs], stdin=subprocess.PIPE, start_new_session=True)


if __name__ == "__main__":
    sys.stdin.read()
    for directory in sys.argv[1:]:
        for machine in machines_of(directory):
            machine.stop()
