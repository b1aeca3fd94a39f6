# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout as a chart: what stands where, for the template that draws it.

Few hosts have a lane each, from the begin of apply to confirm.  Of many the chart shows how many are confirmed and how
many soak, over time, and failures on a strip of their own: no chart has more shapes than ``MOST_PLACES`` allows.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report import states
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.names import natural
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.timescale import Scale

WIDTH = 1000.0
LEFT, RIGHT, TOP, FOOT = 150.0, 16.0, 34.0, 26.0  # margins: names, air, batches, times
LANE = 22.0  # height of one host
BATCH_AIR = 10.0  # between the hosts of two batches
MOST_LANES = 48
FLOW_WIDTH, FLOW_HEIGHT, STRIP_HEIGHT = WIDTH - RIGHT - LEFT, 260.0, 26.0
MOST_PLACES = 240  # steps of the curves
LETTER = 6.2  # width of a letter of a batch's name
TICKS = 7


def draw(rollout: dict[str, t.Any]) -> dict[str, t.Any] | None:
    """The chart of a rollout of the model; None if nothing has happened in it."""
    tracks = rollout["tracks"]
    if not tracks:
        return None
    now = rollout["ended"]
    spans = [(track["begun"], _last(track, now)) for track in tracks]
    # A batch is open while it soaks, even if no host of it is.
    spans += [(batch["begun"], batch["ended"]) for batch in rollout["batches"] if batch["begun"] is not None]
    scale = Scale(spans, LEFT, WIDTH - RIGHT)
    chart = _lanes(tracks, scale, now) if len(tracks) <= MOST_LANES else _flow(tracks, scale, rollout)
    bottom = chart["bottom"]
    return {
        **chart,
        "width": WIDTH,
        "height": bottom + FOOT,
        "top": TOP,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "bands": _bands(rollout["batches"], scale),
        "ticks": _spread(scale.ticks(TICKS)),
        "breaks": [{"x": x, "hours": _duration(seconds)} for x, seconds in scale.breaks],
    }


def _last(track: dict[str, t.Any], now: float) -> float:
    """When a host was settled; one that still soaks goes on until the last thing that happened."""
    settled = [track[key] for key in ("confirmed", "ended") if track[key] is not None]
    return max(settled) if settled else max(now, track["begun"])


def _bands(batches: list[dict[str, t.Any]], scale: Scale) -> list[dict[str, t.Any]]:
    """One for each batch that was begun; a name is left out where there is no room for it."""
    result, free = [], LEFT
    for index, batch in enumerate(batches):
        if batch["begun"] is None:
            continue
        left, right = scale.place(batch["begun"]), scale.place(batch["ended"])
        right = max(right, left + 1)
        name = batch["name"]
        roomy = left >= free - 1 and len(name) * LETTER < max(right - left, 0) + 24
        if roomy:
            free = left + len(name) * LETTER + 8
        result.append({"x": left, "width": right - left, "name": name if roomy else "", "odd": index % 2})
    return result


def _spread(ticks: list[tuple[float, str]]) -> list[dict[str, t.Any]]:
    """Ticks whose labels do not run into each other."""
    result: list[dict[str, t.Any]] = []
    free = 0.0
    for x, label in ticks:
        half = len(label) * LETTER / 2
        if x - half >= free and x + half <= WIDTH:
            result.append({"x": x, "label": label})
            free = x + half + 10
    return result


