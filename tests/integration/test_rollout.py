# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout of two stock kernels: forward, killed and started again, and back; with packages from a web server."""

from __future__ import annotations

import json
import os
import signal

import pytest

from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK
from ansible_collections.rebootless.splice.tests.support.observe import probe, traces
from ansible_collections.rebootless.splice.tests.support.plans import write_plan

NAME = "cve-2026-52928"


@pytest.fixture
def make_plan(builds, hosts, tmp_path):
    """Makes plans of two batches, one host each; what is left on the hosts afterwards is taken back."""
    built = {host.release: builds.update(host.release, NAME, SIOCATMARK) for host in hosts}
    made = []

    def make(**settings):
        batches = [[host] for host in hosts]
        made.append(write_plan(tmp_path, hosts[0].runner.inventory, batches, built, **settings))
        return made[-1]

    yield make
    names = ",".join(host.name for host in hosts)
    done = made[-1].run(
        "revert", rebootless_plan=None, rebootless_update=NAME, rebootless_targets=names, rebootless_remove=True
    )
    assert done.status == 0, done.output
    assert [traces(host) for host in hosts] == ["", ""]
    assert [probe(host) for host in hosts] == ["vulnerable", "vulnerable"]


def test_a_rollout_goes_forward_through_a_kill_and_back(make_plan, hosts):
    first, second = hosts
    plan = make_plan()

    checked = plan.run("rollout", "--check")
    assert checked.status == 0, checked.output
    assert f"{first.name} preflight: matched" in checked.output
    assert [traces(host) for host in hosts] == ["", ""]
    assert not plan.files.exists()

    running = plan.start("rollout")
    first.wait_until(lambda: plan.files.exists() and plan.states()[first.name] == "applied", 300)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert plan.states() == {first.name: "applied", second.name: "pending"}

    done = plan.run("rollout")
    assert done.status == 0, done.output
    assert plan.states() == {first.name: "confirmed", second.name: "confirmed"}
    assert [probe(host) for host in hosts] == ["fixed", "fixed"]
    pauses = {row["result"]["pause_ns"] for row in plan.lines(host=first.name, step="apply")}
    assert len(plan.lines(host=first.name, step="apply")) == 2
    assert len(pauses) == 1, "the second run found the first one's apply, and did not apply again"

    back = plan.run("revert")
    assert back.status == 0, back.output
    assert plan.states() == {first.name: "reversed", second.name: "reversed"}
    assert [probe(host) for host in hosts] == ["vulnerable", "vulnerable"]


@pytest.fixture
def mirrors(hosts):
    """Starts a web server on each host, for what is below /root/mirror there; gives functions that read their logs."""
    log = "/root/mirror/log"
    serve = f"exec python3 -m http.server 8123 --bind 127.0.0.1 --directory /root/mirror 2> {log}"
    servers = []
    for host in hosts:
        host.run("mkdir /root/mirror")
        servers.append(host.start(serve))
        host.wait_until(
            lambda host=host: host.run("bash -c 'true < /dev/tcp/127.0.0.1/8123'", check=False).returncode == 0
        )
    yield [lambda host=host: host.out(f"cat {log}") for host in hosts]
    for host, server in zip(hosts, servers, strict=True):
        host.run("pkill -f [h]ttp.server; rm -r /root/mirror")
        server.communicate(timeout=30)


def test_hosts_fetch_their_packages_from_a_web_server(make_plan, mirrors, hosts):
    first, second = hosts
    plan = make_plan(store_url="http://127.0.0.1:8123/updates/")
    rows = json.loads(plan.path.read_text())["hosts"]
    place = f"/root/mirror/updates/{NAME}/1.0"
    for host in hosts:
        package = plan.path.parent / "store" / NAME / "1.0" / rows[host.name]["package"]
        host.run(f"mkdir -p {place}")
        host.put(package, f"{place}/{package.name}")
    spoilt = f"{place}/{rows[second.name]['package']}"
    content = second.read(spoilt)
    second.write(spoilt, content[:999] + bytes([content[999] ^ 1]) + content[1000:])

    done = plan.run("rollout")
    assert done.status == 2, done.output
    assert plan.states() == {first.name: "confirmed", second.name: "failed"}
    assert [probe(host) for host in hosts] == ["fixed", "vulnerable"]
    assert {row["code"] for row in plan.lines(host=second.name, state="failed")} == {"package_digest_mismatch"}
    assert [log().count("GET /updates/") for log in mirrors] == [1, 1]

    second.write(spoilt, content)
    done = plan.run("rollout", rebootless_continue=True, rebootless_retry=second.name)
    assert done.status == 0, done.output
    assert plan.states() == {first.name: "confirmed", second.name: "confirmed"}
    assert [probe(host) for host in hosts] == ["fixed", "fixed"]
    assert [log().count("GET /updates/") for log in mirrors] == [1, 2]
