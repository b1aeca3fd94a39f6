# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exposure of a fleet as metrics, for the textfile collector of the controller.  Names and labels: docs/service.md.

Of each host there is one row for each number, of single CVEs only those that are exploited or late.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.prometheus import Row, exposition
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.join import LATE, STANDINGS
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.history import seconds

Model = t.Dict[str, t.Any]
Collect = t.Callable[[Model], t.Iterable[Row]]


def _hosts(model: Model) -> t.Iterable[Row]:
    for state in ("answered", "silent", "not_known", "exposed", "late"):
        yield {"state": state}, model["fleet"][state]


def _of_each_host(key: str) -> Collect:
    return lambda model: [({"host": host["name"]}, host[key]) for host in model["hosts"]]


def _open(model: Model) -> t.Iterable[Row]:
    """Pairs of host and CVE by how near the code is."""
    places: dict[tuple[str, str], int] = {}
    for row in model["cves"]:
        for place, hosts in row["reach"].items():
            key = place, "yes" if row["exploited"] else "no"
            places[key] = places.get(key, 0) + hosts
    return [({"reach": place, "exploited": said}, hosts) for (place, said), hosts in places.items()]


def _standings(model: Model) -> t.Iterable[Row]:
    for standing in STANDINGS:
        yield {"standing": standing}, sum(row[standing] for row in model["cves"])


def _of_urgent(key: str) -> Collect:
    def collect(model: Model) -> t.Iterable[Row]:
        for row in model["cves"]:
            if row["exploited"] or row[LATE]:
                yield {"cve": row["cve"], "exploited": "yes" if row["exploited"] else "no"}, row[key]

    return collect


# Metric: help, and its rows.  All are gauges.
METRICS: dict[str, tuple[str, Collect]] = {
    "rebootless_exposure_hosts": ("Hosts; not_known are those of which it is not known what they lack.", _hosts),
    "rebootless_exposure_open": ("Open CVEs of hosts, by how near their code is to users.", _open),
    "rebootless_exposure_standing": ("Open CVEs of hosts, by how they stand with their deadlines.", _standings),
    "rebootless_exposure_host_answered": ("Whether the host answered.", _of_each_host("answered")),
    "rebootless_exposure_host_open": ("Open CVEs of a host.", _of_each_host("open")),
    "rebootless_exposure_host_late": ("Open CVEs of a host whose deadline is over.", _of_each_host(LATE)),
    "rebootless_exposure_host_exploited": ("Open CVEs of a host that are exploited.", _of_each_host("exploited")),
    "rebootless_exposure_cve_open_hosts": ("Hosts with an open CVE that is exploited or late.", _of_urgent("open")),
    "rebootless_exposure_cve_late_hosts": ("Hosts on which it is late.", _of_urgent(LATE)),
    "rebootless_exposure_timestamp_seconds": (
        "When the exposure was written.",
        lambda model: [({}, seconds(model["written"]) or 0)],
    ),
}


def render(model: Model) -> str:
    """The metrics of a model."""
    return exposition((name, text, collect(model)) for name, (text, collect) in METRICS.items())
