# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an update may be applied now to a host with isolated CPUs, which a switch stops like all others.

An update is only kept from coming by this, never from going: what is asked for the way back is whether it is live.
"""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import isolated_cpus

POLICIES = REFUSE, WINDOW, APPLY = "refuse", "window", "apply"
UTC = datetime.timezone.utc
NEXT_STEP = (
    "Apply it in a time in which the pause does no harm (isolated_cpus: window), or now (isolated_cpus: apply), or "
    "reboot the host into a fixed kernel."
)


def check(policy: str, window: t.Mapping[str, str] | None) -> str:
    """The isolated CPUs that the policy lets be stopped now, as the kernel writes a list; "" if the host has none.

    Raises ``RebootlessError``: ``isolated_cpus`` if it does not, ``bad_window``.
    """
    times = _times(window) if window else None
    found = isolated_cpus.find()
    if found.all and policy != APPLY:
        if policy != WINDOW:
            raise _refusal(found, "", NEXT_STEP)
        if window is None or times is None:
            raise _refusal(found, "no window is given for it", "Give a window, for example by those of the plan.")
        start, end = times
        if not start <= datetime.datetime.now(UTC) < end:
            why = f"it is not the time for it, which is from {window['start']} to {window['end']}"
            raise _refusal(found, why, "Try again in that time.")
    return isolated_cpus.written(found.all)


def _refusal(found: isolated_cpus.IsolatedCpus, why: str, next_step: str) -> RebootlessError:
    names = {"nohz_full": found.nohz_full, "isolcpus": found.isolated, "cpuset partitions": found.cpusets}
    kinds = ", ".join(f"{name} {isolated_cpus.written(cpus)}" for name, cpus in names.items() if cpus)
    return RebootlessError(
        "isolated_cpus",
        f"A switch stops all CPUs for a moment, and this host keeps CPUs free of interruptions ({kinds})"
        + (f"; {why}." if why else "."),
        next_step,
        **found.shown(),
    )


def _times(window: t.Mapping[str, str]) -> tuple[datetime.datetime, datetime.datetime]:
    start, end = (_moment(key, window[key]) for key in ("start", "end"))
    if start >= end:
        raise _bad_window(f"ends at {window['end']}, which is not after its start at {window['start']}")
    return start, end


def _moment(key: str, value: str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", value))
    except ValueError as error:
        raise _bad_window(f"has {key}: {value!r}, which is no time such as 2026-12-24T22:00:00+01:00") from error
    if moment.tzinfo is None:
        raise _bad_window(f"has {key}: {value!r}, which lacks its offset, such as +01:00")
    return moment


def _bad_window(what: str) -> RebootlessError:
    return RebootlessError("bad_window", f"The window for isolated CPUs {what}.", "Correct isolated_cpus_window.")
