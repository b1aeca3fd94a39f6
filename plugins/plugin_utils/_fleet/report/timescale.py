# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From times to places on a chart, with long pauses cut out."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import UTC

LEAST_PAUSE_S = 600  # shorter pauses are never cut out
PAUSE_SHARE = 0.2  # of the time in which something happened: a pause longer than that is cut out
BREAK_WIDTH = 28.0  # of what stands for a pause
# Distances of ticks, in seconds.
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
Span = t.Tuple[float, float]


class Scale:
    """Places from ``left`` to ``right`` for the times of ``spans`` (pairs of begin and end, in seconds).

    Times in which no span is open, for long, are cut out: ``breaks`` has their places and lengths.
    """

    def __init__(self, spans: t.Iterable[Span], left: float, right: float) -> None:
        self._stretches = _stretches(list(spans))
        shown = sum(end - begin for begin, end in self._stretches) or 1.0
        width = right - left - BREAK_WIDTH * (len(self._stretches) - 1)
        self.per_second = max(width, 1.0) / shown
        self._lefts: list[float] = []
        self.breaks: list[tuple[float, float]] = []  # left edge, seconds that are left out
        place = left
        for index, (begin, end) in enumerate(self._stretches):
            if index:
                self.breaks.append((place, begin - self._stretches[index - 1][1]))
                place += BREAK_WIDTH
            self._lefts.append(place)
            place += (end - begin) * self.per_second

    def place(self, time: float) -> float:
        """Where a time is; one that is cut out is at the nearest edge."""
        found = self._lefts[0]
        for (begin, end), left in zip(self._stretches, self._lefts):
            if time >= begin:
                found = left + (min(time, end) - begin) * self.per_second
        return found

    def ticks(self, wanted: int) -> list[tuple[float, str]]:
        """About ``wanted`` places with what stands at them: the time of day, and the date where it is another one."""
        shown = sum(end - begin for begin, end in self._stretches)
        step = next((step for step in STEPS if shown / step <= wanted), STEPS[-1])
        while shown / step > 2 * wanted:
            step *= 2
        result, day = [], ""
        for begin, end in self._stretches:
            time = -(-begin // step) * step
            while time <= end:
                moment = datetime.datetime.fromtimestamp(time, UTC)
                today = f"{moment.day} {moment:%b}"
                clock = f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"
                result.append((self.place(time), clock if today == day else f"{clock}, {today}"))
                day = today
                time += step
        return result


def _stretches(spans: list[Span]) -> list[Span]:
    """The spans joined where no long pause is between them; never empty, never of no length."""
    joined: list[list[float]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([begin, end])
    if not joined:
        return [(0.0, 1.0)]
    longest = max(LEAST_PAUSE_S, PAUSE_SHARE * sum(end - begin for begin, end in joined))
    stretches = joined[:1]
    for begin, end in joined[1:]:
        if begin - stretches[-1][1] > longest:
            stretches.append([begin, end])
        else:
            stretches[-1][1] = end
    # A stretch of a moment would be invisible.
    least = max(sum(end - begin for begin, end in stretches) / 50, 1.0)
    return [(begin, max(end, begin + least)) for begin, end in stretches]
