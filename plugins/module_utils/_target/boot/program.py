# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host does by itself about its armed updates: at boot, when the boot has gone well, when it goes down.

``_target.boot.persist`` installs it as a program; units of systemd run it (docs/persist.md).  It never makes a boot
fail: each error is logged in the journal and noted in the update's record, and the boot goes on without the update.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
import traceback
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target import inventory, isolation, metrics
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import armed_record, prospects, store
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.armed_record import ArmedRecord
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.lock import host_lock
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store
from ansible_collections.rebootless.splice.plugins.module_utils._target.update import UpdateOperation, UpdateRequest

APPLY_TIMEOUT = 120  # seconds for all updates together; below TimeoutStartSec of the unit
OVERTIME = 3  # seconds for each of the others after that
LOCK_TIMEOUT = 10  # seconds
# Drivers are loaded at the same time; what stands in the way for that reason goes away.
PASSING = ("helper_busy", "module_busy")
RETRIES, RETRY_PAUSE = 5, 1.0  # seconds
# Behind the number of sd-daemon(3).
ERROR, WARNING, INFO = "<3>", "<4>", "<6>"
TRY_AGAIN = "Apply it with the module update, which says what stands in the way; it is tried again at the next boot."


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rebootless", description="Applies confirmed updates of the running kernel again."
    )
    parser.add_argument("--state-directory", default=store.DIRECTORY)
    parser.add_argument("--metrics-directory", default="")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("apply", help="at boot").add_argument("--deadline", type=int, default=0)
    for command, when in (("settle", "when the boot has gone well"), ("stop", "when the host goes down")):
        commands.add_parser(command, help=when)
    commands.add_parser("facts", help="what Ansible shows as ansible_local.rebootless")
    commands.add_parser("metrics", help="for a node exporter's textfile collector")
    options = parser.parse_args(arguments)
    packages = Store(options.state_directory)
    if options.command == "facts":
        sys.stdout.write(strict_json.write(inventory.kernel(packages), indent=1, sort_keys=True).decode() + "\n")
        return 0
    if options.command == "apply":
        with _noted("boot"), _time_limit(APPLY_TIMEOUT):
            each_armed(packages, lambda record: apply(packages, record, options.deadline))
    elif options.command in ("settle", "stop"):
        run = {"settle": settle, "stop": stop}[options.command]
        each_armed(packages, lambda record: run(packages, record))
    with _noted("metrics"):
        if options.metrics_directory:
            metrics.write(packages, options.metrics_directory)
        for sentence in metrics.refresh(packages):
            _say(WARNING, sentence)
    return 0


def each_armed(packages: Store, run: t.Callable[[ArmedRecord], None]) -> None:
    """Does something for each record; one that fails does not keep the next one from its turn."""
    for name in armed_record.names(packages):
        with _noted(name):
            record = armed_record.read(packages, name)
            if record is not None:
                run(record)


def apply(packages: Store, record: ArmedRecord, deadline: int) -> None:
    """Applies one armed update, unless there is a reason not to.

    That it is tried is on the disk before the kernel is touched: the next boot knows from it if this one crashes.
    """
    boot_id = facts.boot_id()
    found = prospects.state(record)
    if found != armed_record.ARMED:
        _pass_over(packages, record, found)
        return
    if sysfs.state(record.name) in sysfs.LIVE:  # the unit was started by hand
        return
    armed_record.write(packages, record.with_boot(boot_id, armed_record.TRYING))
    try:
        _apply(packages, record, deadline)
    except RebootlessError as error:
        refused = record.with_boot(boot_id, armed_record.REFUSED, code=error.code, sentence=error.sentence)
        armed_record.write(packages, refused)
        raise
    _say(INFO, f"{record.name} {record.version} is applied again; it is confirmed when the boot has gone well.")


def _apply(packages: Store, record: ArmedRecord, deadline: int) -> None:
    request = UpdateRequest(
        state="applied",
        package=armed_record.package_path(packages, record.name, record.package),
        sha256=record.package,
        name=record.name,
        deadline=deadline,
        confirm=not deadline,
        # A boot disturbs what runs on isolated CPUs by far more than the switch at its end.
        isolated_cpus=isolation.APPLY,
        lock_timeout=LOCK_TIMEOUT,
        state_directory=packages.directory,
    )
    for left in reversed(range(RETRIES)):
        try:
            UpdateOperation(request, check_mode=False).run()
            return
        except RebootlessError as error:
            if error.code not in PASSING or not left:
                raise
        time.sleep(RETRY_PAUSE)


def _pass_over(packages: Store, record: ArmedRecord, found: str) -> None:
    reason = prospects.reason(record, found)
    _say(WARNING if found == armed_record.QUARANTINED else INFO, f"{reason['sentence']} {reason['next_step']}")
    if found == armed_record.QUARANTINED:
        if record.state != found:
            armed_record.write(packages, record.in_quarantine())
    elif found != prospects.OFF:
        armed_record.write(packages, record.with_boot(facts.boot_id(), found))


def settle(packages: Store, record: ArmedRecord) -> None:
    """The host has run for long enough with what was applied at its boot: that stays."""
    if not record.tried(facts.boot_id()):
        return
    with host_lock(LOCK_TIMEOUT):
        if sysfs.state(record.name) == sysfs.APPLIED and sysfs.digest(record.name) == record.build_digest:
            sysfs.control(record.name, "confirm")
    live = sysfs.state(record.name) in sysfs.IN_EFFECT
    _finish(packages, record, armed_record.SETTLED if live else armed_record.REVERSED)
    _say(
        INFO, f"{record.name} {record.version}: the boot has gone well, {'it is confirmed' if live else 'without it'}."
    )


def stop(packages: Store, record: ArmedRecord) -> None:
    """The host shuts down or reboots in order, so this boot did not crash."""
    if record.tried(facts.boot_id()):
        _finish(packages, record, armed_record.STOPPED)


def _finish(packages: Store, record: ArmedRecord, outcome: str) -> None:
    armed_record.write(packages, record.with_boot(facts.boot_id(), outcome))


@contextlib.contextmanager
def _noted(name: str) -> t.Iterator[None]:
    """Logs an error in the journal instead of raising it."""
    try:
        yield
    except RebootlessError as error:
        _say(ERROR, f"{name}: {error} ({error.code})")
    except Exception:  # pylint: disable=broad-except
        _say(ERROR, f"{name}: {' '.join(traceback.format_exc().split())}")


@contextlib.contextmanager
def _time_limit(seconds: int) -> t.Iterator[None]:
    """Refuses what takes longer (``boot_timeout``), so that the boot goes on."""

    def refuse(number: int, frame: object) -> None:
        signal.alarm(OVERTIME)
        raise RebootlessError("boot_timeout", f"Applying at boot took longer than {seconds} seconds.", TRY_AGAIN)

    before = signal.signal(signal.SIGALRM, refuse)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _say(priority: str, text: str) -> None:
    sys.stdout.write(f"{priority}{text}\n")
    sys.stdout.flush()
