# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long one step over a whole batch may take, so that no host of a large one comes to its deadline while all is
well.

The host that is applied first waits for the last one of its batch, and for its turn to be confirmed.  Both times are
promised, not hoped for: the deadline grows by them, and a host whose turn comes later than promised is not begun.
"""

from __future__ import annotations

import dataclasses

SHARE = 10  # a host's turn takes this part of what the plan allows at most, on average


@dataclasses.dataclass(frozen=True)
class Pace:
    """``hosts`` of a batch, ``at_once`` of them at a time, each for ``task_timeout`` seconds at the most."""

    hosts: int
    at_once: int
    task_timeout: int

    @property
    def rounds(self) -> int:
        return -(-max(self.hosts, 1) // max(self.at_once, 1))

    @property
    def begins_within(self) -> float:
        """Seconds from the beginning of a step in which every host has its turn; even one round may be a slow one."""
        return self.task_timeout * (1 + (self.rounds - 1) / SHARE)

    @property
    def extra(self) -> int:
        """Seconds that a host waits for others of its batch, beyond what a batch of one round takes.

        Twice the time of one step: for those that are applied after it, and those that are confirmed before it.
        """
        return -(-2 * (self.rounds - 1) * self.task_timeout // SHARE)


def at_once(forks: int, concurrency: int) -> int:
    """How many hosts Ansible works on at a time; ``concurrency`` 0 is no limit of the plan's own."""
    return min(forks, concurrency) if concurrency else forks
