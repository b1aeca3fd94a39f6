# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Graphs as mappings: from a node to those that follow it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

_Node = TypeVar("_Node", bound=Hashable)


def closure(start: Iterable[_Node], following: Mapping[_Node, Iterable[_Node]]) -> set[_Node]:
    """``start`` and all that follows it, directly or not."""
    seen = set(start)
    waiting = list(seen)
    while waiting:
        for node in following.get(waiting.pop(), ()):
            if node not in seen:
                seen.add(node)
                waiting.append(node)
    return seen
