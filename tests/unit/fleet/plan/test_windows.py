# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When work may begin, on the clocks of the place, also where they jump."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import times
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import windows
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.windows import DAYS, Freeze, Window
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.times import UTC

BERLIN = "Europe/Berlin"
HOUR = 3600


def window(days, start, end, timezone=BERLIN) -> Window:
    (found,) = windows.read_windows(
        [{"days": days.split(), "start": start, "end": end, "timezone": timezone}], "the test"
    )
    return found


def at(text: str) -> datetime.datetime:
    return times.parse_time(text, "a time of the test", "bad_test")


def freeze(start: str, end: str) -> Freeze:
    (found,) = windows.read_freezes([{"start": start, "end": end, "reason": "a fair"}], "the test")
    return found


def opens(row, now: str, seconds: float = HOUR, freezes=()) -> tuple[str, str]:
    """When it opens and closes, on the clocks of UTC."""
    rows = row if isinstance(row, list) else [row]
    found = windows.opening(rows, freezes, at(now), seconds)
    assert found.now == (found.at == at(now))
    return times.written(found.at) if found.at else "", times.written(found.until) if found.until else ""


def length(row: Window, day: str) -> float:
    """Hours that a window is open that begins after a time."""
    found = windows.opening([row], (), at(day), 1)
    assert found.at and found.until
    return (found.until - found.at).total_seconds() / HOUR


NIGHT = window("sat sun", "22:00", "04:00")


@pytest.mark.parametrize(
    ("now", "begin"),
    [
        ("2026-11-21T21:00:00+01:00", "2026-11-21T21:00:00Z"),  # Saturday, an hour early
        ("2026-11-21T22:00:00+01:00", "2026-11-21T21:00:00Z"),  # to the second
        ("2026-11-22T02:59:59+01:00", "2026-11-22T01:59:59Z"),  # past midnight, a second before it is too late
        ("2026-11-22T03:00:01+01:00", "2026-11-22T21:00:00Z"),  # no room left: Sunday's
        ("2026-11-23T12:00:00+01:00", "2026-11-28T21:00:00Z"),  # Monday
    ],
)
def test_over_midnight(now, begin):
    assert opens(NIGHT, now)[0] == begin


def test_room_is_the_whole_of_what_is_needed():
    assert opens(NIGHT, "2026-11-21T22:00:00+01:00", 6 * HOUR)[0] == "2026-11-21T21:00:00Z"
    # seven hours there are once a year, in the night in which clocks are set back; eight never
    assert opens(NIGHT, "2026-11-21T22:00:00+01:00", 6 * HOUR + 1)[0] == "2027-10-30T20:00:00Z"
    assert windows.opening([NIGHT], (), at("2026-11-21T22:00:00+01:00"), 7 * HOUR + 1).at is None


def test_windows_that_touch_are_one():
    rows = [window("sat", "22:00", "24:00"), window("sun", "00:00", "06:00")]
    assert opens(rows, "2026-11-21T22:00:00+01:00", 7 * HOUR) == ("2026-11-21T21:00:00Z", "2026-11-22T05:00:00Z")


def test_always():
    assert opens([], "2026-11-23T12:00:00Z") == ("2026-11-23T12:00:00Z", "")
    rows = [window(" ".join(DAYS), "00:00", "24:00")]
    assert opens(rows, "2026-11-23T12:00:00Z", 72 * HOUR)[0] == "2026-11-23T12:00:00Z"
    assert opens([window("mon", "08:00", "08:00", "UTC")], "2026-11-23T07:00:00Z")[1] == "2026-11-24T08:00:00Z"


def test_each_place_has_its_own_clock():
    now = "2026-11-21T12:00:00Z"
    assert opens(window("sat", "22:00", "04:00", "Asia/Tokyo"), now)[0] == "2026-11-21T13:00:00Z"
    assert opens(window("sat", "22:00", "04:00", "America/New_York"), now)[0] == "2026-11-22T03:00:00Z"
    assert opens(window("sun", "01:00", "04:00", "Pacific/Kiritimati"), now)[0] == now  # two o'clock on Sunday there


