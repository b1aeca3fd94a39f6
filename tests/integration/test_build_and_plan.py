# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks build and plan, with two machines, two build hosts, and a host that does not answer."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.package import read_package
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import Plan, read_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import Manifest
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.store import Store
from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK
from ansible_collections.rebootless.splice.tests.support.places import CACHE, LAB
from ansible_collections.rebootless.splice.tests.support.runner import Run, Runner

NAME = "fleet-build"


@dataclasses.dataclass
class Fleet:
    """An operator's directory, with an inventory and the variables of every run."""

    directory: pathlib.Path
    patch: pathlib.Path

    @property
    def store(self) -> Store:
        return Store(str(self.directory / "state" / "store"))

    def run(self, playbook: str, version: str = "1.0", ok: bool = True, **more: t.Any) -> Run:
        update = {"name": NAME, "version": version, "cves": ["CVE-2026-52928"], "patches": [str(self.patch)]}
        variables = {
            "rebootless_update": update,
            "rebootless_directory": str(self.directory / "state"),
            "rebootless_targets": "fleet",
            "rebootless_build_hosts": "builders",
            "rebootless_cache": str(CACHE),
            "rebootless_survey_timeout": 180,  # of an emulated machine beside a build
            **more,
        }
        runner = Runner(self.directory / "inventory")
        return runner.playbook(f"rebootless.splice.{playbook}", variables=variables, ok=ok)

    def manifest(self, version: str = "1.0") -> Manifest:
        manifest = self.store.manifest(NAME, version)
        assert manifest is not None
        self.store.verify(manifest)
        return manifest

    def plan(self, version: str = "1.0") -> Plan:
        return read_plan(self.directory / "state" / "plans" / f"{NAME}-{version}.json")


@pytest.fixture
def fleet(hosts, builds, tmp_path) -> Fleet:
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    (inventory / "lab.yml").symlink_to(LAB / "inventory.yml")
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    gone = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    groups = {
        "fleet": {"hosts": {hosts[0].name: {}, hosts[1].name: {}, "gone": gone}},
        "canary": {"hosts": {hosts[1].name: {}}},
        # the second one has patches copied to it and packages fetched from it, as if it were far away
        "builders": {"hosts": {"builder1": here, "builder2": {**here, "kernel_build_remote": True}, "builder3": gone}},
    }
    (inventory / "more.yml").write_text(json.dumps(groups))  # which is YAML, too
    patch = tmp_path / "fix.patch"
    patch.write_text(builds.patch(hosts[1].release, SIOCATMARK))
    return Fleet(tmp_path, patch)


def built_for(run: Run) -> list[str]:
    """The hosts that built an update in this run, once for each time."""
    return [row.host for row in run.tasks if "Build the update for" in row.task and row.outcome != "skipped"]


def digests(manifest: Manifest) -> dict[str, str]:
    """The files of a version; what was built again was built at another time."""
    return {name: file.sha256 for name, file in manifest.files.items()}


def changes(run: Run) -> list[str]:
    return [f"{row.host}: {row.task}" for row in run.tasks if row.result.get("changed")]


def test_once_for_each_kernel_and_never_again(fleet, hosts):
    kernels = {host.release: host.module("kernel_info")["kernel"] for host in hosts}
    first = fleet.run("build")
    assert sorted(built_for(first)) == ["builder1", "builder2"]
    assert "gone: It cannot be reached" in first.output
    manifest = fleet.manifest()
    assert {row.release: (row.status, row.version, row.functions) for row in manifest.kernels} == {
        release: ("built", kernel["version"], ["unix_ioctl"]) for release, kernel in kernels.items()
    }
    assert {row.build_host for row in manifest.kernels} == {"builder1", "builder2"}
    for row in manifest.kernels:
        package = read_package(fleet.store.path(NAME, "1.0", row.package), row.sha256)
        assert package.manifest["kernel"]["build_id"] == kernels[row.release]["build_id"] == row.build_id

    again = fleet.run("build")
    assert built_for(again) == changes(again) == []
    assert fleet.manifest().content == manifest.content

    # one flipped bit: that package is built again, and no other
    path = pathlib.Path(fleet.store.path(NAME, "1.0", manifest.kernels[0].package))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    refused = fleet.run("plan", ok=False)
    assert refused.status != 0
    assert "store_damaged" in refused.output
    assert len(built_for(fleet.run("build"))) == 1
    assert digests(fleet.manifest()) == digests(manifest)

    planned = fleet.run("plan", rebootless_rings=["canary"], rebootless_freezes=[])
    plan = fleet.plan()
    assert plan.digest in planned.output
    assert [(batch.name, batch.hosts) for batch in plan.batches] == [
        ("canary", [hosts[1].name]),
        ("rest", [hosts[0].name]),
    ]
    for host in hosts:
        entry = manifest.kernel(kernels[host.release]["build_id"])
        row = plan.hosts[host.name]
        assert (row.package, row.sha256, row.size) == (entry.package, entry.sha256, entry.size)
    assert plan.left_out["gone"].state == "unreachable"
    assert plan.update.manifest_sha256 == fleet.manifest().digest
    # the same plan again is that plan; another policy is another plan
    assert changes(fleet.run("plan", rebootless_rings=["canary"])) == []
    assert fleet.plan().digest == plan.digest
    stopped = fleet.run("plan", rebootless_policy={"uncovered": "stop"}, ok=False)
    assert stopped.status != 0
    assert "There is no package for 1 host (gone)" in stopped.output
    assert fleet.plan().digest != plan.digest


def test_what_cannot_be_built_holds_nothing_up(fleet, hosts):
    fleet.patch.write_text(fleet.patch.read_text().replace("int answ = 0;", "int answer = 42;"))
    run = fleet.run("build", version="2.0", ok=False)
    assert run.status != 0 and "[nothing_built]" in run.output
    rows = fleet.manifest("2.0").kernels
    assert [(row.status, row.code) for row in rows] == [("refused", "patch_does_not_apply")] * len(hosts)
    assert all("int answer = 42;" in row.sentence and row.next_step for row in rows)
    assert all(row.sentence in run.output for row in rows)
    assert fleet.run("build", version="2.0", rebootless_policy={"uncovered": "stop"}, ok=False).status != 0
    planned = fleet.run("plan", version="2.0", ok=False)
    assert planned.status != 0
    assert "No host would get the update" in planned.output and "patch_does_not_apply" in planned.output
