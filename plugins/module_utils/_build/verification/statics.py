# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether variables that the compiler numbers are the running ones, where a function has no more of them than before.

Two compilations number static locals each in its own way, so no name says which of one is which of the other.  What can
be counted is how many of a name a function uses: if it used one ``count`` and uses one now, it is that one.
"""

from __future__ import annotations

import collections

from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.bodies import Body, Inside
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.refusal import not_proven
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.unit import (
    ComparedUnit,
    is_numbered,
    stem,
)

_SWITCHES = "__dyndbg"  # of messages: each module has its own


class Statics:
    """Collects which numbered variables the functions of a module use."""

    def __init__(self) -> None:
        # By the unit and the function's name without numbers and parts: what is used, and which of that is carried.
        self._used: dict[tuple[ComparedUnit, str], dict[int, Body]] = collections.defaultdict(dict)
        self._carried: dict[tuple[ComparedUnit, str], set[int]] = collections.defaultdict(set)

    def note(self, unit: ComparedUnit, function: Body, variable: Body, is_carried: bool) -> None:
        """Notes that ``function`` uses ``variable``, the module's own or the one that runs."""
        if function.is_code and function.names and _counts(variable):
            key = unit, stem(function.names[0])
            self._used[key][id(variable)] = variable
            if is_carried:
                self._carried[key].add(id(variable))

    def check(self) -> None:
        """Raises ``RebootlessError`` (``module_not_proven``) if a function uses a copy of what runs."""
        for key, carried in self._carried.items():
            unit, function = key
            running = _running(unit, function)
            after = collections.Counter(stem(body.names[0]) for body in self._used[key].values())
            ours = collections.Counter(stem(self._used[key][number].names[0]) for number in carried)
            for name, count in ours.items():
                if running and count > max(0, after[name] - running[name]):
                    raise not_proven(
                        f"it uses another {name} than the one that runs",
                        unit.name,
                        function,
                        expected=running[name],
                        found=after[name] - count,
                    )


def _running(unit: ComparedUnit, function: str) -> collections.Counter[str]:
    """How many numbered variables of each name the running function uses; empty if it is new or uses none."""
    found: dict[int, str] = {}
    for body in unit.running_bodies.all():
        if body.is_code and any(stem(name) == function for name in body.names):
            for field in body.area.fields_in(body.start, body.end):
                meaning = unit.running_bodies.meaning(field, unit.running_bodies.bias(body, field))
                if isinstance(meaning, Inside) and _counts(meaning.body):
                    found[id(meaning.body)] = stem(meaning.body.names[0])
    return collections.Counter(found.values())


def _counts(variable: Body) -> bool:
    if not variable.names or not variable.size or variable.area.name.startswith(_SWITCHES):
        return False
    return variable.area.is_writable and is_numbered(variable.names[0])
