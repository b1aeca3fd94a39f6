# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that runs at boot is one file that needs nothing but Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import imports
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot.archive import ENTRY, make_archive
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION


def test_the_program_needs_nothing_but_python(tmp_path):
    archive = tmp_path / "rebootless.pyz"
    archive.write_bytes(make_archive())
    assert make_archive() == archive.read_bytes()
    command = [sys.executable, "-I", "-S", str(archive), "--state-directory", str(tmp_path / "none")]
    done = subprocess.run([*command, "facts"], capture_output=True, text=True, cwd="/", env={}, check=True)
    assert json.loads(done.stdout)["release"] == os.uname().release
    for words in (["apply", "--deadline", "1800"], ["settle"], ["stop"]):
        done = subprocess.run([*command, *words], capture_output=True, text=True, cwd="/", env={}, check=True)
        assert done.stdout == done.stderr == ""
    assert not (tmp_path / "none").exists()


def test_equal_sources_make_equal_programs_in_every_process():
    script = f"import sys, hashlib; from {make_archive.__module__} import make_archive as make;"
    script += " print(hashlib.sha256(make()).hexdigest())"
    made = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        made.add(done.stdout)
    assert len(made) == 1


@pytest.mark.parametrize("module", ["persist", "rollout_host"])
def test_ansible_sends_all_of_the_program_to_hosts(module):
    """What is imported nowhere is not there to be installed: Ansible sends what a module imports, and no more."""
    path = COLLECTION / "plugins" / "modules" / f"{module}.py"
    sent: set[str] = set()
    waiting = [path.read_text()]
    while waiting:
        for name in imports.imported(waiting.pop()):
            if name not in sent:
                sent.add(name)
                waiting.append(imports._source(name) or "")
    assert set(imports.sources(ENTRY)) <= sent
