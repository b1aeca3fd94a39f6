# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exposure of a fleet as a page, tables (CSV), JSON and metrics."""

from __future__ import annotations

import collections
import csv
import functools
import io
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.reach import ORDER, RANK
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure import metrics
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.exposure.join import LATE
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.names import natural, ranges
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.render import (
    cell,
    count,
    environment,
    iso,
)

TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")
MOST_CVES = 1000  # that have a row in the page
MOST_NAMED = 200  # of them whose hosts are named
MOST_RANGES = 30  # of names in a row
MOST_STEPS = 200  # CVEs whose way is told step by step
MOST_HOSTS = 300  # that have a row
FILES = {
    "html": "exposure.html",
    "csv": "exposure.csv",
    "hosts": "hosts.csv",
    "json": "exposure.json",
    "metrics": "exposure.prom",
}
OF_CVE = ("cve", "exploited", "score", "severity", "vector", "likely", "published", "title")
EXPOSURE_COLUMNS = (*OF_CVE, "reach", "standing", "due", "rule", "exception", "updates", "hosts", "names")
KERNEL_COLUMNS = ("host", "answered", "release", "version", "build_id", "open", "late", "excepted", "exploited")
HOST_COLUMNS = (*KERNEL_COLUMNS, *ORDER, "fixed_live", "first_due", "worst", "why")
Model = t.Dict[str, t.Any]


def files(model: Model) -> dict[str, bytes]:
    """The content of each of ``FILES``."""
    contents = {
        "html": as_html(model),
        "csv": as_csv(model),
        "hosts": hosts_csv(model),
        "json": strict_json.write(model, sort_keys=True).decode() + "\n",
        "metrics": metrics.render(model),
    }
    return {kind: content.encode() for kind, content in contents.items()}


def _hosts_of(model: Model) -> list[list[str]]:
    """The hosts of each exposure, in their natural order."""
    by_profile: dict[int, list[str]] = collections.defaultdict(list)
    for host in model["hosts"]:
        if host["profile"] is not None:
            by_profile[host["profile"]].append(host["name"])
    found: list[list[str]] = [[] for _exposure in model["exposures"]]
    for profile, names in by_profile.items():
        for place in model["profiles"][profile]:
            found[place] += names
    return found


def as_csv(model: Model) -> str:
    """A line for each CVE, place of its code and deadline, with the hosts that have it so; by the rank of the CVE."""
    hosts = _hosts_of(model)
    lines = sorted(zip(model["exposures"], hosts), key=lambda line: (line[0]["cve"], RANK[line[0]["reach"]]))
    return _table(EXPOSURE_COLUMNS, (_line(model, exposure, names) for exposure, names in lines))


def _line(model: Model, exposure: dict[str, t.Any], names: list[str]) -> dict[str, t.Any]:
    cve = model["cves"][exposure["cve"]]
    leave = exposure["leave"]
    return {
        **cve,
        **exposure,
        "cve": cve["cve"],
        "exploited": bool(cve["exploited"]),
        "published": _day(cve["timeline"]["published"]),
        "due": _day(exposure["due"]),
        "exception": "" if leave is None else model["policy"]["exceptions"][leave]["name"],
        "updates": " ".join(cve["updates"]),
        "hosts": len(names),
        "names": " ".join(_ranges(tuple(names))),
    }


# The CVEs of one module are on the same hosts.
_ranges = functools.lru_cache(maxsize=2000)(ranges)


def hosts_csv(model: Model) -> str:
    """A line for each host."""
    lines = (
        {
            **host,
            **host["reach"],
            "host": host["name"],
            "first_due": _day(host["first_due"]),
            "worst": " ".join(host["worst"]),
            "why": host["why"] or host["sentence"],
        }
        for host in model["hosts"]
    )
    return _table(HOST_COLUMNS, lines)


def _table(columns: t.Sequence[str], lines: t.Iterable[dict[str, t.Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({key: cell(line.get(key)) for key in columns})
    return stream.getvalue()


def _day(time: float | None) -> str:
    return "" if time is None else iso(time)[:10]


def as_html(model: Model) -> str:
    """The page, which names single hosts as far as there is room.

    Raises ``RebootlessError`` code ``missing_library`` where there is no jinja2.
    """
    made = environment(TEMPLATES)
    made.filters["day"] = _day
    shown = model["cves"][:MOST_CVES]
    told = [row for row in model["cves"] if row["updates"] or row["exploited"] or row[LATE]]
    hosts = sorted(model["hosts"], key=_urgency)
    return made.get_template("exposure.html.j2").render(
        model=model,
        cves=shown,
        named=_named(model, shown[:MOST_NAMED]),
        told=told[:MOST_STEPS],
        told_of=len(told),
        hosts=hosts[:MOST_HOSTS],
        clock=model["written"],
        most_ranges=MOST_RANGES,
    )


def _urgency(host: dict[str, t.Any]) -> tuple[t.Any, ...]:
    near = [-host["reach"][place] for place in ("vmlinux", "unknown", "loaded", "users")]
    return -host["exploited"], -host[LATE], host["answered"], *near, natural(host["name"])


def _named(model: Model, cves: t.Sequence[dict[str, t.Any]]) -> dict[str, list[str]]:
    """The hosts on which each of these CVEs is open, as ranges of names."""
    hosts = _hosts_of(model)
    names: dict[int, list[str]] = collections.defaultdict(list)
    for place, exposure in enumerate(model["exposures"]):
        if exposure["cve"] < len(cves):
            names[exposure["cve"]] += hosts[place]
    return {row["cve"]: ranges(names[place]) for place, row in enumerate(cves)}


def summary(model: Model) -> str:
    """The exposure in a sentence."""
    fleet, pairs = model["fleet"], model["fleet"]["pairs"]
    hosts = "1 host" if fleet["hosts"] == 1 else f"{count(fleet['hosts'])} hosts"
    exploited = sum(bool(row["exploited"]) and row["open"] > 0 for row in model["cves"])
    opened = sum(row["open"] > 0 for row in model["cves"])
    said = [
        f"{hosts}: {count(fleet['exposed'])} with open CVEs, {count(fleet['late'])} late, "
        f"{count(fleet['not_known'])} not known; {count(fleet['answered'])} answered.",
        f"{count(opened)} CVEs open, {count(exploited)} of them exploited; "
        f"{count(pairs[LATE])} of {count(pairs['open'])} pairs of host and CVE late.",
    ]
    return " ".join(said)
