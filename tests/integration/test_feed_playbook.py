# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook ``feed``: from repositories to an index and an account of each kernel; and what its modules document."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.rebootless.splice.tests.support.documented import undocumented
from ansible_collections.rebootless.splice.tests.support.feed_sources import Sources
from ansible_collections.rebootless.splice.tests.support.runner import Runner

AF_UNIX = "CVE-2026-52928"


@pytest.fixture
def variables(tmp_path: pathlib.Path) -> dict[str, object]:
    sources = Sources(tmp_path / "sources")
    return {
        "rebootless_feed_kernels": ["6.1.2-1", "6.1.4-1"],
        "rebootless_targets": "localhost",
        "feed_path": str(tmp_path / "feed"),
        "feed_records_url": f"file://{sources.records.path}",
        "feed_stable_url": f"file://{sources.stable.path}",
        "feed_changelogs": {"6.1": str(sources.changelog)},
        "feed_cache": str(tmp_path / "cache"),
    }


def test_reads_and_says_what_each_kernel_has(tmp_path: pathlib.Path, variables: dict[str, object]) -> None:
    run = Runner().playbook("rebootless.splice.feed", variables=variables)
    read = run.of("localhost", "Read what is new")
    assert read["changed"] and undocumented("feed", read) == []
    states = {}
    for version in ("6.1.2-1", "6.1.4-1"):
        said = json.loads((tmp_path / "feed" / "kernels" / f"{version}.json").read_bytes())
        states[version] = {row["cve"]: row["state"] for row in said["cves"]}[AF_UNIX]
    assert states == {"6.1.2-1": "open", "6.1.4-1": "fixed"}
    account = Runner().module("localhost", "kernel_cves", path=str(tmp_path / "feed"), version="6.1.2-1")
    assert undocumented("kernel_cves", account) == [] and not account["changed"]
    again = Runner().playbook("rebootless.splice.feed", variables=variables)
    assert not any(row.result.get("changed") for row in again.tasks)


def test_refusals_reach_the_operator(variables: dict[str, object]) -> None:
    wrong = {**variables, "feed_records_url": "file:///nowhere"}
    run = Runner().playbook("rebootless.splice.feed", variables=wrong, ok=False)
    refused = run.of("localhost", "Read what is new")
    assert run.status != 0 and refused["code"] == "source_not_reachable" and refused["next_step"]
    nothing = {**variables, "rebootless_feed_kernels": []}
    run = Runner().playbook("rebootless.splice.feed", variables=nothing, ok=False)
    assert run.status != 0 and run.of("localhost", "Read what is new")["code"] == "no_kernels"
