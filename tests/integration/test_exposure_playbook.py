# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook ``exposure`` on a stock kernel and on a host that does not answer, with a feed of real records."""

from __future__ import annotations

import csv
import json
import pathlib
import typing as t

import pytest

from ansible_collections.rebootless.splice.tests.support import feed_sources
from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK, Builds
from ansible_collections.rebootless.splice.tests.support.documented import undocumented
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION
from ansible_collections.rebootless.splice.tests.support.runner import Run, Runner

RECORDS = COLLECTION / "tests" / "unit" / "fixtures" / "records"
AF_UNIX = "CVE-2026-52928"
# One of each place; the commits are in no mirror, so that the files are those of the records.
OWN = {
    "CVE-2026-10001": "net/sctp/socket.c",
    "CVE-2026-10002": "net/sched/act_pedit.c",
    "CVE-2026-10003": "drivers/net/dummy.c",
    "CVE-2026-10004": "net/can/bcm.c",  # which the cloud flavour does not build
}
CHANGELOG = """\
linux (6.1.176-1) bookworm-security; urgency=high

  * New upstream stable update:
    https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.1.176
    - net: nothing of what is looked for

 -- Maintainer <maintainer@example.org>  Thu, 02 Jul 2026 15:50:42 +0200
"""
GONE = {"all": {"hosts": {"gone": {"ansible_host": "127.0.0.1", "ansible_port": 9}}}}


@pytest.fixture
def variables(tmp_path: pathlib.Path, builds: Builds) -> dict[str, object]:
    """A feed that was read, and a tree in the cache."""
    sources = feed_sources.Sources(tmp_path / "sources")
    for path in sorted(RECORDS.glob("CVE-2026-*")):
        sources.records.write(path.stem, path.suffix[1:], path.read_text())
    pair = ("5.15", feed_sources.FIRST, "6.1.177", "a" * 40)
    for number, file in OWN.items():
        sources.records.publish(number, f"net: one in {file}", [file], [pair])
    sources.records.record()
    exploited = {"vulnerabilities": [{"cveID": "CVE-2026-10001", "dateAdded": "2026-11-30"}]}
    (tmp_path / "kev.json").write_text(json.dumps(exploited))
    (tmp_path / "changelog").write_text(CHANGELOG)
    builds.tree("6.1.0-50-cloud-amd64")
    read = {
        "rebootless_feed_kernels": ["6.1.2-1"],
        "rebootless_targets": "localhost",
        "feed_path": str(tmp_path / "feed"),
        "feed_records_url": f"file://{sources.records.path}",
        "feed_stable_url": f"file://{sources.stable.path}",
        "feed_changelogs": {"6.1": str(tmp_path / "changelog")},
        "feed_exploited_url": f"file://{tmp_path / 'kev.json'}",
        "feed_max_age": 0,
    }
    Runner().playbook("rebootless.splice.feed", variables=read)
    (tmp_path / "gone.json").write_text(json.dumps(GONE))
    return {
        "rebootless_directory": str(tmp_path / "fleet"),
        "feed_path": read["feed_path"],
        "feed_cache": str(builds.cache),
    }


def exposed(host: Host, variables: dict[str, object], *arguments: str, ok: bool = True) -> Run:
    more = {**variables, "rebootless_targets": [host.name, "gone"]}
    inventory = pathlib.Path(str(variables["rebootless_directory"])).parent / "gone.json"
    return host.runner.playbook("rebootless.splice.exposure", "-i", str(inventory), *arguments, variables=more, ok=ok)


def written(variables: dict[str, object]) -> dict[str, t.Any]:
    path = pathlib.Path(str(variables["rebootless_directory"]), "exposure", "report")
    with (path / "exposure.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return {"rows": {row["cve"]: row for row in rows}, "model": json.loads((path / "exposure.json").read_bytes())}


def places(variables: dict[str, object]) -> dict[str, str]:
    return {cve: row["reach"] for cve, row in written(variables)["rows"].items()}


def test_a_stock_host(host50: Host, variables: dict[str, object], builds: Builds) -> None:
    host50.run("modprobe -r sctp act_pedit dummy 2>/dev/null", check=False)
    first = exposed(host50, variables, "--check", "--diff")
    said = first.of(host50.name, "Say what each host lacks")
    assert said["changed"] and AF_UNIX in said["diff"][0]["after"]
    assert not pathlib.Path(str(variables["rebootless_directory"])).exists()

    run = exposed(host50, variables)
    said = run.of(host50.name, "Say what each host lacks")
    assert said["changed"] and undocumented("fleet_exposure", said) == []
    assert (said["hosts"]["answered"], said["hosts"]["silent"], said["hosts"]["not_known"]) == (1, 1, 1)
    found = written(variables)
    assert places(variables) == {
        "CVE-2026-10001": "users",
        AF_UNIX: "vmlinux",
        "CVE-2026-10002": "users",
        "CVE-2026-10003": "users",
        "CVE-2026-00001": "vmlinux",  # the series has no fix for it
    }
    assert list(found["rows"])[0] == "CVE-2026-10001" and found["rows"]["CVE-2026-10001"]["exploited"] == "yes"
    way = next(row for row in found["model"]["cves"] if row["cve"] == AF_UNIX)
    assert (way["timeline"]["hosts"], way["timeline"]["fixed"]) == (2, 0)
    again = exposed(host50, variables)
    assert not again.of(host50.name, "Say what each host lacks")["changed"]

    # What an operator does about modules is seen.
    host50.write("/etc/modprobe.d/hardening.conf", b"install sctp /bin/true\n")
    host50.run("sysctl -qw user.max_user_namespaces=0 && modprobe dummy")
    late = {**variables, "rebootless_deadlines": [{"name": "all", "days": 0}], "rebootless_exposure_fail": True}
    failed = exposed(host50, late, ok=False)
    assert failed.status != 0 and "deadline_over" in failed.output and host50.name in failed.output
    now = places(variables)
    assert (now["CVE-2026-10001"], now["CVE-2026-10002"], now["CVE-2026-10003"]) == ("root", "root", "loaded")
    assert written(variables)["model"]["fleet"]["late"] == 1

    # And what is fixed live is not open any more.
    built = builds.update(host50.release, "exposed", SIOCATMARK)
    host50.write("/root/update.rbl.tar.gz", built.content)
    assert host50.module("update", package="/root/update.rbl.tar.gz")["changed"]
    exposed(host50, variables)
    assert AF_UNIX not in places(variables)
    way = next(row for row in written(variables)["model"]["cves"] if row["cve"] == AF_UNIX)
    assert (way["open"], way["timeline"]["fixed"], way["timeline"]["half"] is not None) == (0, 1, True)


def test_refusals_reach_the_operator(host50: Host, variables: dict[str, object], tmp_path: pathlib.Path) -> None:
    task = "Say what each host lacks"
    empty = exposed(host50, {**variables, "feed_path": str(tmp_path / "nowhere")}, ok=False)
    assert empty.status != 0 and empty.of(host50.name, task)["code"] == "no_feed"
    wrong = exposed(host50, {**variables, "rebootless_deadlines": "none"}, ok=False)
    assert wrong.status != 0 and wrong.of(host50.name, task)["code"] == "bad_deadlines"
    silent = host50.runner.playbook(
        "rebootless.splice.exposure",
        "-i",
        str(tmp_path / "gone.json"),
        variables={**variables, "rebootless_targets": "gone"},
        ok=False,
    )
    assert silent.status != 0 and silent.of("gone", task)["code"] == "no_answer"
    assert not (pathlib.Path(str(variables["rebootless_directory"])) / "exposure" / "report").exists()
