# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows and freezes: when work on a host may go on.

A window is `{"days": ["sat"], "start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}`: every Saturday from
22:00 on the clocks of Berlin until 04:00 on Sunday.  An end that is not after the start is on the next day.  A freeze
is `{"start": …, "end": …, "reason": …}` with ISO 8601 times that say their offset; in it nothing goes on anywhere.

Where clocks are set forward, a time that they skip stands for the moment of the jump.  Where they are set back, a
time that they show twice is the later one for a start and the earlier one for an end, so that a window is never
longer than both readings of it allow; one that would have nothing left lies in the first of the two hours.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import fields
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import UTC, parse_time, written

try:
    import zoneinfo
except ImportError:  # before Python 3.9, where no controller runs
    zoneinfo = None  # type: ignore[assignment]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")
DAY = datetime.timedelta(days=1)
FOREVER = datetime.datetime.max.replace(tzinfo=UTC)
# How far ahead an opening is looked for: first near, so that the usual question is cheap, at last beyond any freeze.
HORIZONS = (datetime.timedelta(days=9), datetime.timedelta(days=63), datetime.timedelta(days=400))

Interval = t.Tuple[datetime.datetime, datetime.datetime]

WINDOW = fields.Fields(
    {
        "days": (
            lambda value: fields.list_of(fields.one_of(*DAYS))(value) and 0 < len(value) == len(set(value)),
            f"a list of days, each once: {', '.join(DAYS)}",
        ),
        "start": (lambda value: fields.matches(CLOCK)(value) and value != "24:00", "a time as HH:MM"),
        "end": (fields.matches(CLOCK), "a time as HH:MM, up to 24:00"),
        "timezone": fields.A_WORD,
    }
)
FREEZE = fields.Fields({"start": fields.A_WORD, "end": fields.A_WORD, "reason": fields.A_TEXT})


@dataclasses.dataclass(frozen=True)
class Window:
    """Time of the week; ``start`` and ``end`` are minutes since midnight on the clocks of ``timezone``."""

    days: tuple[str, ...]
    start: int
    end: int
    timezone: str

    def around(self, begin: datetime.datetime, end: datetime.datetime) -> t.Iterator[Interval]:
        """The times, in UTC, at which it is open between ``begin`` and ``end``, and a little before and after."""
        zone = _zone(self.timezone)
        day = begin.astimezone(zone).date() - 2 * DAY
        last = end.astimezone(zone).date() + DAY
        while day <= last:
            if DAYS[day.weekday()] in self.days:
                yield self._on(day, zone)
            day += DAY

    def _on(self, day: datetime.date, zone: datetime.tzinfo) -> Interval:
        until = day if self.end > self.start else day + DAY
        start, end = _moment(day, self.start, zone, 1), _moment(until, self.end, zone, 0)
        return (start, end) if start < end else (_moment(day, self.start, zone, 0), end)


@dataclasses.dataclass(frozen=True)
class Freeze:
    """Time in which nothing goes on; ``start`` and ``end`` in UTC."""

    start: datetime.datetime
    end: datetime.datetime
    reason: str


@dataclasses.dataclass(frozen=True)
class Opening:
    """When work may begin: at ``at`` (``None``: not within 400 days), to end at ``until`` (``None``: no limit).

    ``why`` says in a sentence why it may not begin at once; empty if it may.
    """

    at: datetime.datetime | None
    until: datetime.datetime | None
    why: str

    @property
    def now(self) -> bool:
        return self.why == ""


def read_windows(rows: t.Any, where: str, timezone: str = "UTC") -> list[dict[str, t.Any]]:
    """Windows as operators write them, completed with ``timezone`` where they name none, in the form that plans have.

    Raises ``RebootlessError`` (``bad_window``, ``timezone_unknown``); ``where`` names their place.
    """
    if not isinstance(rows, list):
        raise fields.wrong("bad_window", where, "is no list of windows")
    complete = [{"timezone": timezone, **row} if isinstance(row, dict) else row for row in rows]
    for number, row in enumerate(complete, 1):
        parse_window(row, f"Window {number} of {where}")
    return complete


