# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines with stock kernels for the integration tests, and builds for their kernels.

A machine that a test gets has just booted, and no other test sees it: it is restored from a snapshot
(tests/support/snapshots.py) and removed after the test.  A test that wants one asks for

=================  =====================================================================================================
``host47``         a machine with kernel 6.1.0-47-cloud-amd64 (see tests/support/host.py for what it can do)
``host50``         the same with 6.1.0-50-cloud-amd64, or the kernel of REBOOTLESS_KERNEL (tests/support/own_kernels.py)
``hosts``          both
``throwaway``      restores more: ``throwaway("6.1.0-50-cloud-amd64")``
``booted``         has the lab's role boot machines, also with other options: ``booted(RELEASE, lab_on_panic="reboot")``
``builds``         makes kernel trees, updates and test modules for these kernels (tests/support/builds.py)
``controller``     runs modules on this machine: ``controller.module("localhost", "kernel_tree", release=…)``
=================  =====================================================================================================

With the marker "turns" the processors of an emulated machine that is restored take turns: for tests that have the
kernel write over code which all processors run.  Else one of them may go on running the old code for ever (see
ACCELERATORS in the lab's machine.py).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.console import read_console
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.machine import machines_of
from ansible_collections.rebootless.splice.tests.support import lab_lock, own_kernels
from ansible_collections.rebootless.splice.tests.support.builds import Builds
from ansible_collections.rebootless.splice.tests.support.complaints import complaints
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.places import CACHE, LAB
from ansible_collections.rebootless.splice.tests.support.reaper import watch
from ansible_collections.rebootless.splice.tests.support.runner import Runner
from ansible_collections.rebootless.splice.tests.support.snapshots import Lab, Snapshots

KERNELS = {"host47": "6.1.0-47-cloud-amd64", "host50": own_kernels.release()}
# These begin first, so that none of them is left to one worker at the end.
LONG = ("parts", "bad_input", "update_module", "build", "persist", "rollout_host", "corpus_entries", "rollout", "lab")


def lab_variables(name: str, **more: t.Any) -> dict[str, t.Any]:
    return {"lab_name": name, "lab_cache": str(CACHE), **more}


@pytest.hookimpl(tryfirst=True)  # xdist's reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
    for item in items:
        if _shares(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Ends a worker to which xdist does not tell the groups: what files make once would be made twice at a time."""
    if hasattr(session.config, "workerinput"):
        lost = [
            item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid
        ]
        assert not lost, f"pytest-xdist runs these without their groups: {lost}"


def _shares(item: pytest.Item) -> bool:
    """Whether it uses what its file makes once, so that the file's tests have to be one worker's."""
    fixtures = t.cast(pytest.Function, item)._fixtureinfo.name2fixturedefs.values()
    return any(fixture.scope == "module" for found in fixtures for fixture in found)


def shared(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory that the workers of a run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def controller() -> Runner:
    """Ansible without an inventory: modules and playbooks on this machine."""
    return Runner()


@pytest.fixture(scope="session")
def builds(controller: Runner, tmp_path_factory: pytest.TempPathFactory) -> Builds:
    """What the build host makes for the lab's kernels."""
    return Builds(controller, CACHE, shared(tmp_path_factory))


@pytest.fixture(scope="session")
def snapshots(controller: Runner) -> Snapshots:
    """What machines are restored from."""
    return Snapshots(controller, CACHE)


@pytest.fixture(scope="session")
def directory() -> t.Iterator[pathlib.Path]:
    """The directory below which all labs of this worker are; their machines end with it.

    Another run of the same cache would remove this one's machines, so that one fails: REBOOTLESS_LAB names another lab.
    """
    with lab_lock.held(LAB), contextlib.closing(t.cast(t.IO[bytes], watch(str(LAB)).stdin)):
        yield LAB


@pytest.fixture
def lab(directory: pathlib.Path, snapshots: Snapshots, request: pytest.FixtureRequest) -> t.Iterator[Lab]:
    """The machines of one test."""
    made = Lab(directory, snapshots, turns=request.node.get_closest_marker("turns") is not None)
    made.remove()
    yield made
    found = complaints_of(machine.console for machine in machines_of(str(made.directory)))
    made.remove()
    assert found == []


@pytest.fixture
def host47(lab: Lab) -> t.Iterator[Host]:
    """A machine with kernel 6.1.0-47-cloud-amd64 that has just booted."""
    yield from unharmed(lab.restore("host47", KERNELS["host47"]))


@pytest.fixture
def host50(lab: Lab) -> t.Iterator[Host]:
    """A machine with kernel 6.1.0-50-cloud-amd64 that has just booted."""
    yield from unharmed(lab.restore("host50", KERNELS["host50"]))


@pytest.fixture
def hosts(host47: Host, host50: Host) -> list[Host]:
    """Both machines."""
    return [host47, host50]


def complaints_of(consoles: t.Iterable[str]) -> list[str]:
    """What the machines have complained about since they were made, if their kernel is one that checks itself."""
    if own_kernels.chosen() is None:
        return []
    return [line for console in consoles for line in complaints(read_console(console))]


def unharmed(host: Host) -> t.Iterator[Host]:
    yield host
    assert host.panic() is None, host.console()[-4000:]


@pytest.fixture
def throwaway(lab: Lab) -> t.Callable[[str], Host]:
    """Restores machines that the test may break."""
    numbers = itertools.count(1)
    return lambda kernel: lab.restore(f"machine{next(numbers)}", kernel)


@pytest.fixture
def booted(controller: Runner) -> t.Iterator[t.Callable[..., Host]]:
    """Has the lab's role boot machines that the test may break, each in a lab of its own; they are removed after it."""
    made: list[str] = []
    watchers: list[t.Any] = []
    numbers = itertools.count(1)

    def make(kernel: str, **variables: t.Any) -> Host:
        name = f"integration-{os.getpid()}-{next(numbers)}"
        made.append(name)
        directory = CACHE / "lab" / name
        watchers.append(watch(str(directory)))
        wanted = [{"name": "machine", "kernel": kernel, "memory": own_kernels.memory(kernel, 0)}]
        arguments = [*variables.pop("lab_kernel_arguments", []), *own_kernels.arguments(kernel)]
        options = lab_variables(name, lab_hosts=wanted, lab_kernel_arguments=arguments, **variables)
        controller.playbook("rebootless.splice.lab_up", variables=options)
        return Host(directory, "machine", Runner(directory / "inventory.yml"))

    yield make
    found = complaints_of(machine.console for name in made for machine in machines_of(str(CACHE / "lab" / name)))
    for name in made:
        controller.playbook("rebootless.splice.lab_down", variables=lab_variables(name))
    for watcher in watchers:
        watcher.stdin.close()
    assert found == []
