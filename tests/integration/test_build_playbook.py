# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build playbook, and the role that it runs on build hosts, without a fleet."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.store import Store
from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK
from ansible_collections.rebootless.splice.tests.support.places import CACHE, COLLECTION

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
        [
            *(str(BIN / "ansible-playbook"), "-i", str(tmp_path / "inventory.json")),
            *("rebootless.splice.build", "-e", json.dumps(variables)),
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout
    assert "no_host_answered" in done.stdout
    assert "Connection refused" in done.stdout


RELEASE = "6.1.0-50-cloud-amd64"
LISTED = {"ignore_missing": ["mm/vma.c"]}


@pytest.mark.parametrize(("listed", "status", "code"), [({}, "failed", "file_not_found"), (LISTED, "built", "")])
def test_what_the_updates_description_lists_may_be_missing(controller, builds, tmp_path, listed, status, code):
    """As ``build`` gives it to the role; the same version is built once the operator has listed the file."""
    later = PATCH.replace("net/unix/af_unix.c", "mm/vma.c")
    (tmp_path / "fix.patch").write_text(builds.patch(RELEASE, SIOCATMARK) + later)
    tree = builds.tree(RELEASE)
    build = yaml.safe_load((COLLECTION / "playbooks" / "build.yml").read_text(encoding="utf-8"))
    (play,) = (play for play in build if play["name"] == "Build")
    kernel = {"release": RELEASE, "build_id": tree["build_id"]}
    play["roles"][0]["kernel_build_kernels"] = [kernel]
    play["vars_files"] = [str(COLLECTION / "playbooks" / "vars" / "fleet.yml")]
    (tmp_path / "play.yml").write_text(json.dumps([play]))  # which is YAML, too
    variables = {
        "rebootless_update": {"name": "fix", "patches": [str(tmp_path / "fix.patch")], **listed},
        "rebootless_directory": str(tmp_path / "kept"),
        "rebootless_cache": str(CACHE),
    }
    controller.playbook(str(tmp_path / "play.yml"), variables=variables)
    manifest = Store(str(tmp_path / "kept" / "store")).manifest("fix", "1")
    assert manifest is not None
    (row,) = manifest.kernels
    assert (row.status, row.code) == (status, code)
    assert [remark["code"] for remark in row.remarks] == (["ignored_missing"] if listed else [])
    assert manifest.ignore_missing == row.ignore_missing == listed.get("ignore_missing", [])