def parse_window(row: t.Any, where: str) -> Window:
    """One window.  Raises ``RebootlessError`` (``bad_window``, ``timezone_unknown``)."""
    WINDOW.check(row, where, "bad_window")
    _zone(row["timezone"])
    days = tuple(day for day in DAYS if day in row["days"])
    return Window(days, _minutes(row["start"]), _minutes(row["end"]), row["timezone"])


def parse_freeze(row: t.Any, where: str) -> Freeze:
    """One freeze.  Raises ``RebootlessError`` (``bad_freeze``)."""
    FREEZE.check(row, where, "bad_freeze")
    start, end = (parse_time(row[name], f"{name} of {where}", "bad_freeze") for name in ("start", "end"))
    if start >= end:
        raise fields.wrong("bad_freeze", where, "ends before it begins")
    return Freeze(start, end, row["reason"])


def opening(
    windows: t.Sequence[Window], freezes: t.Sequence[Freeze], now: datetime.datetime, seconds_needed: float
) -> Opening:
    """When ``seconds_needed`` seconds of work may next begin, ``now`` (with its time zone) if possible.

    Windows that touch or overlap are one; without windows it is always open.
    """
    return _opening(tuple(windows), tuple(freezes), now.astimezone(UTC), float(seconds_needed))


@functools.lru_cache(maxsize=1024)  # the hosts of a batch share few sets of windows
def _opening(
    windows: tuple[Window, ...], freezes: tuple[Freeze, ...], now: datetime.datetime, seconds_needed: float
) -> Opening:
    needed = datetime.timedelta(seconds=seconds_needed)
    for horizon in HORIZONS:
        end = now + horizon
        for start, until in _without(freezes, _merged(windows, now, end)):
            begin = max(start, now)
            if begin + needed <= until and (not windows or begin <= end):
                limit = None if until == FOREVER else until
                return Opening(begin, limit, "" if begin == now else _why(windows, freezes, now))
        if not windows:
            break
    return Opening(None, None, _why(windows, freezes, now))


def _merged(windows: tuple[Window, ...], now: datetime.datetime, end: datetime.datetime) -> list[Interval]:
    if not windows:
        return [(now, FOREVER)]
    merged: list[Interval] = []
    for start, until in sorted(interval for window in windows for interval in window.around(now, end)):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until))
        else:
            merged.append((start, until))
    return [interval for interval in merged if interval[1] > now]


def _without(freezes: tuple[Freeze, ...], intervals: list[Interval]) -> t.Iterator[Interval]:
    for start, until in intervals:
        for freeze in sorted(freezes, key=lambda freeze: freeze.start):
            if freeze.end <= start or freeze.start >= until:
                continue
            if freeze.start > start:
                yield start, freeze.start
            start = max(start, freeze.end)
        if start < until:
            yield start, until


def _why(windows: tuple[Window, ...], freezes: tuple[Freeze, ...], now: datetime.datetime) -> str:
    for freeze in freezes:
        if freeze.start <= now < freeze.end:
            return f"Changes are frozen until {written(freeze.end)}" + (f": {freeze.reason}." if freeze.reason else ".")
    if any(start <= now < until for start, until in _merged(windows, now, now)):
        return "The window, or the time until the next freeze, has not enough room left."
    return "It is outside the maintenance windows."


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


@functools.lru_cache(maxsize=256)
def _zone(name: str) -> datetime.tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a directory
        raise RebootlessError(
            "timezone_unknown",
            f"The time zone {name!r} is not known to the controller.",
            "Give a name such as Europe/Berlin; on a small system install the package tzdata.",
            timezone=name,
        ) from error


def _moment(day: datetime.date, minutes: int, zone: datetime.tzinfo, fold: int) -> datetime.datetime:
    """The moment in UTC at which the clocks of ``zone`` show a time; ``fold`` 1 is the later one of two."""
    midnight = datetime.datetime(day.year, day.month, day.day)
    local = midnight + datetime.timedelta(minutes=minutes)
    early, late = (local.replace(tzinfo=zone, fold=which).astimezone(UTC) for which in (0, 1))
    if early <= late:  # once, or twice
        return late if fold else early
    before, after = late, early  # PEP 495: in a gap the offsets are used the wrong way round
    offset = before.astimezone(zone).utcoffset()
    while after - before > datetime.timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
