# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build playbook where nothing can be built."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

from ansible_collections.rebootless.splice.tests.support.places import COLLECTION

COLLECTIONS = COLLECTION / "build" / "tree"
BIN = pathlib.Path(sys.executable).parent
PATCH = "--- a/net/unix/af_unix.c\n+++ b/net/unix/af_unix.c\n@@ -1 +1 @@\n-a\n+b\n"


def test_a_fleet_of_which_nobody_answers_is_no_success(tmp_path: pathlib.Path) -> None:
    (tmp_path / "fix.patch").write_text(PATCH)
    unreachable = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    (tmp_path / "inventory.json").write_text(json.dumps({"all": {"hosts": {"gone": unreachable}}}))
    variables = {
        "rebootless_directory": str(tmp_path / "kept"),
        "rebootless_targets": "gone",
        "rebootless_update": {"name": "fix", "patches": [str(tmp_path / "fix.patch")]},
    }
    done = subprocess.run(
        [BIN / "ansible-playbook", "-i", tmp_path / "inventory.json", "rebootless.splice.build"]
        + ["-e", json.dumps(variables)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout
    assert "no_host_answered" in done.stdout
    assert "Connection refused" in done.stdout
