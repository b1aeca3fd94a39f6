# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab for the integration tests, and builds for its kernels.

One lab serves the whole run, or each pytest-xdist worker of it: the first test that needs it starts it, the end of the
run removes it (REBOOTLESS_KEEP_LAB=1 keeps it for the next run; REBOOTLESS_LAB names another one).  A test that wants
one asks for

=================  =====================================================================================================
``host47``         has the machine with kernel 6.1.0-47-cloud-amd64 for itself (see support/host.py for what it can do)
``host50``         the same with 6.1.0-50-cloud-amd64
``hosts``          both
``throwaway``      can make machines of its own, to break them: ``throwaway("6.1.0-50-cloud-amd64")``
``builds``         makes kernel trees, updates and test modules for these kernels (see support/builds.py)
``controller``     runs modules on this machine: ``controller.module("localhost", "kernel_tree", release=…)``
=================  =====================================================================================================

A test leaves a shared machine as it found it, or calls ``host.restart()``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import locks
from ansible_collections.rebootless.splice.tests.support.builds import Builds
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.runner import Runner

CACHE = pathlib.Path(os.environ.get("REBOOTLESS_CACHE", "~/.cache/rebootless")).expanduser()
KERNELS = {"host47": "6.1.0-47-cloud-amd64", "host50": "6.1.0-50-cloud-amd64"}
# A lab for each worker: one that waits for the other's machine leaves a processor idle.
NAME = os.environ.get("REBOOTLESS_LAB", "integration") + os.environ.get("PYTEST_XDIST_WORKER", "")
LAB = CACHE / "lab" / NAME
# These begin first, so that none of them is left to one worker at the end.
LONG = ("parts", "bad_input", "update_module", "build", "persist", "rollout_host", "corpus_entries", "rollout", "lab")


def lab_variables(name: str, **more: t.Any) -> dict[str, t.Any]:
    return {"lab_name": name, "lab_cache": str(CACHE), **more}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def pytest_sessionfinish() -> None:
    if LAB.exists() and not os.environ.get("REBOOTLESS_KEEP_LAB"):
        Runner().playbook("rebootless.splice.lab_down", variables=lab_variables(NAME))


@contextlib.contextmanager
def locked(name: str) -> t.Iterator[None]:
    """A lock between the workers of a run."""
    path = CACHE / "locks" / f"integration-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.locked(path):
        yield


@pytest.fixture(scope="session")
def controller() -> Runner:
    """Ansible without an inventory: modules and playbooks on this machine."""
    return Runner()


@pytest.fixture(scope="session")
def builds(controller: Runner) -> Builds:
    """What the build host makes for the lab's kernels."""
    return Builds(controller, CACHE)


@pytest.fixture(scope="session")
def lab(controller: Runner) -> dict[str, Host]:
    """The machines that tests share, running."""
    wanted = [{"name": name, "kernel": kernel} for name, kernel in KERNELS.items()]
    with locked("lab"):
        controller.playbook("rebootless.splice.lab_up", variables=lab_variables(NAME, lab_hosts=wanted))
    runner = Runner(LAB / "inventory.yml")
    return {name: Host(LAB, name, runner) for name in KERNELS}


@pytest.fixture
def host47(lab: dict[str, Host]) -> t.Iterator[Host]:
    """The machine with kernel 6.1.0-47-cloud-amd64, for this test alone."""
    yield from borrowed(lab["host47"])


@pytest.fixture
def host50(lab: dict[str, Host]) -> t.Iterator[Host]:
    """The machine with kernel 6.1.0-50-cloud-amd64, for this test alone."""
    yield from borrowed(lab["host50"])


@pytest.fixture
def hosts(host47: Host, host50: Host) -> list[Host]:
    """Both machines, for this test alone."""
    return [host47, host50]


def borrowed(host: Host) -> t.Iterator[Host]:
    if host.panic() is not None or host.machine.pid() is None:  # the last user broke it
        host.restart()
    yield host
    assert host.panic() is None, host.console()[-4000:]


@pytest.fixture
def throwaway(controller: Runner, request: pytest.FixtureRequest) -> t.Iterator[t.Callable[..., Host]]:
    """Makes machines that the test may break; they are removed after it."""
    made: list[str] = []
    numbers = itertools.count(1)

    def make(kernel: str, **variables: t.Any) -> Host:
        name = f"integration-{os.getpid()}-{next(numbers)}"
        made.append(name)
        wanted = [{"name": "machine", "kernel": kernel}]
        controller.playbook("rebootless.splice.lab_up", variables=lab_variables(name, lab_hosts=wanted, **variables))
        directory = CACHE / "lab" / name
        return Host(directory, "machine", Runner(directory / "inventory.yml"))

    yield make
    for name in made:
        controller.playbook("rebootless.splice.lab_down", variables=lab_variables(name))
