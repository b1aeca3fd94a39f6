# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts answered earlier in a play, from Ansible's variables.

The one place that knows how Ansible keeps them.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row


@dataclasses.dataclass(frozen=True)
class Host:
    """What a host answered, the groups that it is in, and some of its variables."""

    answer: Row
    groups: tuple[str, ...]
    own: Row


def registered(hostvars: t.Any, name: str, wanted: t.Collection[str] = ()) -> dict[str, Host]:
    """The hosts with a result under ``name``, in the order of the inventory, with those of ``wanted`` that they have.

    Results hold no templates, so they are read as they are, and each host's variables are put together once: that is
    what takes the time for thousands of hosts.
    """
    found = {}
    for host in hostvars:
        raw = hostvars.raw_get(host)
        answer = raw.get(name)
        if isinstance(answer, dict):
            own = {key: hostvars[host][key] for key in wanted if key in raw}
            found[host] = Host(answer, tuple(raw.get("group_names", ())), own)
    return found


def answering(hostvars: t.Any, hosts: t.Iterable[str], name: str) -> list[str]:
    """Those of ``hosts`` whose result under ``name`` is a good one."""
    found = []
    for host in hosts:
        answer = hostvars.raw_get(host).get(name) if host in hostvars else None
        if isinstance(answer, dict) and not answer.get("failed") and not answer.get("unreachable"):
            found.append(host)
    return found
