# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets that lack fixes: answers of hosts, accounts of their kernels, and what is made of both."""

from __future__ import annotations

import copy
import datetime
import typing as t

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure import accounts, model
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.policy import Policy, read_policy
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.updates import Updates
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.sources import Sources

Row = dict[str, t.Any]
NOW = datetime.datetime(2026, 9, 1, 12, tzinfo=datetime.UTC).timestamp()
DAY = 86_400
OLD, NEW = "6.1.176-1", "6.1.187-1"
BUILDS = {OLD: "50" * 20, NEW: "53" * 20}
KEV = {"added": "2026-08-30", "due": "2026-09-13", "ransom": False}
EMPTY = Sources([], [], [])


def cve(number: str, objects: t.Sequence[str] = ("vmlinux",), state: str = "open", **more: t.Any) -> Row:
    """A row of ``kernel_cves``."""
    return {
        "cve": number,
        "title": f"net: fix {number}",
        "state": state,
        "why": "",
        "files": ["net/core/dev.c"],
        "concerns": "built",
        "objects": list(objects),
        "vector": "",
        "score": None,
        "severity": "",
        "exploited": None,
        "likely": None,
        "published": "2026-08-01T00:00:00Z",
        "fix": {"commit": "f" * 40, "version": "6.1.177", "in_mirror": True, "time": "2026-08-05T00:00:00Z"},
        "shipped": {"version": NEW, "by": ["version"]},
        **more,
    }


def account(cves: t.Sequence[Row], version: str = OLD, **more: t.Any) -> Row:
    """What ``kernel_cves`` returns."""
    return {
        "kernel": {"version": version, "linux": version.partition("-")[0], "series": "6.1"},
        "feed": {"records": {"time": NOW - DAY}, "stable": {"time": NOW - DAY}, "exploited": {}},
        "notes": [],
        "tree": "/srv/trees/one",
        "cves": list(cves),
        **more,
    }


def answer(version: str = OLD, build_id: str = "", **more: t.Any) -> Row:
    """What a host says, as the controller keeps it."""
    kernel = {
        "version": version,
        "release": "6.1.0-50-cloud-amd64",
        "build_id": build_id or BUILDS.get(version, "ff" * 20),
        "boot_id": "boot-1",
        "uptime": 10.0 * DAY,
        "updates": more.pop("updates", []),
    }
    modules = {"complete": True, "loaded": ["sctp"], "users": ["tipc"], "root": ["slip"], "never": []}
    said = {"reachable": True, "time": "2026-09-01T11:59:00Z", "booted": NOW - 10 * DAY, "seen": {}}
    return {**said, "kernel": kernel, "modules": {**modules, **more.pop("modules", {})}, **more}


def silent(last: Row | None = None) -> Row:
    return {"reachable": False, "why": "Connection timed out", "last": last}


def policy(
    deadlines: t.Any = "bod_26_04", exceptions: t.Any = (), groups: t.Mapping[str, t.Collection[str]] | None = None
) -> Policy:
    known = groups or {}
    return read_policy(deadlines, list(exceptions), known, {host for hosts in known.values() for host in hosts})


def exposure(
    hosts: t.Mapping[str, Row],
    told: t.Mapping[str, Row],
    rules: Policy | None = None,
    groups: t.Mapping[str, frozenset[str]] | None = None,
    sources: Sources = EMPTY,
    now: float = NOW,
) -> Row:
    """The model of hosts by their answers, with what ``kernel_cves`` says by version."""
    refusal = {"failed": True, "code": "series_not_in_feed", "sentence": "The feed has nothing of it."}
    fleet = model.Fleet(
        list(hosts),
        groups or {},
        lambda host: copy.deepcopy(hosts[host]),
        lambda kernel: accounts.account(kernel, told.get(kernel.version, refusal)),
        now,
    )
    return model.build(fleet, rules or policy(), Updates(sources), "ops@controller1")


def of_host(made: Row, name: str) -> list[Row]:
    """The exposures of a host with the numbers of their CVEs, the most urgent first."""
    (host,) = (row for row in made["hosts"] if row["name"] == name)
    places = [] if host["profile"] is None else made["profiles"][host["profile"]]
    rows = [made["exposures"][place] for place in places]
    return [{**row, "cve": made["cves"][row["cve"]]["cve"]} for row in rows]


def numbers(made: Row, name: str) -> list[str]:
    return [row["cve"] for row in of_host(made, name)]


def of_cve(made: Row, number: str) -> Row:
    (found,) = (row for row in made["cves"] if row["cve"] == number)
    return found
