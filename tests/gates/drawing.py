# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drawing of rooms and floors in ``docs/architecture.md``: which folder of ``plugins/`` may import from which.

A row is ``floor  room  imports...``, and goes on in lines without a floor; ``build/*`` is every room below ``build``.
"""

from __future__ import annotations

import fnmatch
import pathlib
import re
import typing as t

PAGE = pathlib.Path("docs/architecture.md")
BLOCK = re.compile(r"^```rooms\n(?P<rows>.*?)^```$", re.MULTILINE | re.DOTALL)
# How the drawing shortens the names of folders.
WINGS = {
    "module_utils/_build": "build",
    "module_utils/_target": "target",
    "module_utils/_common": "common",
    "plugin_utils/_fleet": "fleet",
}


class Room(t.NamedTuple):
    floor: int
    imports: frozenset[str]
    named: frozenset[str]  # of these, what the row says by name


def room_of(folder: str) -> str:
    """``module_utils/_build/kernel`` is the room ``build/kernel``."""
    for long, short in WINGS.items():
        if folder == long or folder.startswith(f"{long}/"):
            return short + folder[len(long) :]
    return folder


def read(page: str) -> dict[str, Room]:
    """The rooms of a page, by name.  ValueError if the page draws none, or a row is none."""
    block = BLOCK.search(page)
    if block is None:
        raise ValueError(f"{PAGE} has no block ```rooms")
    rows: list[list[str]] = []
    for words in map(str.split, block["rows"].splitlines()[1:]):
        if words and not words[0].isdigit() and rows:
            rows[-1] += words
        elif len(words) >= 2:
            rows.append(words)
        elif words:
            raise ValueError(f"{PAGE}: no row of the drawing: {' '.join(words)}")
    names = [row[1] for row in rows]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise ValueError(f"{PAGE}: drawn twice: {', '.join(sorted(doubled))}")
    return {
        name: Room(int(floor), _expand(patterns, names), frozenset(patterns) & frozenset(names))
        for floor, name, *patterns in rows
    }


def _expand(patterns: list[str], names: list[str]) -> frozenset[str]:
    unknown = [pattern for pattern in patterns if not fnmatch.filter(names, pattern)]
    if unknown:
        raise ValueError(f"{PAGE}: no such room: {', '.join(unknown)}")
    return frozenset(name for pattern in patterns for name in fnmatch.filter(names, pattern))


def problems(rooms: dict[str, Room]) -> t.Iterator[str]:
    """Arrows of the drawing itself that do not lead down."""
    for name, room in rooms.items():
        for used in sorted(room.imports):
            if rooms[used].floor >= room.floor:
                floors = f"{name} (floor {room.floor}) imports from {used} (floor {rooms[used].floor})"
                yield f"{PAGE}: {floors}, which is not below it"
