# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for each batch that cannot be lost.

Our own tasks keep a host in the play also when it is lost.  The operator's tasks of a health check do not: Ansible
drops a host that they do not reach, and ends the whole playbook with the last host of a batch, gates, ways back and
all.  So a plan with such checks has one more host in each batch, which is the controller under another name, and of
which nothing is asked.
"""

from __future__ import annotations

import re

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import Run

NAME = "rebootless-gate-{}"
PATTERN = re.compile(NAME.format("([0-9]+)"))


def names(run: Run) -> list[str]:
    """The guards that a run needs, one for each batch; none where no task of an operator's comes in between."""
    return [NAME.format(number) for number in range(len(run.batches))] if run.task_files else []


def batch_of(host: str) -> int | None:
    """The number of the batch whose guard this is; ``None`` for any other host."""
    match = PATTERN.fullmatch(host)
    return int(match.group(1)) if match else None
