# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each cell of ``docs/coexistence.md``, on a stock kernel; the table is ``tests/coexistence/table.py``.

``REBOOTLESS_COEXISTENCE`` names the releases on which all cells are tried, as ``make test-coexistence`` does; without
it, those of the rows that are quick.  Cells share a machine, unless one of them has failed.
"""

from __future__ import annotations

import dataclasses
import os
import time
import typing as t

import pytest

from ansible_collections.rebootless.splice.tests.coexistence import cells
from ansible_collections.rebootless.splice.tests.coexistence.machine import Neighbourhood
from ansible_collections.rebootless.splice.tests.coexistence.table import ROWS
from ansible_collections.rebootless.splice.tests.support.builds import Builds
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.reaper import watch
from ansible_collections.rebootless.splice.tests.support.snapshots import Lab, Snapshots

ALL = os.environ.get("REBOOTLESS_COEXISTENCE", "").split()
RELEASES = ALL or ["6.1.0-50-cloud-amd64"]
# Memory for a crash kernel; and what a machine says when it does not come back from a suspend.
MORE: dict[str, t.Any] = {"memory_mib": 768, "kernel_arguments": ["crashkernel=160M", "no_console_suspend"]}
BOOT_S = 120.0
(SUSPEND,) = (row for row in ROWS if row.name == "suspend")
COLUMNS = (cells.before, cells.during, cells.after, cells.deadline)


class Shared:
    """A machine for cells of one release, restored when it is needed, and again after a cell that failed."""

    def __init__(self, lab: Lab, snapshots: Snapshots, builds: Builds) -> None:
        self._lab = lab
        self._snapshots = snapshots
        self._builds = builds
        self._places: dict[str, Neighbourhood] = {}

    def place(self, release: str) -> Neighbourhood:
        if release not in self._places:
            self._places[release] = Neighbourhood(self._machine(release), self._builds)
            if ALL:
                self._places[release].bring_kernel()
        return self._places[release]

    def _machine(self, release: str) -> Host:
        """A machine; one that is suspended has to be booted, since the firmware of a restored one does not go on."""
        name = f"machine-{release}"
        if not ALL:
            return self._lab.restore(name, release)
        return self._lab.boot(name, dataclasses.replace(self._snapshots.spec(release), **MORE))

    def give_up(self, release: str) -> None:
        """Something is not as it should be on the machine: the next cell gets another one."""
        host = self._places.pop(release).host
        print(host.console()[-4000:])
        host.disconnect()
        host.machine.remove()


@pytest.fixture(scope="module")
def shared(directory, snapshots, builds) -> t.Iterator[Shared]:
    """Machines that live longer than those of a test, so that they are in another lab."""
    own = directory.with_name(f"{directory.name}-coexistence")
    lab = Lab(own, snapshots)
    lab.remove()
    with watch(str(own)):
        yield Shared(lab, snapshots, builds)
    lab.remove()


@pytest.fixture
def place(shared: Shared, release: str) -> t.Iterator[Neighbourhood]:
    """The machine, which is given up unless the cell's test says in the end that it is as it was."""
    found = shared.place(release)
    found.untouched = False
    yield found
    assert found.host.panic() is None, found.host.console()[-4000:]
    if not found.untouched:
        shared.give_up(release)


@pytest.mark.parametrize("column", [pytest.param(column, id=column.__name__) for column in COLUMNS])
@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS if ALL or row.quick])
@pytest.mark.parametrize("release", RELEASES)
def test_cell(place: Neighbourhood, row, column):
    place.begin(row)
    column(place, row)
    place.end(row)
    place.untouched = True


@pytest.mark.skipif(not ALL, reason="REBOOTLESS_COEXISTENCE names no release")
@pytest.mark.parametrize("release", RELEASES)
def test_a_deadline_passes_while_the_machine_is_suspended(place: Neighbourhood):
    """The kernel's timers stand still meanwhile, and those who would have to confirm do not."""
    place.begin(SUSPEND)
    assert place.command("apply 40") == "done"
    suspended = place.host.start("echo 0 >/sys/class/rtc/rtc0/wakealarm; echo mem >/sys/power/state")
    with place.host.monitor() as monitor:
        place.host.wait_until(lambda: monitor.cmd("query-status")["status"] == "suspended")
        time.sleep(45)
        monitor.cmd("system_wakeup")
    assert suspended.wait(60) == 0
    place.host.wait_until(lambda: place.state() == "reversed", 15)
    place.end(SUSPEND)
    place.untouched = True


@pytest.fixture
def last(shared: Shared, release: str) -> t.Iterator[Neighbourhood]:
    """The machine, for a test that ends it."""
    yield shared.place(release)
    shared.give_up(release)


@pytest.mark.skipif(not ALL, reason="REBOOTLESS_COEXISTENCE names no release")
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    ("what", "end"),
    [
        pytest.param("kdump", "./kexec load crash; (sleep 1; echo c >/proc/sysrq-trigger) &", id="kdump"),
        pytest.param("kexec", "./kexec load; (sleep 1; ./kexec reboot) >/dev/null 2>&1 &", id="kexec"),
    ],
)
def test_another_kernel_begins(last: Neighbourhood, release, what, end):
    """By kexec or by a panic, while an update is applied."""
    assert (last.command("apply"), last.says()) == ("done", "new")
    last.sh(end)
    last.host.wait_until(lambda: f"{what}: OSRELEASE={release}" in last.host.console(), BOOT_S)
