# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab is one run's: the lock of `make` and that of the tests' own fixtures are the same."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from ansible_collections.rebootless.splice.tests.support import lab_lock

HOLD = "import sys; print('held', flush=True); sys.stdin.read(); sys.exit(7)"


def start(cache: pathlib.Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", lab_lock.__name__, "fleet", *command],
        env={**os.environ, "REBOOTLESS_CACHE": str(cache), "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def lab(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "lab" / "fleet"


def test_a_second_run_in_a_lab_ends_at_once(tmp_path: pathlib.Path, lab: pathlib.Path) -> None:
    with start(tmp_path, sys.executable, "-c", HOLD) as first:
        assert first.stdout and first.stdout.readline() == "held\n"
        _out, refused = start(tmp_path, "true").communicate()
        assert f"{lab} is in use by process {first.pid}" in refused
        with pytest.raises(lab_lock.LabInUse, match="REBOOTLESS_LAB"), lab_lock.held(lab):
            pass
        with lab_lock.held(lab.with_name("other")):
            pass
        first.communicate()
    assert first.returncode == 7
    with lab_lock.held(lab):
        assert start(tmp_path, "true").wait() == 1
    assert start(tmp_path, "true").wait() == 0


def test_a_killed_run_leaves_no_lock(tmp_path: pathlib.Path, lab: pathlib.Path) -> None:
    with start(tmp_path, sys.executable, "-c", HOLD) as first:
        assert first.stdout and first.stdout.readline() == "held\n"
        first.kill()
    with lab_lock.held(lab):
        pass


def test_what_a_run_starts_may_use_its_lab(tmp_path: pathlib.Path) -> None:
    again = start(tmp_path, sys.executable, "-m", lab_lock.__name__, "fleet", "echo", "once more")
    assert again.communicate() == ("once more\n", "") and again.returncode == 0


def test_a_command_that_is_not_there(tmp_path: pathlib.Path) -> None:
    _out, said = start(tmp_path, "no-such-command").communicate()
    assert "No such file" in said
