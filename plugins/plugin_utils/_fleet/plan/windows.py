# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows and freezes: when work on a host may go on.

A window is `{"days": ["sat"], "start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}`: every Saturday from
22:00 on the clocks of Berlin until 04:00 on Sunday.  An end that is not after the start is on the next day.  A freeze
is `{"start": …, "end": …, "reason": …}` with ISO 8601 times that say their offset; no host is worked on in it.

Where clocks are set forward, a time that they skip stands for the moment of the jump.  Where they are set back, a
time that they show twice is the later one for a start and the earlier one for an end, so that a window is never
longer than both readings of it allow; one that would have nothing left lies in the first of the two hours.
"""

from __future__ import annotations

import datetime
import functools
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.rebootless.splice.plugins.module_utils._common import value_checks
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import fields
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import ListOf, Record, Row, holds
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

BAD_WINDOW, BAD_FREEZE = "bad_window", "bad_freeze"


DAY_LIST = fields.Value(
    lambda value: value_checks.list_of(value_checks.one_of(*DAYS))(value) and 0 < len(value) == len(set(value)),
    f"a list of days, each once: {', '.join(DAYS)}",
)


class Days(t.NamedTuple):
    """The kind of a field with days of the week, in the order in which they were given."""

    def read(self, value: t.Any, name: str, where: str, code: str) -> tuple[str, ...]:
        return tuple(DAY_LIST.read(value, name, where, code))

    def write(self, value: tuple[str, ...]) -> list[str]:
        return list(value)


A_START = fields.Value(lambda value: value_checks.matches(CLOCK)(value) and value != "24:00", "a time as HH:MM")
AN_END = fields.Value(value_checks.matches(CLOCK), "a time as HH:MM, up to 24:00")


@dataclass(frozen=True)
class Window(Record):
    """Time of the week, by the clocks of ``timezone``.

    Whether the controller knows the time zone is not asked when a window is read, but where plans are
    (:func:`zone`): the records of a run can be read, and hosts taken back, without it.
    """

    days: tuple[str, ...] = field(metadata=holds(Days()))
    start: str = field(metadata=holds(A_START))
    end: str = field(metadata=holds(AN_END))
    timezone: str = field(metadata=holds(fields.A_WORD))

    def around(self, begin: datetime.datetime, end: datetime.datetime) -> t.Iterator[Interval]:
        """The times, in UTC, at which it is open between ``begin`` and ``end``, and a little before and after."""
        place = zone(self.timezone)
        day = begin.astimezone(place).date() - 2 * DAY
        last = end.astimezone(place).date() + DAY
        while day <= last:
            if DAYS[day.weekday()] in self.days:
                yield self._on(day, place)
            day += DAY

    def _on(self, day: datetime.date, place: datetime.tzinfo) -> Interval:
        opens, closes = _minutes(self.start), _minutes(self.end)
        until = day if closes > opens else day + DAY
        start, end = _moment(day, opens, place, 1), _moment(until, closes, place, 0)
        return (start, end) if start < end else (_moment(day, opens, place, 0), end)


@dataclass(frozen=True)
class Freeze(Record):
    """Time in which no host is worked on; ``start`` and ``end`` as they were given, ``begins`` and ``ends`` in UTC."""

    start: str = field(metadata=holds(fields.A_WORD))
    end: str = field(metadata=holds(fields.A_WORD))
    reason: str = field(metadata=holds(fields.A_TEXT))

    @functools.cached_property
    def begins(self) -> datetime.datetime:
        return parse_time(self.start, "start of a freeze", BAD_FREEZE)

    @functools.cached_property
    def ends(self) -> datetime.datetime:
        return parse_time(self.end, "end of a freeze", BAD_FREEZE)

    def check(self, where: str, code: str) -> None:
        begins, ends = (parse_time(getattr(self, name), f"{where}, {name},", code) for name in ("start", "end"))
        if begins >= ends:
            raise fields.wrong(code, where, "ends before it begins")


WINDOWS = holds(ListOf(Window, "window {}", code=BAD_WINDOW))
FREEZES = holds(ListOf(Freeze, "freeze {}", code=BAD_FREEZE))
# Of a host that may have none besides those of its plan.
OWN_FREEZES = holds(ListOf(Freeze, "freeze {}", code=BAD_FREEZE, empty=False), omit=True)


@dataclass(frozen=True)
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


def read_windows(rows: t.Any, where: str, timezone: str = "UTC") -> list[Window]:
    """Windows as operators write them, completed with ``timezone`` where they name none; ``where`` names their place.

    Raises ``RebootlessError`` (``bad_window``, ``timezone_unknown``).
    """
    if not isinstance(rows, list):
        raise fields.wrong(BAD_WINDOW, f"The list of windows of {where}", f"is {rows!r}, and no list")
    complete: list[Row] = [{"timezone": timezone, **row} if isinstance(row, dict) else row for row in rows]
    windows = [
        Window.from_json(row, f"Window {number} of {where}", BAD_WINDOW) for number, row in enumerate(complete, 1)
    ]
    for window in windows:
        zone(window.timezone)
    return windows


def read_freezes(rows: t.Any, where: str) -> list[Freeze]:
    """Freezes as operators write them; ``where`` names their place.  Raises ``RebootlessError`` (``bad_freeze``)."""
    if not isinstance(rows, (list, tuple)):
        raise fields.wrong(BAD_FREEZE, f"The list of freezes of {where}", f"is {rows!r}, and no list")
    return [Freeze.from_json(row, f"A freeze of {where}", BAD_FREEZE) for row in rows]


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
            if until - begin >= needed and (not windows or begin <= end):
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
        for freeze in sorted(freezes, key=lambda freeze: freeze.begins):
            if freeze.ends <= start or freeze.begins >= until:
                continue
            if freeze.begins > start:
                yield start, freeze.begins
            start = max(start, freeze.ends)
        if start < until:
            yield start, until


def _why(windows: tuple[Window, ...], freezes: tuple[Freeze, ...], now: datetime.datetime) -> str:
    for freeze in freezes:
        if freeze.begins <= now < freeze.ends:
            why = f": {freeze.reason}" if freeze.reason else ""
            return f"Changes are frozen until {written(freeze.ends)}{why}."
    if any(start <= now < until for start, until in _merged(windows, now, now)):
        return "The window, or the time until the next freeze, has not enough room left."
    return "It is outside the maintenance windows."


def _minutes(clock: str) -> int:
    """Minutes since midnight."""
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


@functools.lru_cache(maxsize=256)
def zone(name: str) -> datetime.tzinfo:
    """The time zone of this name.  Raises ``RebootlessError`` (``timezone_unknown``)."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a directory
        raise RebootlessError(
            "timezone_unknown",
            f"The time zone {name!r} is not known to the controller.",
            "Give a name such as Europe/Berlin; on a small system install the package tzdata.",
            timezone=name,
        ) from error


def _moment(day: datetime.date, minutes: int, place: datetime.tzinfo, fold: int) -> datetime.datetime:
    """The moment in UTC at which the clocks of ``place`` show a time; ``fold`` 1 is the later one of two."""
    midnight = datetime.datetime(day.year, day.month, day.day)
    local = midnight + datetime.timedelta(minutes=minutes)
    early, late = (local.replace(tzinfo=place, fold=which).astimezone(UTC) for which in (0, 1))
    if early <= late:  # once, or twice
        return late if fold else early
    before, after = late, early  # PEP 495: in a gap the offsets are used the wrong way round
    offset = before.astimezone(place).utcoffset()
    while after - before > datetime.timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(place).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
