# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps ``preflight`` and ``apply`` of a rollout."""

from __future__ import annotations

import os

from ansible_collections.rebootless.splice.plugins.module_utils._common.checks import normalise, normalise_times
from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution.kernel_package import fixed
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import (
    MAX_FILE,
    Package,
    parse_package,
    read_package,
)
from ansible_collections.rebootless.splice.plugins.module_utils._target.health import health_log, runner
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout import back, fetch, records, watch
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.records import since_boot
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.step import (
    APPLIED,
    CONFIRMED,
    FAILED,
    MATCHED,
    NOT_NEEDED,
    UNCOVERED,
    Step,
    Stopped,
)
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store
from ansible_collections.rebootless.splice.plugins.module_utils._target.update import UpdateOperation, UpdateRequest

ROOM = 1 << 20  # bytes beside the package: records, now and during the soak


def preflight(step: Step) -> str:
    """Whether the host could take the update; changes nothing."""
    state = sysfs.state(step.name)
    record = step.records.read(step.name)
    if state in sysfs.LIVE and sysfs.digest(step.name) == _wanted_build(step, record):
        return step.live(state)
    _check_kernel(step)
    result = _operation(step, _package(step), check_mode=True).run()
    step.known.update({key: result[key] for key in ("match_ns", "matched_bytes", "signer") if key in result})
    return MATCHED


def apply(step: Step) -> str:
    """Applies the update with a deadline, checks the host's health, and leaves a watcher for the rest of the soak."""
    times = normalise_times(list(step.request.check_times), step.request.deadline, list(step.request.checks))
    record = step.records.read(step.name)
    state = sysfs.state(step.name)
    if state in sysfs.LIVE and sysfs.digest(step.name) == _wanted_build(step, record):
        if step.live(state) == sysfs.CONFIRMED:
            step.arm(record)
            return CONFIRMED
        if record is None or not step.is_ours(record) or record["boot_id"] != facts.boot_id():
            raise back.other_rollout(step.request, record)
        if not record["outcome"]:
            return _go_on(step, record)
        _leave(step, record)
    elif state == sysfs.APPLIED:
        raise back.other_rollout(step.request, record)
    elif record is not None and step.is_ours(record) and not step.request.retry:
        _refuse_again(record)
    _check_kernel(step)
    package = _package(step)
    _check_room(step, package)
    if record is not None:  # the watcher of an earlier soak that has not noticed yet that it is over
        watch.stop(record)
    return _apply(step, package, times)


def _wanted_build(step: Step, record: dict | None) -> str:
    """What names the build that the plan has for this host, as the kernel shows it."""
    if record is not None and record["sha256"] == step.request.digest:
        return str(record["build_digest"])
    return _package(step).digest


def _check_kernel(step: Step) -> None:
    """The plan is for exactly one build of the kernel."""
    wanted, running = step.request.build_id, facts.build_id()
    if wanted is None or wanted == running:
        return
    details = {"expected": wanted, "found": running, "release": facts.release()}
    if step.request.fixed_in and fixed(facts.version(), list(step.request.fixed_in)):
        sentence = f"The host runs the kernel {facts.version()} now, which has the fix."
        raise Stopped(NOT_NEEDED, RebootlessError("kernel_has_fix", sentence, "", **details))
    raise Stopped(
        UNCOVERED,
        RebootlessError(
            "build_id_mismatch",
            "The host does not run the kernel for which the plan has a build.",
            "Build the update for the kernel that the host runs now, and make a new plan.",
            **details,
        ),
    )


def _package(step: Step) -> Package:
    """The checked package that the plan names: the host's own copy, the one that came with the task, or the web
    server's."""
    request, store = step.request, Store(step.request.state_directory)
    if "package" in step.memory:
        return step.memory["package"]
    package = None
    if request.digest and os.path.exists(store.path(step.name)):
        try:
            package = read_package(store.path(step.name), request.digest)
        except RebootlessError:  # another version, or a damaged one
            package = None
    if package is None and request.package:
        package = read_package(request.package, request.digest)
    if package is None and request.url:
        limit = request.size or MAX_FILE
        package = parse_package(request.url, fetch.fetch(request.url, limit, request.ca_path), request.digest)
    if package is None:
        raise RebootlessError(
            "package_missing",
            f"The host has no package of the update {step.name} with the digest of the plan.",
            "Give the path of its package on the host, or a URL.",
            expected=request.digest,
        )
    if package.name != step.name or request.version not in (None, package.version):
        raise RebootlessError(
            "name_mismatch",
            f"The package holds the update {package.name} {package.version}, not {step.name} {request.version or ''}.",
            "Make the plan again from the store that holds the packages.",
        )
    step.memory["package"] = package
    return package


def _check_room(step: Step, package: Package) -> None:
    """A full disk is found before the kernel is touched."""
    directory = step.request.state_directory
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory) or "/"
    room = os.statvfs(directory)
    free = room.f_bavail * room.f_frsize
    needed = 2 * len(package.content) + ROOM  # another version may have to be kept beside it
    if free < needed or (room.f_files and not room.f_favail):
        what = f"{free} bytes" if free < needed else "no inode"
        raise RebootlessError(
            "no_room",
            f"The file system of {directory} has {what} free, and the update needs {needed} bytes there.",
            "Free space there, then try the host again.",
            path=directory,
            free=free,
            needed=needed,
        )


