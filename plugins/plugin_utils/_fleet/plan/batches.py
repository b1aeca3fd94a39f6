# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order a fleet is worked through: rings by inventory group, batches by size.

Sizes are written as Ansible's ``serial``: numbers of hosts and percentages, of which the last holds for all batches
after it.  A percentage is one of the ring's hosts, and at least one host.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import fields
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import PlannedBatch
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Record, holds

PERCENT = re.compile(r"([1-9][0-9]?|100) ?%")
DIGITS = re.compile(r"[1-9][0-9]*")
BAD_BATCHES = "bad_batches"
EVERY_HOST = "all"  # the ring of a plan without rings
REST = "rest"  # the ring of hosts that are in none of the named groups

Size = t.Union[int, str]


@dataclass(frozen=True)
class Ring(Record):
    """Hosts that are worked through before the next ring begins; ``batches`` as its sizes were given."""

    BY_OPERATOR = True

    group: str = field(metadata=holds(fields.A_WORD))
    batches: Size | t.Sequence[Size] = field(default="100%", metadata=holds(fields.ANYTHING))

    def sizes(self) -> tuple[Size, ...]:
        return read_sizes(self.batches, f"The size of batches of the ring {self.group}")

    def check(self, where: str, code: str) -> None:
        self.sizes()


def read_sizes(value: t.Any, where: str) -> tuple[Size, ...]:
    """Sizes of batches: a number, a percentage such as "10%", or a list of them.

    Raises ``RebootlessError`` (``bad_batches``).
    """
    sizes = value if isinstance(value, (list, tuple)) else [value]
    if not sizes or not all(map(_is_size, sizes)):
        raise fields.wrong(BAD_BATCHES, where, f"is {value!r}, and not a list of numbers from 1 and percentages")
    return tuple(int(size) if DIGITS.fullmatch(str(size)) else str(size) for size in sizes)


def read_rings(value: t.Any, sizes: tuple[Size, ...]) -> tuple[Ring, ...]:
    """Rings as operators write them: names of groups, or tables with ``group`` and its own ``batches``.

    Without rings all hosts are in one, with batches of ``sizes``; a ring that does not say otherwise is one batch.

    Raises ``RebootlessError`` (``bad_batches``).
    """
    if not isinstance(value, list):
        raise fields.wrong(BAD_BATCHES, "The list of rings", f"is {value!r}, and no list")
    if not value:
        return (Ring(EVERY_HOST, sizes),)
    rows = [{"group": row} if isinstance(row, str) else row for row in value]
    rings = [Ring.from_json(row, "A ring", BAD_BATCHES) for row in rows]
    groups = [ring.group for ring in rings]
    if len(set(groups)) < len(groups):
        raise fields.wrong(BAD_BATCHES, "The list of rings", f"has one of its groups twice: {', '.join(groups)}")
    return tuple(rings) if REST in groups else (*rings, Ring(REST, sizes))


def make_batches(
    hosts: t.Mapping[str, t.Collection[str]], rings: t.Sequence[Ring]
) -> tuple[list[PlannedBatch], dict[str, str]]:
    """The batches of hosts, in order, and the ring of each host.

    ``hosts`` are the names in their order, with the groups of each; a host belongs to the first of its rings.
    """
    members: dict[str, list[str]] = {ring.group: [] for ring in rings}
    for host, groups in hosts.items():
        members[_ring(groups, rings)].append(host)
    batches = []
    for ring in rings:
        parts = split(members[ring.group], ring.sizes())
        title = "batch" if ring.group == EVERY_HOST else ring.group
        single = len(parts) == 1 and ring.group != EVERY_HOST
        batches += [
            PlannedBatch(title if single else f"{title} {number}", part) for number, part in enumerate(parts, 1)
        ]
    return batches, {host: group for group, names in members.items() for host in names}


def _ring(groups: t.Collection[str], rings: t.Sequence[Ring]) -> str:
    for ring in rings:
        if ring.group in groups or ring.group == EVERY_HOST:
            return ring.group
    return REST


def split(hosts: list[str], sizes: t.Sequence[Size]) -> list[list[str]]:
    """Hosts in parts of these sizes, of which the last one is repeated."""
    parts = []
    start = number = 0
    while start < len(hosts):
        size = sizes[min(number, len(sizes) - 1)]
        found = PERCENT.fullmatch(str(size))
        count = max(len(hosts) * int(found.group(1)) // 100, 1) if found else int(size)
        parts.append(hosts[start : start + count])
        start += count
        number += 1
    return parts


def _is_size(value: t.Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return False
    return bool(DIGITS.fullmatch(str(value)) or PERCENT.fullmatch(str(value)))
