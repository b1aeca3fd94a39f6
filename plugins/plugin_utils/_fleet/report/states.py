# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of hosts as a report shows them."""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.outcomes import (
    APPLIED,
    CONFIRMED,
    FAILED,
    NOT_NEEDED,
    PENDING,
    REBOOT_NEEDED,
    UNCOVERED,
)

UNKNOWN = "unknown"  # of a host of which nothing is recorded; not a state that a rollout gives

REVERTED = "reverted"  # of a host from which an update was taken back on purpose, and not since a rollout was stopped


class Appearance(t.NamedTuple):
    """``mark`` stands for the state where there is no room for it (and where there is no colour), ``css`` is its class,
    ``fixed`` whether the vulnerable code cannot run on such a host."""

    mark: str
    css: str
    fixed: bool
    meaning: str


# Worst first: the order of every table, and of what a host is that has several updates.
APPEARANCES = {
    FAILED: Appearance(
        "✕",
        "failed",
        False,
        "the update failed, was taken back for it, or the host gave no answer after apply; or its patch is wrong",
    ),
    UNKNOWN: Appearance("?", "unknown", False, "the host did not answer, and nothing is recorded about it"),
    PENDING: Appearance("○", "pending", False, "its turn has not come, or it went back with others"),
    UNCOVERED: Appearance("∅", "uncovered", False, "there is no build of the update for its kernel"),
    REBOOT_NEEDED: Appearance("↻", "reboot", False, "only a reboot brings the fix: the change cannot be made live"),
    REVERTED: Appearance("↺", "reverted", False, "it was taken back on purpose"),
    APPLIED: Appearance("◐", "applied", True, "live, not confirmed yet: it goes back by itself unless it is"),
    CONFIRMED: Appearance("●", "confirmed", True, "live, and checked for the whole soak"),
    NOT_NEEDED: Appearance("–", "notneeded", True, "its kernel has the fix, or not the code that it fixes"),
}
RANK = {state: rank for rank, state in enumerate(APPEARANCES)}


def worst(states: t.Iterable[str]) -> str:
    """The state that a host with several updates has as a whole."""
    return min(states, key=RANK.__getitem__, default=NOT_NEEDED)


def count(states: t.Iterable[str]) -> dict[str, int]:
    """How many there are of each state, all states named, worst first."""
    result = dict.fromkeys(APPEARANCES, 0)
    for state in states:
        result[state] += 1
    return result
