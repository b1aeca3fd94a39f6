# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module ``persist`` is asked for."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution.kernel_package import (
    is_version,
    what_is_no_version,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.names import demand_name
from ansible_collections.rebootless.splice.plugins.module_utils._target import rights
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot import armed
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot.persist import Persistence, Settings
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import armed_record, prospects
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.lock import host_lock
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store

OFF_TEXT = b"Nothing is applied at boot while this file is here (rebootless.splice).\n"


class PersistRequest(t.NamedTuple):
    """The fields are the options of the module."""

    state: str  # "present", "absent", "armed" or "disarmed"
    name: str | None
    again: bool
    fixed_in: list[str]
    plan: str
    settle: int  # seconds
    deadline: int  # seconds
    metrics_directory: str | None
    fact_file: bool
    switched_off: bool | None
    lock_timeout: int  # seconds
    state_directory: str


def run(request: PersistRequest, check_mode: bool) -> dict:
    """The module's result; raises ``RebootlessError`` on a refusal."""
    rights.require_root()
    _check(request)
    act = {"present": _present, "absent": _absent, "armed": _armed, "disarmed": _disarmed}[request.state]
    # Check mode writes nothing, not even a lock file.
    with contextlib.nullcontext() if check_mode else host_lock(request.lock_timeout):
        result = act(request, check_mode)
        result["changed"] |= _switch(request, check_mode)
    return result


def _check(request: PersistRequest) -> None:
    if not 0 < request.settle < request.deadline:
        raise RebootlessError(
            "bad_deadline",
            "A boot has to count as a good one before the deadline of what it applied.",
            "Give a settle time of some minutes, and a deadline that is longer.",
            settle=request.settle,
            deadline=request.deadline,
        )
    for path in filter(None, (request.metrics_directory, request.state_directory)):
        if not os.path.isabs(path) or "\n" in path:
            raise RebootlessError("bad_path", f"{path!r} is no absolute path.", "Give the path from / on.", path=path)
    if request.name is not None:
        demand_name(request.name)
    for version in request.fixed_in:
        if not is_version(version):
            raise RebootlessError(
                "bad_version",
                what_is_no_version(version),
                "Give versions of the kernel's source package, such as 6.1.187-1.",
            )


def _persistence(request: PersistRequest) -> Persistence:
    return Persistence(
        Settings(
            settle=request.settle,
            deadline=request.deadline,
            metrics_directory=request.metrics_directory or "",
            fact_file=request.fact_file,
            state_directory=request.state_directory,
        )
    )


def _present(request: PersistRequest, check_mode: bool) -> dict:
    files = _persistence(request).install(check_mode)
    return {"changed": bool(files), "files": files}


def _absent(request: PersistRequest, check_mode: bool) -> dict:
    files = _persistence(request).uninstall(check_mode)
    return {"changed": bool(files), "files": files}


def _armed(request: PersistRequest, check_mode: bool) -> dict:
    store, name = Store(request.state_directory), t.cast(str, request.name)
    changed = armed.arm(store, name, request.plan, request.fixed_in, request.again, check_mode)
    return {"changed": changed, "boot": prospects.prospect(store, name)}


def _disarmed(request: PersistRequest, check_mode: bool) -> dict:
    store, name = Store(request.state_directory), t.cast(str, request.name)
    changed = name in armed_record.names(store)
    if not check_mode:
        armed_record.disarm(store, name)
    return {"changed": changed, "boot": prospects.prospect(store, name)}


def _switch(request: PersistRequest, check_mode: bool) -> bool:
    """Has ``/etc/rebootless/off`` as the request says; whether that changed anything."""
    if request.switched_off is None or request.switched_off == os.path.lexists(prospects.OFF_FILE):
        return False
    if not check_mode:
        try:
            if request.switched_off:
                disk.make_directory(os.path.dirname(prospects.OFF_FILE), 0o755)
                disk.replace_durably(prospects.OFF_FILE, OFF_TEXT, 0o644)
            else:
                disk.remove(prospects.OFF_FILE)
        except OSError as error:
            raise RebootlessError(
                "persist_failed",
                f"{prospects.OFF_FILE} cannot be changed: {error.strerror}.",
                "Make its directory one that root can write to.",
                path=prospects.OFF_FILE,
            ) from error
    return True
