# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook ``feed``: from repositories to an index and an account of each kernel; and what its modules document."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.changelogs import CHANGELOGS
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.concern import Built
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import read_tree
from ansible_collections.rebootless.splice.tests.support.builds import Builds
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


@pytest.fixture(scope="module")
def built(builds: Builds) -> Built:
    return Built(read_tree(builds.tree("6.1.0-50-cloud-amd64")["path"]), 2)


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


@pytest.mark.parametrize(
    ("files", "concerns", "objects"),
    [
        (["net/unix/af_unix.c"], "built", ["vmlinux"]),
        (["net/sched/act_pedit.c", "net/can/bcm.c"], "built", ["act_pedit"]),
        (["kernel/sched/rt.c"], "built", ["vmlinux"]),  # another source includes it
        (["include/linux/skbuff.h"], "built", []),
        (["net/can/bcm.c"], "not built", []),
        (["drivers/gpu/drm/i915/i915_drv.h"], "not built", []),
        (["arch/arm/kernel/smp.c", "Documentation/networking/ip-sysctl.rst"], "not built", []),
        (["net/batman-adv/mesh-interface.c"], "unknown", []),  # as a later series calls it
        (["arch/x86/boot/main.c"], "unknown", []),
        (["net/can/Makefile", "net/can/bcm.c"], "unknown", []),
        (["../../etc/passwd.c", "/etc/passwd"], "unknown", []),
        ([], "unknown", []),
    ],
)
def test_what_a_kernel_builds(built: Built, files: list[str], concerns: str, objects: list[str]) -> None:
    answer = built.of(files)
    assert (answer.concerns, list(answer.objects)) == (concerns, objects)


@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_changelogs_of_real_packages(builds: Builds, series: str) -> None:
    packages = CHANGELOGS.packages(Cache(builds.cache), ())
    package = packages.newest(series)
    uploads = CHANGELOGS.uploads(packages.text(package), series)
    assert uploads[0]["version"] == package.version and len(uploads) > 5
    titles = {key for row in uploads for text, _cves, _release in row["entries"] for key in CHANGELOGS.same_title(text)}
    # Each of both series has had it; 6.1 as [x86], with its lines broken anywhere.
    wanted = CHANGELOGS.joined("x86/bugs: Make Safe-RET robust against interrupt injection")
    assert titles.intersection(wanted) and len(titles) > 5000
    assert sum(len(cves) for row in uploads for _text, cves, _release in row["entries"]) > 1000