def _lanes(tracks: list[dict[str, t.Any]], scale: Scale, now: float) -> dict[str, t.Any]:
    ordered = sorted(tracks, key=lambda track: (_number(track["batch"]), natural(track["host"])))
    lanes, y, batch = [], TOP + 8, ordered[0]["batch"]
    for track in ordered:
        if track["batch"] != batch:
            y, batch = y + BATCH_AIR, track["batch"]
        begin, end = scale.place(track["begun"]), scale.place(_last(track, now))
        applied = begin if track["applied"] is None else scale.place(track["applied"])
        worked = end if track["applied"] is None else applied
        lanes.append(
            {
                "host": track["host"],
                "state": track["state"],
                "css": states.APPEARANCES[track["state"]].css,
                "y": y,
                "begin": begin,
                "work": max(worked - begin, 2.0),
                "soak_at": worked,
                "soak": max(end - worked, 0.0),
                "end": max(end, begin + 2.0),
                "settled": track["confirmed"] is not None or track["ended"] is not None,
                "code": track["code"],
            }
        )
        y += LANE
    return {"kind": "lanes", "lanes": lanes, "lane": LANE, "bottom": y + 4}


def _number(batch: int | None) -> int:
    return -1 if batch is None else batch


def _flow(tracks: list[dict[str, t.Any]], scale: Scale, rollout: dict[str, t.Any]) -> dict[str, t.Any]:
    """Confirmed and soaking hosts as areas on each other, of ``MOST_PLACES`` steps, and the failures of each place."""
    live, confirmed, failed = _counted(tracks, scale, rollout["ended"])
    total = max(rollout["hosts_planned"], 1)
    bottom = TOP + FLOW_HEIGHT
    strip = bottom + 6
    most = max(failed) or 1
    return {
        "kind": "flow",
        "live": _area(_running(live), bottom, total),
        "confirmed": _area(_running(confirmed), bottom, total),
        "levels": [
            {"y": bottom - FLOW_HEIGHT * part / 4, "label": f"{round(total * part / 4):,}"} for part in range(5)
        ],
        "plot_bottom": bottom,
        "failures": [
            {"x": _left_of(index), "height": 4 + (STRIP_HEIGHT - 8) * count / most, "count": count}
            for index, count in enumerate(failed)
            if count
        ],
        "strip": strip,
        "bottom": strip + STRIP_HEIGHT,
    }


def _counted(tracks: list[dict[str, t.Any]], scale: Scale, ended: float) -> tuple[list[int], list[int], list[int]]:
    """How many hosts more (or fewer) are live and confirmed from each place on, and how many failed at it."""

    def bin_of(time: float) -> int:
        return min(max(int((scale.place(time) - LEFT) / FLOW_WIDTH * MOST_PLACES), 0), MOST_PLACES)

    live, confirmed, failed = ([0] * (MOST_PLACES + 2) for _kind in range(3))
    for track in tracks:
        if track["applied"] is not None:
            live[bin_of(track["applied"])] += 1
            if track["ended"] is not None:
                live[bin_of(track["ended"])] -= 1
                if track["confirmed"] is not None:  # and taken back later
                    confirmed[bin_of(track["ended"])] -= 1
        if track["confirmed"] is not None:
            confirmed[bin_of(track["confirmed"])] += 1
            if track["applied"] is None:
                live[bin_of(track["confirmed"])] += 1
        if track["state"] == states.FAILED:
            failed[bin_of(_last(track, ended))] += 1
    return live, confirmed, failed


def _area(values: list[int], bottom: float, total: int) -> str:
    """The path, as SVG has it, around the hosts of each place."""
    points, before = [f"M{LEFT:.1f},{bottom:.1f}"], 0
    for index in range(MOST_PLACES + 1):
        if values[index] != before:
            before = values[index]
            points.append(f"H{_left_of(index):.1f}V{bottom - FLOW_HEIGHT * before / total:.1f}")
    return "".join(points) + f"H{LEFT + FLOW_WIDTH:.1f}V{bottom:.1f}Z"


def _left_of(place: int) -> float:
    return LEFT + FLOW_WIDTH * place / MOST_PLACES


def _running(changes: list[int]) -> list[int]:
    result, value = [], 0
    for change in changes:
        value += change
        result.append(value)
    return result


def _duration(seconds: float) -> str:
    """Hours or minutes, as one says it."""
    if seconds >= 172800:
        return f"{seconds / 86400:.0f} days"
    return f"{seconds / 3600:.0f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"
