# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan to test with: three hosts in two batches, and one host of each kind that is left out."""

from __future__ import annotations

import copy
import typing as t

BUILD_ID = {"47": "47" * 20, "50": "50" * 20}
RELEASE = {"47": "6.1.0-47-cloud-amd64", "50": "6.1.0-50-cloud-amd64"}


def _host(kernel: str, batch: int, ring: str, **more: t.Any) -> dict[str, t.Any]:
    return {
        "release": RELEASE[kernel],
        "build_id": BUILD_ID[kernel],
        "arch": "x86_64",
        "batch": batch,
        "ring": ring,
        "package": f"cve-2026-52928-1.0-{BUILD_ID[kernel][:12]}.rbl.tar.gz",
        "sha256": kernel * 32,
        "size": 91668,
        "windows": [],
        "timezone": "UTC",
        **more,
    }


def _left_out(state: str, code: str, kernel: str | None = None) -> dict[str, str]:
    return {
        "state": state,
        "code": code,
        "sentence": f"It is {state}.",
        "next_step": "",
        "release": RELEASE[kernel] if kernel else "",
        "build_id": BUILD_ID[kernel] if kernel else "",
    }


NIGHT = {"days": ["sat", "sun"], "start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}
FAIR = {"start": "2026-12-05T08:00:00Z", "end": "2026-12-06T20:00:00Z", "reason": "a fair"}

_PLAN = {
    "format": 1,
    "kind": "rollout",
    "update": {
        "name": "cve-2026-52928",
        "version": "1.0",
        "cves": ["CVE-2026-52928"],
        "fixed_in": {"linux": ["6.1.187-1"]},
        "manifest_sha256": "ab" * 32,
    },
    "created": "2026-11-23T12:00:00Z",
    "created_by": "operator@controller",
    "expires": None,
    "store": "/srv/rebootless/store",
    "store_url": None,
    "hosts": {
        "web1": _host("50", 0, "canary"),
        "web2": _host("47", 1, "web", windows=[NIGHT], timezone="Europe/Berlin"),
        "web3": _host("50", 1, "web", freezes=[FAIR]),
    },
    "left_out": {
        "db1": _left_out("uncovered", "unsafe_change", "47"),
        "db2": _left_out("not needed", "kernel_has_fix", "50"),
        "db3": _left_out("reboot needed", "fixed_kernel_installed", "47"),
        "db4": _left_out("unreachable", "unreachable"),
    },
    "batches": [{"name": "canary", "hosts": ["web1"]}, {"name": "web", "hosts": ["web2", "web3"]}],
    "checks": [],
    "check_times": [0, 60, 300, 900],
    "deadline": 1500,
    "task_timeout": 300,
    "failure_budget": {"hosts": 0, "percent": 0},
    "revert_scope": "batch",
    "concurrency": 0,
    "persist": True,
    "windows": [],
    "freezes": [
        {"start": "2026-12-23T00:00:00+01:00", "end": "2027-01-02T00:00:00+01:00", "reason": "end of the year"}
    ],
    "policy": {"uncovered": "report"},
    "tries": 11,
    "metrics_directory": None,
    "approvals": {"required": 0},
}


def plan(**changes: t.Any) -> dict[str, t.Any]:
    """A plan as a table, with other values for some of its fields."""
    return {**copy.deepcopy(_PLAN), **changes}
