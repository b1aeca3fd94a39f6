# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One step of a rollout on one host, but for the connection: what to ask the module, what its answer means, and the
record of both.

A host always has an answer here: one that is silent is ``lost``, one with a full disk ``failed`` with ``no_room``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import locks, outcomes
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.host_slice import (
    APPLY,
    CONFIRM,
    PREFLIGHT,
    REVERSE,
    PlacedSlice,
    PlanSlice,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.records import REVERT, HostRecord
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.packages import demand_file

NEEDS_PACKAGE = (PREFLIGHT, APPLY)

# From which states a step goes on; elsewhere there is nothing to do.
BEGINS = {
    APPLY: {outcomes.PENDING, outcomes.APPLYING, outcomes.MATCHED, outcomes.APPLIED},
    PREFLIGHT: {outcomes.PENDING, outcomes.APPLYING, outcomes.MATCHED, outcomes.APPLIED},
    CONFIRM: {outcomes.APPLIED},
}
# What of a module's result the evidence keeps.
KEPT = (
    "kernel_state",
    "pause_ns",
    "effective_release",
    "release",
    "build_id",
    "boot_id",
    "deadline",
    "checks",
    "signer",
    "notes",
)
# What Ansible says of a host that answered, and could not keep a file (ActionBase._make_tmp_path).
FULL, NO_DIRECTORY = "No space left on device", "Failed to create temporary directory"
NO_PLACE = "No usable temporary directory found"  # Python's tempfile, where the module unpacks itself
# There is room where the disks are full; the way back must not depend on them.
IN_MEMORY = {"TMPDIR": "/dev/shm"}
NO_ROOM_STEP = "Free space there, then try the host again."
REASON = ("code", "sentence", "next_step")
TEXT = 4000  # characters of a traceback or of a command's output


def reason_to_skip(record: HostRecord, step: str, hold: bool, until: float = 0) -> str | None:
    """Why there is nothing to do on the host, ``None`` if there is.

    ``hold``: no host may begin now; ``until``: nor after that, by the monotonic clock.
    """
    if step in BEGINS and record.state not in BEGINS[step]:
        return "settled" if outcomes.is_settled(record.state) else "not begun"
    if record.state == outcomes.PENDING and step == APPLY:
        if hold:
            return "outside its window"
        if until and time.monotonic() > until:
            return "its turn came too late"
    return None


def options(record: HostRecord, step: str) -> Row:
    """The module's options, without the package."""
    return {"step": step, **(record.slice.options(step) if record.slice else {})}


def begin(files: RunFiles, record: HostRecord, step: str) -> HostRecord:
    """Records that the host is visited now, before it is; returns the record."""
    begun = dataclasses.replace(
        record,
        state=outcomes.APPLYING if step == APPLY else record.state,
        step=step,
        attempt=f"{os.getpid()}.{time.time_ns()}",
        before=record.state,
    )
    with _locked(files):
        files.write_host(begun)
    return begun


def local_package(record: HostRecord) -> str | None:
    """The path of the host's package, proven to be the one of the plan; ``None`` if the host fetches it itself.

    Raises ``RebootlessError`` code ``store_differs``.
    """
    host = record.slice
    if not isinstance(host, (PlanSlice, PlacedSlice)) or host.url:
        return None
    demand_file(host.package, host.digest)
    return host.package


def ended(said: str) -> str:
    """A sentence that others said, as in ``[Errno 32] Broken pipe``, with its end: the next step follows it."""
    said = said.strip()
    return said if said.endswith((".", "!", "?", ":")) or not said else f"{said}."


def lost(code: str, sentence: str, step: str, **details: t.Any) -> Row:
    """The answer of a host that gave none in ``step``."""
    return {
        "state": outcomes.LOST,
        "code": code,
        "sentence": ended(sentence),
        "next_step": outcomes.next_step(outcomes.LOST, step == REVERSE),
        "details": details,
    }


def failed(code: str, sentence: str, next_step: str, **details: t.Any) -> Row:
    """The answer in place of one that the module could not give."""
    return {
        "state": outcomes.FAILED,
        "code": code,
        "sentence": ended(sentence),
        "next_step": next_step,
        "details": details,
    }


def unreached(said: str, step: str) -> Row:
    """The answer where Ansible could not begin on the host, which may have answered all the same: a host with a full or
    a read-only disk is no lost one.  ``step`` is what was about to be done."""
    if FULL in said:
        return failed(
            "no_room", "The host's disk is full: there is no room for the package.", NO_ROOM_STEP, said=said[-TEXT:]
        )
    if said.startswith(NO_DIRECTORY):
        return failed(
            "no_temporary_directory",
            "Ansible can make no temporary directory on the host, so the package has no place there.",
            "See that the host's file systems are writable, and who ansible_user is; then try the host again.",
            said=said[-TEXT:],
        )
    return lost("unreachable", said or "The host does not answer.", step)


def had_no_room(result: Row) -> bool:
    """Whether the module could not even begin, since it had no place on the host's disks to unpack itself."""
    return result.get("state") not in outcomes.STATES and any(
        sign in str(result.get(name, "")) for sign in (FULL, NO_PLACE) for name in ("module_stderr", "msg")
    )


def not_transferred(said: str) -> Row:
    """The answer where the host could not take the package."""
    return failed(
        "not_transferred",
        "The package could not be brought to the host.",
        f"See what was said. {NO_ROOM_STEP}",
        said=said,
    )


def answer_of(result: Row, step: str) -> Row:
    """What a module's result says in ``step``, of a module that ended before it could say anything too."""
    if result.get("state") in outcomes.STATES:
        return result
    if result.get("unreachable"):
        return lost("unreachable", str(result.get("msg", "The host does not answer.")).strip(), step)
    if had_no_room(result):
        return failed("no_room", "The host's disk is full: the module has no room there.", NO_ROOM_STEP)
    said = {
        name: str(result[name])[-TEXT:] for name in ("module_stdout", "module_stderr", "exception") if name in result
    }
    sentence = str(result.get("sentence") or result.get("msg") or "The module ended without a result.").strip()
    return failed(
        str(result.get("code") or "module_failed"),
        sentence,
        str(result.get("next_step") or "Look at the details; a retry is safe once the cause is gone."),
        rc=result.get("rc"),
        **said,
    )


def unchecked(answer: Row) -> Row:
    """The answer of a host that was taken back, in place of being confirmed, since a check by the controller failed."""
    why = failed(
        "check_failed",
        "Tasks that the plan has for a health check failed on the host.",
        "See what they said, above; try the host again once the cause is gone.",
        reversal={name: answer.get(name) for name in ("state", "code", "sentence")},
    )
    return {**answer, **why}


def settle(begun: HostRecord, step: str, answer: Row) -> HostRecord:
    """The host's record after the answer."""
    state = str(answer["state"])
    before = begun.before or begun.state
    if step == REVERSE and begun.goal != REVERT and outcomes.is_bad(before) and not outcomes.is_bad(state):
        # It went back because of what went wrong, and that stays what is said of it.
        state, said = before, begun
    else:
        said = dataclasses.replace(
            begun,
            code=str(answer.get("code") or ""),
            sentence=str(answer.get("sentence") or ""),
            next_step=str(answer.get("next_step") or ""),
        )
    applied = step == APPLY and state == outcomes.APPLIED
    return dataclasses.replace(
        said,
        state=state,
        attempt=None,
        before=None,
        kernel_state=_text(answer, "kernel_state"),
        boot_id=_text(answer, "boot_id") or begun.boot_id,
        applied_at=time.time() if applied else begun.applied_at,
    )


def _text(answer: Row, name: str) -> str | None:
    """What a broken host says otherwise, as in ``{"kernel_state": {}}``, would make a record that cannot be read: its
    slice would be lost, and the host not be taken back."""
    value = answer.get(name)
    return value if isinstance(value, str) else None


def record(files: RunFiles, begun: HostRecord, settled: HostRecord) -> bool:
    """Writes the host's record, unless another process has begun with the host meanwhile; says whether it did.

    That is the case where the controller was killed, a task of it lived on, and the run was started again.
    """
    with _locked(files):
        now = files.reread(begun.host)
        if now is not None and now.attempt != begun.attempt:
            return False
        files.write_host(settled)
        return True


def line(record: HostRecord, step: str, answer: Row, seconds: float) -> Row:
    """The line of evidence of a step."""
    result = {name: answer[name] for name in KEPT if answer.get(name) is not None}
    digest = getattr(record.slice, "digest", None)
    if digest:
        result["sha256"] = digest
    return evidence.line(
        "host",
        record.plan,
        {"name": record.slice.name, "version": record.slice.version} if record.slice else {},
        record.by,
        answer.get("details") or {},
        batch=record.batch,
        host=record.host,
        step=step,
        state=record.state,
        **{name: getattr(record, name) for name in REASON},
        seconds=round(seconds, 3),
        result=result,
    )


def _locked(files: RunFiles) -> contextlib.AbstractContextManager[int]:
    return locks.locked(os.path.join(files.path, "hosts.lock"))
