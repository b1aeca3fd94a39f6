# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build comes to: the package, and the facts that modules return."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.paths import NotApplicable
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import EXCHANGE, Decision


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


def changed_facts(
    decisions: Sequence[Decision],
    not_applicable: Sequence[NotApplicable],
    units: Sequence[str] | None = None,
) -> dict[str, Any]:
    """What modules return: changed functions and data with their sizes, and what has no part in this kernel."""
    functions = [
        {
            "name": function.name,
            "unit": decision.change.unit,
            "object": decision.change.object_name,
            "change": function.change,
            "pre_size": function.pre_size,
            "post_size": function.post_size,
        }
        for decision in decisions
        for function in decision.functions
    ]
    data = [
        {
            "name": datum.name,
            "unit": decision.change.unit,
            "object": decision.change.object_name,
            "change": "exchanged" if fate.how == EXCHANGE else datum.change,
            "size": datum.post_size or datum.pre_size,
        }
        for decision in decisions
        for datum, fate in decision.data.items()
    ]
    return {
        "units": list(dict.fromkeys(decision.change.unit for decision in decisions)) if units is None else list(units),
        "functions": functions,
        "data": data,
        "not_applicable": [dataclasses.asdict(row) for row in not_applicable],
        "custom": [],
        "remarks": [],
    }