def test_the_same_time_of_day_in_winter_and_summer():
    assert opens(NIGHT, "2026-03-27T12:00:00Z")[0] == "2026-03-28T21:00:00Z"
    assert opens(NIGHT, "2026-03-30T12:00:00Z")[0] == "2026-04-04T20:00:00Z"


def test_clocks_set_forward():
    # 29 March 2026: at 02:00 they show 03:00
    assert length(window("sat", "22:00", "04:00"), "2026-03-28T12:00:00Z") == 5
    assert opens(window("sun", "02:30", "04:00"), "2026-03-28T23:30:00Z", 60) == (
        "2026-03-29T01:00:00Z",
        "2026-03-29T02:00:00Z",
    )
    assert opens(window("sun", "01:00", "02:30"), "2026-03-28T23:30:00Z", 60) == (
        "2026-03-29T00:00:00Z",
        "2026-03-29T01:00:00Z",
    )
    # what lies in the hour that there is not is not open at all, so it is next week's
    assert opens(window("sun", "02:10", "02:50"), "2026-03-28T23:30:00Z", 60)[0] == "2026-04-05T00:10:00Z"


def test_clocks_set_back():
    # 25 October 2026: at 03:00 they show 02:00
    assert length(window("sat", "22:00", "04:00"), "2026-10-24T12:00:00Z") == 7
    # from the later 02:30 on, and to the earlier one: outside by no reading
    assert opens(window("sun", "02:30", "04:00"), "2026-10-24T12:00:00Z", 60)[0] == "2026-10-25T01:30:00Z"
    assert opens(window("sun", "00:00", "02:30"), "2026-10-24T12:00:00Z", 60)[1] == "2026-10-25T00:30:00Z"
    assert opens(window("sun", "02:10", "02:50"), "2026-10-24T12:00:00Z", 60) == (
        "2026-10-25T00:10:00Z",
        "2026-10-25T00:50:00Z",
    )


def test_midnight_that_is_skipped():
    # Cairo, 24 April 2026: midnight becomes one o'clock
    assert opens(window("fri", "00:00", "02:00", "Africa/Cairo"), "2026-04-23T12:00:00Z", 60) == (
        "2026-04-23T22:00:00Z",
        "2026-04-23T23:00:00Z",
    )


def test_freezes():
    fair = freeze("2026-12-23T00:00:00+01:00", "2027-01-02T00:00:00Z")
    found = windows.opening((), (fair,), at("2026-12-24T18:00:00Z"), 60)
    assert (found.at, found.until) == (at("2027-01-02T00:00:00Z"), None)
    assert found.why == "Changes are frozen until 2027-01-02T00:00:00Z: a fair."
    # before it, work has to be over when it begins
    assert opens([], "2026-12-22T22:00:00Z", HOUR, (fair,)) == ("2026-12-22T22:00:00Z", "2026-12-22T23:00:00Z")
    assert opens([], "2026-12-22T22:00:01Z", HOUR, (fair,))[0] == "2027-01-02T00:00:00Z"
    assert opens(NIGHT, "2026-12-22T22:00:00Z", HOUR, (fair,))[0] == "2027-01-02T21:00:00Z"
    inside = freeze("2026-11-21T23:00:00+01:00", "2026-11-22T01:00:00+01:00")
    assert opens(NIGHT, "2026-11-21T21:00:00Z", 2 * HOUR, (inside,)) == ("2026-11-22T00:00:00Z", "2026-11-22T03:00:00Z")


def test_a_freeze_of_years():
    long = freeze("2026-01-01T00:00:00Z", "2029-01-01T00:00:00Z")
    assert opens([], "2026-11-21T21:00:00Z", HOUR, (long,))[0] == "2029-01-01T00:00:00Z"
    assert windows.opening([NIGHT], (long,), at("2026-11-21T21:00:00Z"), HOUR).at is None


