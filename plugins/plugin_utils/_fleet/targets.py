# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a playbook has to work on, and the refusal where there are none: one that is skipped ends well."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


def flat(terms: t.Iterable[t.Any]) -> list[str]:
    """Patterns, of which some may stand in lists."""
    return [str(row) for term in terms for row in (flat(term) if isinstance(term, (list, tuple)) else [term])]


_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def exactly(host: str, groups: t.Container[str] = ()) -> str:
    """The pattern by which Ansible finds the host of that name, and no other one.

    Most names are one. Of others Ansible would split blanks, colons and commas, or take characters for what they mean
    in patterns (``!``, ``&``, ``~``, ``*``, ``?``, ``[``), so that the play would be without the host.  Raises
    ``RebootlessError`` code ``ambiguous_host`` if one of ``groups`` has such a name: a pattern always finds both.
    """
    if _WORD.fullmatch(host) or _is_address(host):
        return host
    if host in groups:
        raise RebootlessError(
            "ambiguous_host",
            f"The inventory has a group that is called {host!r}, as one of its hosts is.",
            "Give the group another name.",
            host=host,
        )
    letters = (letter if _WORD.fullmatch(letter) else f"\\U{ord(letter):08x}" for letter in host)
    return f"~{''.join(letters)}\\Z"


def _is_address(host: str) -> bool:
    """Whether it is an IPv6 address, whose colons Ansible takes for what they are."""
    try:
        return "%" not in host and bool(ipaddress.ip_address(host))
    except ValueError:
        return False


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
            "Give hosts or groups that the inventory has (-i), in rebootless_targets, rebootless_build_hosts or "
            "rebootless_retry.",
            patterns=list(patterns),
            limit=limit,
        )
