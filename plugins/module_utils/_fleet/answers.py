# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts answered earlier in a play, from Ansible's variables.  Private to rebootless.splice.

The one place that knows how Ansible keeps them.
"""

from __future__ import annotations

import typing as t

Row = t.Dict[str, t.Any]


def registered(hostvars: t.Any, name: str) -> dict[str, Row]:
    """The results that were registered under ``name``, by host; hosts that have none are left out.

    Results hold no templates, so the variables are read as they are, which is much faster for thousands of hosts.
    """
    found = {}
    for host in hostvars:
        variables = hostvars.raw_get(host)
        answer = variables.get(name)
        if isinstance(answer, dict):
            found[host] = answer
    return found


def answering(hostvars: t.Any, hosts: t.Iterable[str], name: str) -> list[str]:
    """Those of ``hosts`` whose result under ``name`` is a good one."""
    found = []
    for host in hosts:
        answer = hostvars.raw_get(host).get(name) if host in hostvars else None
        if isinstance(answer, dict) and not answer.get("failed") and not answer.get("unreachable"):
            found.append(host)
    return found


def variables(hostvars: t.Any, host: str, names: t.Iterable[str]) -> Row:
    """Those of ``names`` that the inventory has for a host, with their templates resolved."""
    row = hostvars[host]
    return {name: row[name] for name in names if name in row}
