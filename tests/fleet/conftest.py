# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on purpose.

The machines of the molecule scenario `fleet` are three pairs here, each with a controller of its own.

A test takes `pair`: two machines with the same kernel, on which nothing of the product is left, and a service that has
to be whole when the test is over.  Three workers of pytest-xdist can run side by side.  REBOOTLESS_KEEP_LAB=1 keeps the
machines for the next run; REBOOTLESS_LAB names another lab.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import shutil
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import locks
from ansible_collections.rebootless.splice.tests.fleet.scene import service
from ansible_collections.rebootless.splice.tests.fleet.scene.pair import Pair
from ansible_collections.rebootless.splice.tests.support import lab_lock
from ansible_collections.rebootless.splice.tests.support.builds import Builds
from ansible_collections.rebootless.splice.tests.support.places import CACHE
from ansible_collections.rebootless.splice.tests.support.runner import Runner

NAME = os.environ.get("REBOOTLESS_LAB", "fleet")
LAB = CACHE / "lab" / NAME
SCENARIO = pathlib.Path(__file__).resolve().parents[2] / "extensions" / "molecule" / "fleet"
PAIRS = [("app1", "app2"), ("web1", "web2"), ("db1", "db2")]


def lab_playbook(name: str) -> None:
    Runner(variables={"lab_name": NAME, "lab_cache": str(CACHE)}).playbook(
        f"rebootless.splice.{name}", "-e", f"@{SCENARIO / 'vars' / 'lab.yml'}", variables={"lab_name": NAME}
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Takes the lab for this run, unless `make` has it already; the workers are the run's own."""
    if not hasattr(session.config, "workerinput"):
        held = contextlib.ExitStack()
        try:
            held.enter_context(lab_lock.held(LAB))
        except lab_lock.LabInUse as error:
            pytest.exit(str(error), returncode=1)
        session.config.add_cleanup(held.close)


def pytest_sessionfinish(session: pytest.Session) -> None:
    is_worker = hasattr(session.config, "workerinput")
    if not is_worker and LAB.exists() and not os.environ.get("REBOOTLESS_KEEP_LAB"):
        lab_playbook("lab_down")


@contextlib.contextmanager
def locked(name: str, wait: bool = True) -> t.Iterator[bool]:
    """A lock between the workers of a run; false if another one has it."""
    path = CACHE / "locks" / f"fleet-{NAME}-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locks.locked(path, None if wait else 0))
        except locks.LockHeld:
            yield False
        else:
            yield True


@pytest.fixture(scope="session")
def lab(testrun_uid: str) -> pathlib.Path:
    """The machines, running; the first worker of a run starts them."""
    mark = CACHE / "locks" / f"fleet-{NAME}-up"
    with locked("lab"):
        if not mark.exists() or mark.read_text() != testrun_uid:
            lab_playbook("lab_up")
            mark.write_text(testrun_uid)
    return LAB


@pytest.fixture(scope="session")
def own_pair(lab: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Pair]:
    """Two machines for this worker alone."""
    with contextlib.ExitStack() as stack:
        (names,) = itertools.islice((names for names in PAIRS if stack.enter_context(locked(names[0], wait=False))), 1)
        directory = LAB / f"controller-{names[0]}"
        shutil.rmtree(directory, ignore_errors=True)
        yield Pair(lab, names, Builds(Runner(), CACHE, tmp_path_factory.mktemp("builds")), directory)


@pytest.fixture
def pair(own_pair: Pair) -> t.Iterator[Pair]:
    """Two machines with nothing of the product on them; afterwards no line of their service is missing."""
    own_pair.clean()
    yield own_pair
    for machine in own_pair.machines:
        service.check(machine)
