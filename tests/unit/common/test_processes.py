# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells of a process."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import processes


def test_a_process_whose_name_is_a_trap(tmp_path):
    program = tmp_path / "a) S 1 (b"
    program.symlink_to("/bin/sleep")
    ticks = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
    with subprocess.Popen([str(program), "60"]) as running:
        found = processes.process(running.pid)
        assert abs(found.start - ticks) < 60 * os.sysconf("SC_CLK_TCK")
        running.kill()
        while processes.process(running.pid).state != "Z":
            time.sleep(0.01)
        assert processes.process(running.pid).start == found.start
    with pytest.raises(OSError):
        processes.process(running.pid)
