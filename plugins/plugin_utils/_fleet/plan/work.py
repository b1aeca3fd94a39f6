# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a plan brings any host anything."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.display import named
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import Plan

SHOWN = 5  # hosts that a sentence names for each reason


def demand_work(plan: Plan) -> None:
    """Raises ``RebootlessError`` code ``nothing_to_roll_out`` for a plan that brings no host anything.

    Where no host needs the update, that is as it should be.
    """
    reasons: dict[tuple[str, str], list[str]] = {}
    for name, row in plan.left_out.items():
        if row.state != outcomes.NOT_NEEDED:
            reasons.setdefault((row.state, row.code), []).append(name)
    if plan.hosts or (plan.left_out and not reasons):
        return
    told = [f"{state} [{code}]: {named(names, SHOWN)}" for (state, code), names in sorted(reasons.items())]
    raise RebootlessError(
        "nothing_to_roll_out",
        f"No host would get the update {plan.update.name} {plan.update.version}: "
        + ("; ".join(told) or "the inventory has no host that was asked")
        + ".",
        "See why (preflight and the report have each host's reason), correct that, and plan again.",
        left_out={name: row.to_json() for name, row in plan.left_out.items()},
    )
