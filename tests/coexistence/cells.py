# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The columns of the table: what is done with an update and a neighbour, and what has to come of it."""

from __future__ import annotations

import shlex

from ansible_collections.rebootless.splice.tests.coexistence.machine import NAME, Neighbourhood
from ansible_collections.rebootless.splice.tests.coexistence.table import BARRED, BYPASSED, HELD, Refused, Row

MEANWHILE_S = 300.0
DEADLINE_S = 60.0


def before(place: Neighbourhood, row: Row) -> None:
    """The neighbour is there, an apply is tried, and reversed while the neighbour still is there."""
    place.sh(f"{row.place}; {row.works}")
    if isinstance(row.before, Refused):
        assert place.command("apply") == row.before.code
        assert place.state() in ("matched", "reversed")
    else:
        assert place.command("apply") == "done"
        _both_work(place, row, "new")
        assert place.command("reverse") == "done"
    _both_work(place, row, "old")
    place.sh(row.remove)


def during(place: Neighbourhood, row: Row) -> None:
    """The neighbour comes and goes, or does its work, again and again, and so does the update."""
    turn = row.loop or f"{row.place}; {row.remove}"
    told = place.sh(f"meanwhile {shlex.quote(turn)}", timeout=MEANWHILE_S)
    for line in told.splitlines():
        operation, outcome, says = line.split(" ", 2)
        assert outcome in ("done", *row.codes), told
        if not row.says and outcome == "done":
            assert says == ("new" if operation == "apply" else "old"), told


def after(place: Neighbourhood, row: Row) -> None:
    """The neighbour comes to an update that is applied, which is reversed while the neighbour is there."""
    assert place.command("apply") == "done"
    if row.after == BARRED:
        _is_barred(place, row)
        assert place.command("reverse") == "done"
        _comes_again(place, row)
        return
    place.sh(row.place)
    _both_work(place, row, "new")
    if row.after == BYPASSED:
        kernel = place.host.module("kernel_info")["kernel"]
        assert (place.state(), kernel["bypassed"]) == ("bypassed", [NAME])
    else:
        assert place.state() == "applied"
    if isinstance(row.reverse, Refused):
        assert place.command("reverse") == row.reverse.code
        _both_work(place, row, "new")
        place.sh(row.remove)
        assert place.command("reverse") == "done"
        return
    assert place.command("reverse") == "done"
    _both_work(place, row, "old")
    place.sh(row.remove)


def deadline(place: Neighbourhood, row: Row) -> None:
    """The neighbour is there when the deadline passes."""
    assert place.command("apply 300") == "done"
    if row.deadline == BARRED:
        _is_barred(place, row)
        assert place.command("extend 1") == "done"
        place.host.wait_until(lambda: place.state() == "reversed", DEADLINE_S)
        _comes_again(place, row)
        return
    place.sh(row.place)
    assert place.command("extend 1") == "done"
    if row.deadline == HELD:
        place.host.wait_until(lambda: place.state() == "reversed, held by 1 task", DEADLINE_S)
        _both_work(place, row, "old")
        place.sh(row.remove)
    place.host.wait_until(lambda: place.state() == "reversed", DEADLINE_S)
    if row.deadline != HELD:
        _both_work(place, row, "old")
        place.sh(row.remove)


def _is_barred(place: Neighbourhood, row: Row) -> None:
    """The kernel refuses the neighbour while the update is live, and says so; calls go on as if it had not tried."""
    assert "Invalid argument" in place.complaint(row.place)
    place.sh("lists_bar; [ ! -s $T/kprobe_events ]")
    assert (place.state(), place.says()) == ("applied", "new")


def _comes_again(place: Neighbourhood, row: Row) -> None:
    """Nothing bars the neighbour from the old code that is back."""
    place.sh(f"{row.place}; until_true lists_no_bar")
    _both_work(place, row, "old")
    place.sh(row.remove)


def _both_work(place: Neighbourhood, row: Row, code: str) -> None:
    """The neighbour does what it is there for, and calls are in the old or the new code, unless it takes them away."""
    place.sh(row.works)
    said = place.says()
    assert said == (f"ioctl {row.says}, shutdown {code}" if row.says else code)
