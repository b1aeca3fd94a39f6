# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators are told where a run ends before its end, as by Ctrl-C: what hosts do by themselves, and how to go on.

Ansible says no more than that its execution was interrupted.
"""

from __future__ import annotations

import atexit
import os
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.display import few
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import lock
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.batch import Batch
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import ROLLOUTS, RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import REVERT

GOES_ON = "Start the same command again; it goes on where it was."
_watched: set[str] = set()


def watch(path: str, say: t.Callable[[str], None], forks: int) -> None:
    """Has this process say at its end what there is to say, if the run in ``path`` is still its own then.

    To be called in the process of ansible-playbook itself; its tasks end without this.
    """
    if path not in _watched and os.path.basename(os.path.dirname(path)) == ROLLOUTS:  # no run in check mode
        _watched.add(path)
        atexit.register(_at_exit, path, say, forks)


def _at_exit(path: str, say: t.Callable[[str], None], forks: int) -> None:
    here = lock.process(os.getpid())
    holder = lock.held_by(RunFiles(path).lock, here)
    if holder is not None and holder.same_process(here):  # a run that ended has given its lock back
        for text in lines(RunFiles(path), forks):
            say(text)


def lines(files: RunFiles, forks: int) -> list[str]:
    """What is so of the hosts now, and what to do; ``forks`` are Ansible's."""
    try:
        run, status = files.run(), files.status()
    except RebootlessError as error:
        return [str(error)]
    name = f"{run.update.name} {run.update.version}".strip()
    if status.goal == REVERT:
        return [f"Going back from {name} was interrupted. {GOES_ON}"]
    found = [f"The rollout of {name} was interrupted. {GOES_ON}"]
    records = files.records(run.hosts)
    live = [host for host, record in records.items() if record.state == outcomes.APPLIED]
    unclear = [host for host, record in records.items() if record.state == outcomes.APPLYING]
    if live:
        found.append(f"Live and not confirmed: {few(live)}. Unless it goes on, they go back {_by(files, live, forks)}.")
    if unclear:
        when = _by(files, unclear, forks)
        found.append(f"Begun, and no word yet: {few(unclear)}. What is live there goes back {when}.")
    return found


def _by(files: RunFiles, hosts: list[str], forks: int) -> str:
    """When the last of these hosts reverses the update by itself."""
    last = 0.0
    for host, record in files.records(hosts).items():
        applied = record.applied_at if record.state == outcomes.APPLIED else None
        last = max(last, (applied or time.time()) + Batch(files, host, lambda _text: None, forks).deadline)
    return f"by themselves, at {time.strftime('%H:%M:%S', time.localtime(last))} at the latest"
