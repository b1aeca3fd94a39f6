# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modules of the collection a module needs: itself, and what it imports, directly or not.

Works wherever Python finds the modules: in a checkout, an installed collection, or the archive in which Ansible ships
them to a host.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import typing as t

# Imports inside the collection are absolute, as the formatter writes them.  Python's own parser takes 30 times as long.
_IMPORT = re.compile(
    r"^\s*from (?P<module>ansible_collections\.rebootless\.splice\.[\w.]+) import (?P<names>\([^)]*\)|[^\n(]+)$",
    re.MULTILINE,
)


def sources(*entries: str) -> dict[str, str]:
    """The sources of modules and of all modules of the collection that they import, by dotted name.

    Raises ``ModuleNotFoundError`` for one that is not there.
    """
    found: dict[str, str] = {}
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name not in found:
            source = _source(name)
            if source is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            found[name] = source
            waiting += imported(source)
    return found


def imported(source: str) -> list[str]:
    """The modules of the collection that a source imports."""
    names: list[str] = []
    for match in _IMPORT.finditer(source):
        inside = [f"{match['module']}.{name}" for name in re.findall(r"\w+", match["names"])]
        # ``from …kernel import facts`` imports a module, ``from …errors import RebootlessError`` a class of one.
        names += [name for name in inside if _source(name) is not None] or [match["module"]]
    return names


@functools.lru_cache(maxsize=None)
def _source(name: str) -> str | None:
    """The source of a module that is no package, None if there is no such one."""
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    if found is None or found.loader is None or found.submodule_search_locations is not None:
        return None
    return t.cast(t.Any, found.loader).get_source(name)