def _operation(step: Step, package: Package, check_mode: bool = False) -> UpdateOperation:
    request = UpdateRequest(
        "applied",
        name=step.name,
        deadline=step.request.deadline,
        tries=step.request.tries,
        blockers=step.request.blockers,
        isolated_cpus=step.request.isolated_cpus,
        lock_timeout=step.request.lock_timeout,
        state_directory=step.request.state_directory,
    )
    return UpdateOperation(request, check_mode, package)


def _apply(step: Step, package: Package, times: list[int]) -> str:
    request = step.request
    seen = health_log.last_number(f"{step.log_title} {package.version} comes")
    record = {
        "name": package.name,
        "version": package.version,
        "plan": request.plan,
        "sha256": package.sha256,
        "build_digest": package.digest,
        "build_id": facts.build_id(),
        "boot_id": facts.boot_id(),
        "step": records.APPLYING,
        "begun": facts.wall_time(),
        "applied_at": None,
        "deadline": request.deadline,
        "checks": [check for check in normalise(list(request.checks)) if check["kind"] in runner.RUN],
        "check_times": times,
        "results": [],
        "taint": facts.taint()["value"],
        "log_from": seen,
        "log_seen": seen,
        "watcher": None,
        "outcome": None,
        "previous": None,
    }
    if sysfs.state(step.name) in sysfs.LIVE:
        record["previous"] = back.keep_previous(step.name, request, step.records)
    step.records.write(record)
    step.changed = True
    operation = _operation(step, package)
    try:
        result = operation.run()
    except RebootlessError as error:
        raise _fail(step, record, error) from error
    record.update(step=records.APPLIED, applied_at=since_boot())
    record.update({key: result[key] for key in ("pause_ns", "match_ns", "tries")})
    step.known["signer"] = result["signer"]
    return _soak(step, record)


def _soak(step: Step, record: dict) -> str:
    """The checks that are due now, and a watcher for the later ones; goes back if there is no way to have both."""
    try:
        step.records.write(record)
        if 0 in records.missing_times(record):
            log = health_log.HealthLog(record["log_seen"])
            results = runner.run(record["checks"], watch.subject(record, log), "soak", 0)
            log.close()
            record["results"] += results
            record["log_seen"] = log.seen
            step.known["checks"] = results
            if not all(row["ok"] for row in results):
                raise back.check_failed(record)
            step.records.write(record)
        if records.missing_times(record):
            watch.start(lambda: watch.Watch(step.records, record, lambda bad: _take_back(step, bad)))
        else:
            record["watcher"] = {"pid": 0, "start": 0, "state": records.DONE}
            step.records.write(record)
    except (OSError, RebootlessError) as error:
        raise _fail(step, record, error) from error
    return APPLIED


def _take_back(step: Step, record: dict) -> None:
    """What the watcher does when a check has failed: the update goes back."""
    back.go_back(record, back.check_failed(record), back.WATCHER, step.request)


def _fail(step: Step, record: dict, error: OSError | RebootlessError) -> RebootlessError:
    """Takes back what may be live, remembers why, and returns the refusal."""
    if not isinstance(error, RebootlessError):
        error = RebootlessError(
            "host_error", f"The host does not allow what is needed: {error}.", "Look at the host's file systems."
        )
    unconfirmed = sysfs.state(step.name) in (sysfs.APPLIED, sysfs.BYPASSED)
    if unconfirmed and sysfs.digest(step.name) == record["build_digest"]:
        back.go_back(record, error, back.MODULE, step.request)
    else:
        back.remember(record, error)
    step.save(record)
    return error


def _go_on(step: Step, record: dict) -> str:
    """The update is live by this plan, and not confirmed: an earlier task was interrupted."""
    seconds, left = step.request.deadline, sysfs.numbers(step.name, ("deadline",))["deadline"]
    try:
        sysfs.control(step.name, f"extend {seconds}")
    except RebootlessError as error:
        if sysfs.state(step.name) not in sysfs.LIVE:
            raise back.gone(record) from error
        if left <= record["check_times"][-1]:
            raise _fail(step, record, error) from error
    if watch.alive(record):
        step.known["checks"] = record["results"]
        return APPLIED
    record = step.records.read(step.name) or record  # what the watcher wrote last
    if record["outcome"]:
        raise back.recorded(record)
    if record["applied_at"] is None:  # killed between the apply and the next line of the record
        record["applied_at"] = since_boot() - max(0, record["deadline"] - left)
        record["step"] = records.APPLIED
    step.changed = True
    return _soak(step, record)


def _leave(step: Step, record: dict) -> None:
    """The update failed before and could not be taken back then."""
    watch.stop(record)
    error = back.recorded(record)
    error.details.pop("not_reversed", None)
    back.go_back(record, error, back.MODULE, step.request)
    step.save(record)
    step.changed = True
    if not step.request.retry or sysfs.state(step.name) in sysfs.LIVE:
        raise Stopped(FAILED, error)


def _refuse_again(record: dict) -> None:
    """What failed on this host under this plan is tried again only with the option ``retry``."""
    if record["outcome"] and record["outcome"]["state"] == FAILED:
        raise back.recorded(record)
    begun = record["step"] in (records.APPLYING, records.APPLIED, records.CONFIRMING)
    if begun and record["boot_id"] != facts.boot_id():
        raise back.gone(record)
    # One that was well to the end of its soak, but was not confirmed in time, may be tried again.
    if record["step"] == records.APPLIED and records.missing_times(record):
        raise back.gone(record)
