# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of hosts as a report shows them.  Private to rebootless.splice."""

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

UNKNOWN = "unknown"  # of a host of which there is no word at all; not a state that a rollout gives


class Word(t.NamedTuple):
    """``mark`` stands for the state where there is no room for it (and where there is no colour), ``css`` is its class,
    ``fixed`` whether the vulnerable code cannot run on such a host."""

    mark: str
    css: str
    fixed: bool
    meaning: str


# Worst first: the order of every table, and of what a host is that has several updates.
WORDS = {
    FAILED: Word(
        "✕", "failed", False, "the update failed, was taken back for it, or the host gave no answer after apply"
    ),
    UNKNOWN: Word("?", "unknown", False, "the host did not answer, and nothing is recorded about it"),
    PENDING: Word("○", "pending", False, "its turn has not come, or it went back with others"),
    UNCOVERED: Word("∅", "uncovered", False, "there is no build of the update for its kernel"),
    REBOOT_NEEDED: Word("↻", "reboot", False, "only a reboot brings the fix"),
    APPLIED: Word("◐", "applied", True, "live, not confirmed yet: it goes back by itself unless it is"),
    CONFIRMED: Word("●", "confirmed", True, "live, and checked for the whole soak"),
    NOT_NEEDED: Word("–", "notneeded", True, "its kernel has the fix, or not the code that it fixes"),
}
RANK = {word: rank for rank, word in enumerate(WORDS)}


def worst(states: t.Iterable[str]) -> str:
    """The state that a host with several updates has as a whole."""
    return min(states, key=RANK.__getitem__, default=NOT_NEEDED)


def count(states: t.Iterable[str]) -> dict[str, int]:
    """How many there are of each state, all states named, worst first."""
    result = dict.fromkeys(WORDS, 0)
    for state in states:
        result[state] += 1
    return result
