# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A safety finding."""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import family

_THINGS = ("member", "function", "data", "type", "symbol")


@dataclasses.dataclass(frozen=True)
class Finding:
    """``code`` is stable, ``sentence`` names the thing, ``details`` are JSON-able facts (``unit`` among them).

    ``thing`` is the name by which custom code says that it takes care of it (``RBL_HANDLES``).
    """

    code: str
    sentence: str
    details: dict[str, Any]

    @property
    def thing(self) -> str:
        """The member, function, variable, type or symbol that the finding is about."""
        return family(next((str(self.details[k]) for k in _THINGS if k in self.details), ""))

    def as_dict(self) -> dict[str, Any]:
        """For results and manifests."""
        return dataclasses.asdict(self)


def finding(unit: UnitChange, code: str, sentence: str, /, **details: Any) -> Finding:
    """A finding about something in ``unit``."""
    return Finding(code, sentence, {"unit": unit.unit, **details})
