# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build comes to: the package, and the facts that modules return."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.paths import NotApplicable
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.constants import EXCHANGE
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import (
    UnitChange,
)


@dataclasses.dataclass(frozen=True)
class Build:
    """The outcome.  ``package`` is None if the update changes nothing in this kernel, and for a build that is only
    foreseen; ``facts`` are JSON-able: what changed, what is not applicable and why."""

    digest: str
    package: Path | None
    facts: dict[str, Any]
    built: bool

    @property
    def applicable(self) -> bool:
        """Whether the update changes anything in this kernel, as far as that is known."""
        return bool(self.facts["units"])


def describe(build: Build) -> str:
    """What the build changes, a line for each function and datum."""
    rows = [
        f"{row['change']} function {row['name']} of {row['unit']}: {row['pre_size']} -> {row['post_size']} bytes"
        for row in build.facts["functions"]
    ]
    rows += [f"{row['change']} data {row['name']} of {row['unit']}: {row['size']} bytes" for row in build.facts["data"]]
    return "".join(f"{row}\n" for row in rows)


def _facts(
    changes: Sequence[UnitChange],
    not_applicable: Sequence[NotApplicable],
    units: Sequence[str] | None = None,
) -> dict[str, Any]:
    """What modules return: changed functions and data with their sizes, and what has no part in this kernel."""
    functions = [
        {
            "name": function.name,
            "unit": change.unit,
            "object": change.object_name,
            "change": function.change,
            "pre_size": function.pre_size,
            "post_size": function.post_size,
        }
        for change in changes
        for function in change.difference.functions
    ]
    data = [
        {
            "name": datum.name,
            "unit": change.unit,
            "object": change.object_name,
            "change": "exchanged" if datum.how == EXCHANGE else datum.change,
            "size": datum.post_size or datum.pre_size,
        }
        for change in changes
        for datum in change.difference.data
    ]
    return {
        "units": list(dict.fromkeys(change.unit for change in changes)) if units is None else list(units),
        "functions": functions,
        "data": data,
        "not_applicable": [dataclasses.asdict(row) for row in not_applicable],
        "custom": [],
        "remarks": [],
    }
