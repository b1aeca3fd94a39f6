# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts answered is found in Ansible's variables, and told to people."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import answers, display
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.spread import (
    spread,
    survey,
    unbuilt,
    uncovered,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import Manifest, empty_kernel
from ansible_collections.rebootless.splice.tests.support.fleet.samples import BUILD_ID, RELEASE


class HostVars(dict):
    """Ansible's HostVars: what is read through `raw_get` has its templates still in it."""

    def raw_get(self, host):
        return {
            key: value if isinstance(value, (dict, tuple, list)) else "{{ it }}" for key, value in self[host].items()
        }


def kernel(name: str, version: str) -> dict:
    return {"release": RELEASE[name], "build_id": BUILD_ID[name], "version": version, "arch": "x86_64"}


HOSTS = HostVars(
    web1={"running": {"kernel": kernel("50", "6.1.176-1")}, "group_names": ["web"], "zone": "Asia/Tokyo"},
    web2={"running": {"kernel": kernel("47", "6.1.187-1")}, "group_names": ["web", "canary"]},
    far={"running": {"unreachable": True, "msg": "Task failed: No route\nmore"}, "group_names": []},
    other={"group_names": ["web"]},
    builder1={"ping": {"ping": "pong"}},
    builder2={"ping": {"unreachable": True}},
    builder3={"ping": {"failed": True}},
)


def test_only_hosts_with_an_answer_are_part_of_it():
    found = answers.registered(HOSTS, "running", ["zone"])
    assert list(found) == ["web1", "web2", "far"]
    assert found["web2"].groups == ("web", "canary")
    assert [host.own for host in found.values()] == [{"zone": "Asia/Tokyo"}, {}, {}]


def test_build_hosts_that_answer_get_work():
    assert answers.answering(HOSTS, ["builder3", "builder2", "builder1", "web1", "nobody"], "ping") == ["builder1"]


def test_what_people_are_shown_of_a_build():
    found = survey({name: host.answer for name, host in answers.registered(HOSTS, "running").items()})
    empty = Manifest("x", "1", [], {"linux": ["6.1.187-1"]}, [], [], [])
    wanted = unbuilt(found.kernels, empty)
    assert [row.release for row in wanted] == [RELEASE["50"]]  # the other has the fix
    assert display.build_lines(found, empty, spread(wanted, ["builder1"])) == [
        "x 1: 2 kernels in the fleet",
        f"  {RELEASE['47']} (6.1.187-1, build ID 474747474747), 1 host: has the fix already",
        f"  {RELEASE['50']} (6.1.176-1, build ID 505050505050), 1 host: to be built on builder1",
        "  far: It cannot be reached: No route.",
    ]
    assert uncovered(found.kernels, empty) == [RELEASE["50"]]
    entry = empty_kernel(RELEASE["50"], "", BUILD_ID["50"], "x86_64")
    for more, shown, left in (
        ({}, "not built; it is tried again next time. code: It is so. Do that.", [RELEASE["50"]]),
        ({"status": "not_applicable"}, "the update changes nothing in this kernel. code: It is so. Do that.", []),
        ({"status": "built", "functions": ["one", "two"]}, "built, 2 functions (one, two), not signed", []),
    ):
        said: dict[str, t.Any] = {"code": "code", "sentence": "It is so.", "next_step": "Do that.", **more}
        row = dataclasses.replace(entry, **said)
        manifest = Manifest("x", "1", [], {"linux": ["6.1.187-1"]}, [], [], [row])
        assert display.build_lines(found, manifest, {})[2].endswith(f"1 host: {shown}")
        assert uncovered(found.kernels, manifest) == left
