# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of tests ends if it passes a file over."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from ansible_collections.rebootless.splice.tests.support import collection

TEST = "def test_one():\n    assert True\n"


@pytest.fixture
def run(tmp_path: pathlib.Path):
    """Runs pytest over two files of tests, one of them in a directory called build."""
    for name in ("build/test_a.py", "target/test_b.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(TEST)

    def run(*options: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", collection.__name__]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        return subprocess.run(
            [*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_a_directory_that_pytest_does_not_enter(run):
    done = run(".")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "No test is collected from build/test_a.py" in done.stdout + done.stderr


def test_all_of_them(run):
    done = run("-o", "norecursedirs=.git", "-k", "test_a", ".")
    assert done.returncode == 0 and "1 passed, 1 deselected" in done.stdout


def test_a_file_without_a_test(run, tmp_path):
    (tmp_path / "target" / "test_empty.py").write_text("")
    done = run("target")
    assert "No test is collected from target/test_empty.py" in done.stdout + done.stderr