def test_why_not():
    def why(now: str, seconds: float = HOUR, freezes=()) -> str:
        return windows.opening([NIGHT], freezes, at(now), seconds).why

    assert why("2026-11-21T22:00:00Z") == ""
    assert "outside" in why("2026-11-23T22:00:00Z")
    assert "not enough room" in why("2026-11-22T02:30:00Z")


def test_days_are_named_once_and_in_any_order():
    for now in ("2026-11-20T21:00:00Z", "2026-11-21T22:00:00Z", "2026-11-22T04:00:00Z"):
        assert opens(window("sun sat", "22:00", "04:00"), now) == opens(NIGHT, now)


@pytest.mark.parametrize(
    "change",
    [
        {"days": []},
        {"days": ["sat", "sat"]},
        {"days": ["saturday"]},
        {"days": "sat"},
        {"start": "24:00"},
        {"start": "7:00"},
        {"end": "24:01"},
        {"end": 4},
        {"timezone": ""},
        {"until": "04:00"},
    ],
)
def test_bad_windows(change):
    good = {"days": ["sat"], "start": "22:00", "end": "04:00"}
    (found,) = windows.read_windows([good], "the test", BERLIN)
    assert found.to_json() == {**good, "timezone": BERLIN}
    with pytest.raises(RebootlessError) as caught:
        windows.read_windows([{**good, **change}], "the test")
    assert caught.value.code == "bad_window"
    assert caught.value.sentence.startswith("Window 1 of the test has ")


def test_unknown_time_zones():
    for name in ("Europe/Atlantis", "../etc/passwd", "Europe"):
        with pytest.raises(RebootlessError) as caught:
            window("sat", "22:00", "04:00", name)
        assert caught.value.code == "timezone_unknown"


@pytest.mark.parametrize("times", [("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), ("2026-01-01T00:00:00", "x")])
def test_bad_freezes(times):
    with pytest.raises(RebootlessError) as caught:
        freeze(*times)
    assert caught.value.code == "bad_freeze"
    assert "A freeze of the test" in caught.value.sentence


@pytest.mark.parametrize("end", ["9999-12-31T23:59:59Z", "9999-12-31T23:50:00Z"])
def test_a_freeze_for_ever(end):
    now = datetime.datetime(2026, 11, 30, tzinfo=UTC)
    found = windows.opening([], [freeze("2026-01-01T00:00:00Z", end)], now, 900)
    assert found.at is None and found.why.startswith("Changes are frozen until 9999-12-31")


@pytest.mark.parametrize("rows", ["2026-01-01", 1, None, {"start": "2026-01-01T00:00:00Z"}])
def test_freezes_are_a_list(rows):
    with pytest.raises(RebootlessError) as caught:
        windows.read_freezes(rows, "the test")
    assert caught.value.code == "bad_freeze"


CLOCK = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")
ZONES = st.sampled_from([BERLIN, "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo"])


@given(
    st.lists(st.sampled_from(DAYS), min_size=1, unique=True),
    CLOCK,
    CLOCK,
    ZONES,
    st.datetimes(datetime.datetime(2026, 1, 1), datetime.datetime(2027, 12, 31)),
    st.integers(1, 3 * HOUR),
)
def test_clocks_of_the_place_show_a_time_of_the_window(days, start, end, zone, now, seconds):
    """In every zone: where work begins and ends, the clocks there show a time inside the window."""
    row = window(" ".join(days), start, end, zone)
    moment = now.replace(tzinfo=UTC)
    found = windows.opening([row], (), moment, seconds)
    if found.at is None:
        return
    assert found.at >= moment and found.until
    assert found.at + datetime.timedelta(seconds=seconds) <= found.until
    for instant in (found.at, found.at + datetime.timedelta(seconds=seconds - 1)):
        local = instant.astimezone(windows.zone(zone))
        clock = local.strftime("%H:%M")
        today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
        if start < end:
            assert today in days and start <= clock < end
        else:
            assert (today in days and clock >= start) or (yesterday in days and clock < end)
