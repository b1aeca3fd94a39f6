# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook ``report``, run as an operator runs it, on this machine and on hosts that do not answer."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

from ansible_collections.rebootless.splice.tests.support.fleet import sample

BIN = pathlib.Path(sys.executable).parent
COLLECTIONS = next(path for path in pathlib.Path(sample.__file__).parents if path.name == "ansible_collections").parent
UNREACHABLE = {"ansible_host": "127.0.0.1", "ansible_port": 9}  # discard: nothing listens there
HERE = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}


def run(
    root: pathlib.Path, hosts: dict[str, dict[str, t.Any]], *arguments: str, **variables: t.Any
) -> dict[str, t.Any]:
    """Runs the playbook; returns the report."""
    inventory = root / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    variables["rebootless_directory"] = str(root)
    done = subprocess.run(
        [
            BIN / "ansible-playbook",
            "-i",
            inventory,
            "rebootless.splice.report",
            "-e",
            json.dumps(variables),
            *arguments,
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    path = root / "report" / "report.json"
    return {"said": done.stdout, **(json.loads(path.read_text()) if path.exists() else {})}


def test_hosts_that_do_not_answer_fail_nothing_and_are_said(tmp_path: pathlib.Path) -> None:
    sample.six(tmp_path)
    report = run(tmp_path, {"web1": UNREACHABLE, "new1": UNREACHABLE, "here": HERE})
    found = {host["name"]: host for host in report["hosts"]}
    assert {name: host["answered"] for name, host in found.items()} == {"web1": False, "new1": False, "here": True}
    assert (found["web1"]["state"], found["new1"]["state"]) == ("confirmed", "unknown")
    assert "refused" in found["web1"]["why"]
    assert found["here"]["release"] == os.uname().release
    assert "3 hosts: 1 unknown" in report["said"]
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"report.html", "hosts.csv", "report.json"}

    # What a host said is kept, and said to be old when it is silent.
    later = run(tmp_path, {"here": {**UNREACHABLE}})
    (silent,) = later["hosts"]
    assert (silent["answered"], silent["release"]) == (False, os.uname().release)
    assert silent["last_answer"]


def test_evidence_only_asks_nobody_and_says_the_same_twice(tmp_path: pathlib.Path) -> None:
    sample.six(tmp_path)
    report = run(tmp_path, {"web1": UNREACHABLE}, rebootless_live=False)
    assert report["fleet"]["hosts"] == 6
    assert not (tmp_path / "live").exists()
    again = run(tmp_path, {"web1": UNREACHABLE}, rebootless_live=False)
    assert "changed=0" in again["said"]


def test_check_mode_writes_nothing(tmp_path: pathlib.Path) -> None:
    sample.six(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    report = run(tmp_path, {"here": HERE}, "--check")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "inventory.json"])
    assert "hosts:" in report["said"]
