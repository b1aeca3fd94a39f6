# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as an HTML page, a table (CSV) and JSON.

All text is escaped where it is put into the page; besides, the page forbids itself everything but its own style.
"""

from __future__ import annotations

import csv
import datetime
import io
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report import states
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.history import UTC
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.names import ranges
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.timeline import draw

try:
    import jinja2
except ImportError:  # ansible-test imports this file without any library; a controller has it
    jinja2 = None  # type: ignore[assignment]

TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")
MOST_ROWS = 300  # of single hosts in the page; what is beyond is named in the table of kernels, and in the CSV file
MOST_CHARTS = 5
MOST_UPDATES = 5  # that the summary has a sentence for
COLUMNS = (
    "host",
    "update",
    "version",
    "state",
    "live",
    "answered",
    "release",
    "effective_release",
    "build_id",
    "batch",
    "begun",
    "applied",
    "confirmed",
    "ended",
    "pause_ns",
    "code",
    "sentence",
    "next_step",
)
TIMES = ("begun", "applied", "confirmed", "ended")
FORMULA = ("=", "+", "-", "@")  # how a cell begins that a spreadsheet takes for a formula


def as_json(model: dict[str, t.Any]) -> str:
    return strict_json.write(model, indent=1, sort_keys=True).decode() + "\n"


def as_csv(model: dict[str, t.Any]) -> str:
    """One line for each host and update, worst first; a host without updates has one line."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for host in model["hosts"]:
        for name, entry in (host["updates"] or {"": {"state": host["state"]}}).items():
            kernel = {key: host[key] for key in ("release", "effective_release", "build_id", "answered")}
            row = {**entry, **kernel, "host": host["name"], "update": name}
            row.update({key: iso(entry[key]) for key in TIMES if entry.get(key)})
            writer.writerow({key: cell(row.get(key)) for key in COLUMNS})
    return stream.getvalue()


def cell(value: object) -> str:
    """The value as a cell that no spreadsheet evaluates."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    shown = "" if value is None else str(value)
    return "'" + shown if shown.startswith(FORMULA) else shown


def as_html(model: dict[str, t.Any]) -> str:
    """The page.  Raises ``RebootlessError`` code ``missing_library`` where there is no jinja2."""
    charts = {rollout["digest"]: draw(rollout) for rollout in model["rollouts"][:MOST_CHARTS]}
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            model=model,
            charts=charts,
            appearances=states.APPEARANCES,
            rows=single_rows(model["hosts"]),
            most_charts=MOST_CHARTS,
        )
    )


def environment(*templates: str) -> jinja2.Environment:
    """What renders pages, from the templates in these directories and those here.

    Raises ``RebootlessError`` code ``missing_library`` where there is no jinja2.
    """
    if jinja2 is None:
        raise RebootlessError(
            "missing_library",
            "The Python library jinja2 is not installed for the interpreter that runs Ansible.",
            "Install it there; ansible-core itself needs it.",
        )
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*templates, TEMPLATES]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters.update(
        at=at, clock=clock, span=span, count=count, percent=percent, pause=pause, ranges=ranges, short=short
    )
    return made


def single_rows(hosts: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """The hosts that have a row of their own: all of them, or of many those that need a look."""
    if len(hosts) <= MOST_ROWS:
        return hosts
    bad = [host for host in hosts if host["state"] in (states.FAILED, states.UNKNOWN) or host["answered"] is False]
    return bad[:MOST_ROWS]


def iso(time: float) -> str:
    return datetime.datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def at(time: object) -> str:
    """A time (seconds of the epoch, or ISO) for a reader: 22 Nov 2026, 21:04 UTC; as it is if it is none."""
    try:
        if isinstance(time, (int, float)):
            moment = datetime.datetime.fromtimestamp(time, UTC)
        else:
            moment = datetime.datetime.fromisoformat(str(time).replace("Z", "+00:00")).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return str(time or "")
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def clock(time: float | None) -> str:
    return "" if time is None else f"{datetime.datetime.fromtimestamp(time, UTC):%H:%M:%S}"


def span(seconds: float | None) -> str:
    """A duration: 42 s, 3 min 10 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None:
        return ""
    whole = round(seconds)
    for unit, size, small, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def count(value: int) -> str:
    """12345 as 12,345."""
    return f"{value:,}"


def percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 3) if whole else 0.0


def pause(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.1f} ms" if nanoseconds >= 1_000_000 else f"{nanoseconds / 1000:.0f} µs"


def short(digest: str) -> str:
    return digest[:12]


def summary(model: dict[str, t.Any]) -> str:
    """The report in a sentence, and one for each of several updates."""
    fleet = model["fleet"]
    heard = f"{count(fleet['answered'])} of {count(fleet['hosts'])} answered" if model["live"] else "no host was asked"
    # A host counts by its worst update, so what became of one update among others would not be seen.
    single = [f"{row['name']} {row['version']}: {_numbers(row['states'])}." for row in model["updates"][:MOST_UPDATES]]
    more = len(model["updates"]) - len(single)
    single += [f"{count(more)} more updates are in the report."] if more else []
    each = ", each by its worst update" if len(model["updates"]) > 1 else ""
    hosts = "1 host" if fleet["hosts"] == 1 else f"{count(fleet['hosts'])} hosts"
    total = f"{hosts}{each}: {_numbers(model['states']) or 'none'}; {heard}."
    return " ".join([total, *(single if each else [])])


def _numbers(states: dict[str, int]) -> str:
    return ", ".join(f"{count(number)} {state}" for state, number in states.items() if number)
