# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a playbook has to work on, and the refusal where there are none: one that is skipped ends well."""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


def flat(terms: t.Iterable[t.Any]) -> list[str]:
    """Patterns, of which some may stand in lists."""
    return [str(row) for term in terms for row in (flat(term) if isinstance(term, (list, tuple)) else [term])]


def demand_unlimited(limit: str) -> None:
    """Raises ``RebootlessError`` code ``limited`` if ``limit``, Ansible's ``--limit``, is set."""
    if limit:
        raise RebootlessError(
            "limited",
            f"The run is limited to a part of the hosts (--limit {limit}), which a plan does not know, and which takes "
            "away the controller.",
            "Leave out --limit; give the hosts in rebootless_targets, or make a plan for these hosts.",
            limit=limit,
        )


def demand_some(hosts: t.Collection[str], patterns: t.Sequence[str], limit: str = "") -> None:
    """Raises ``RebootlessError`` code ``no_hosts`` unless hosts match."""
    if not hosts:
        within = f" within --limit {limit}" if limit else ""
        raise RebootlessError(
            "no_hosts",
            f"No host of the inventory matches {', '.join(patterns) or 'an empty pattern'}{within}, so there is "
            "nothing to work on.",
            "Give hosts or groups that the inventory has (-i), in rebootless_targets or rebootless_build_hosts.",
            patterns=list(patterns),
            limit=limit,
        )
