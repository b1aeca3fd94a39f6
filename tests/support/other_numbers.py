# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of JSON in which one whole number is a value that only Python takes for one: ``true``, or 5.0 for 5."""

from __future__ import annotations

import copy
import typing as t

Place = tuple[t.Any, ...]  # keys and indexes, from the top


def variants(table: t.Any) -> t.Iterator[tuple[Place, t.Any, t.Any]]:
    """For each whole number: where it is, what stands there instead, and the table with that."""
    for place in _places(table, ()):
        for other in (bool, float):
            changed = copy.deepcopy(table)
            parent = changed
            for key in place[:-1]:
                parent = parent[key]
            parent[place[-1]] = other(parent[place[-1]])
            yield place, parent[place[-1]], changed


def _places(value: t.Any, at: Place) -> t.Iterator[Place]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield at
    elif isinstance(value, (dict, list)):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(child, (*at, key))
