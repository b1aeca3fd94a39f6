# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a rollout on one host by name, and the answer of a module to each."""

from __future__ import annotations

import contextlib
import traceback
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.checks import normalise
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.names import demand_name, is_name
from ansible_collections.rebootless.splice.plugins.module_utils._target import metrics, rights
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout import apply, confirm
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.step import (
    BAD,
    FAILED,
    Step,
    StepRequest,
    Stopped,
)
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.lock import host_lock
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store

LOCK = "/run/rebootless-rollout-{}.lock"
LOOKING = ("preflight", "status", "look back")  # steps that change nothing
LOOKS = {"preflight": "preflight", "apply": "preflight", "reverse": "look back"}  # in check mode; others are a status
STEPS = {
    "preflight": apply.preflight,
    "apply": apply.apply,
    "confirm": confirm.confirm,
    "reverse": confirm.reverse,
    "look back": confirm.look_back,
    "status": confirm.status,
}


def run(request: StepRequest) -> dict[str, t.Any]:
    """The module's result: always a ``state``, and with it a code, a sentence and a next step where it is bad."""
    step = Step(request)
    answer: dict[str, t.Any] = {}
    try:
        answer["state"] = _run(step)
    except Stopped as stopped:
        answer.update(stopped.error.result(), state=stopped.state)
    except RebootlessError as error:
        answer.update(error.result(), state=FAILED)
    except OSError as error:
        refused = RebootlessError(
            "host_error",
            f"The host does not allow what is needed: {error}.",
            "Look at the host's file systems and its kernel log, then try again; an update that is not confirmed "
            "reverses itself at its deadline.",
            errno=error.errno,
        )
        answer.update(refused.result(), state=FAILED)
    except Exception as error:  # pylint: disable=broad-except  # a rollout counts hosts, so each has to answer
        refused = RebootlessError(
            "unexpected",
            f"The step ended with an unexpected error: {error!r}.",
            "Report it with its details. An update that is not confirmed reverses itself at its deadline.",
            traceback=traceback.format_exc(),
        )
        answer.update(refused.result(), state=FAILED)
    answer["failed"] = answer["state"] in BAD
    answer.update(step.known, changed=step.changed, **_host(request))
    _write_metrics(step)
    if step.warnings:
        answer["notes"] = step.warnings
    return answer


def _run(step: Step) -> str:
    request = step.request
    demand_name(request.name)
    normalise(list(request.checks))
    rights.require_sysfs()
    if request.step in LOOKING:
        return STEPS[request.step](step)
    rights.require_root()
    with host_lock(request.lock_timeout, LOCK.format(request.name)):
        return STEPS[request.step](step)


def _host(request: StepRequest) -> dict[str, t.Any]:
    """What the host is like now."""
    update = {"kernel_state": sysfs.ABSENT, "pause_ns": 0, "deadline": 0}
    live: list[str] = []
    with contextlib.suppress(OSError):
        if is_name(request.name):
            update["kernel_state"] = sysfs.state(request.name)
            update.update(sysfs.numbers(request.name, ("pause_ns", "deadline")))
        live = [f"{name}-{sysfs.version(name)}" for name in sysfs.names() if sysfs.state(name) in sysfs.IN_EFFECT]
    return {
        **update,
        "name": request.name,
        "plan": request.plan,
        "boot_id": facts.boot_id(),
        "release": facts.release(),
        "effective_release": "+".join([facts.release(), *live]),
        "build_id": facts.build_id(),
    }


def _write_metrics(step: Step) -> None:
    if step.request.step in LOOKING:
        return
    kept = Store(step.request.state_directory)
    try:
        if step.request.metrics_directory:
            metrics.write(kept, step.request.metrics_directory)
        step.warnings += metrics.refresh(kept)
    except (OSError, RebootlessError) as error:
        step.warnings.append(f"The host's metrics could not be written: {error}")
