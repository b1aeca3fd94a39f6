# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions that some task of every kernel is in whenever a switch could be made, or that a processor never leaves.

A host refuses to replace the former, each time that it is tried (``never_left``, ``busy_function`` of kmod/codes.h);
that is known when the update is built.  The kernel's own source says who they are: kernel/sched/core.c and idle.c,
kernel/stop_machine.c, smpboot.c, kthread.c, workqueue.c, init/main.c.  What an architecture adds is in its record.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import family

_ALWAYS = "are in it whenever a switch could be made, so that every host would refuse it"
_WHO = {
    "idle": f"the idle threads of processors {_ALWAYS}",
    "stopper": f"the stopper threads of processors {_ALWAYS}",
    "kernel": f"threads of the kernel {_ALWAYS}",
    "sleepers": f"tasks that sleep {_ALWAYS}",
    "offline": "processors that are taken offline stay in it, where no host could see them",
}
_NEVER_LEFT: Mapping[str, str] = {
    **dict.fromkeys(("do_idle", "cpu_startup_entry", "schedule_idle", "rest_init"), "idle"),
    **dict.fromkeys(("multi_cpu_stop", "cpu_stopper_thread"), "stopper"),
    **dict.fromkeys(("__schedule", "schedule"), "sleepers"),
    **dict.fromkeys(("kthread", "smpboot_thread_fn", "kthreadd", "worker_thread", "rescuer_thread"), "kernel"),
}


def who_is_in(function: str, of_architecture: Mapping[str, str]) -> str:
    """Who never leaves the function of vmlinux with that name, in words; "" if no such thread is known.

    ``of_architecture`` is its ``never_left``.
    """
    name = family(function)
    who = _NEVER_LEFT.get(name) or of_architecture.get(name)
    return _WHO[who] if who else ""
