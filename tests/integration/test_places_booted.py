# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel made of its own code at boot is what the match programs allow, on every kind of machine.

The units are chosen so that every mechanism occurs.  ``tests/corpus/match_check.py`` does the same for whole kernels,
``tests/corpus/match_cpus.py`` for all machines that the emulator cannot be.
"""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree, read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.tests.corpus.booted import Machine, boot
from ansible_collections.rebootless.splice.tests.corpus.cpus import BY_NAME
from ansible_collections.rebootless.splice.tests.corpus.match_check import Built, Check, chosen_units
from ansible_collections.rebootless.splice.tests.corpus.match_cpus import EVERY_MECHANISM, Cpus
from ansible_collections.rebootless.splice.tests.support.runner import Runner

MACHINES = [
    "qemu64:1",  # no lock prefixes
    "max:2:mitigations=off",
    "max:2:spectre_v2=retpoline,lfence",
    "max:2:indirect_target_selection=force preempt=full",
    "EPYC-Rome:2:retbleed=unret",  # a return thunk that untrains
]
TOLD = [
    "Cascade Lake, ITS",  # thunks in pages of their own; forced on a model of the emulator there are none
    "Zen 2, SRSO",
]


@pytest.fixture(scope="module")
def tree(controller: Runner) -> KernelTree:
    made = controller.module("localhost", "kernel_tree", release="6.1.0-50-cloud-amd64")
    assert not made["failed"], made
    return read_tree(made["path"])


@pytest.fixture(scope="module")
def check(tree: KernelTree, tmp_path_factory: pytest.TempPathFactory) -> Check:
    work = tmp_path_factory.mktemp("match")
    units = chosen_units(tree, EVERY_MECHANISM)
    assert sorted(unit.name for unit in units) == sorted(EVERY_MECHANISM)
    built = Built(tree, work, jobs=2)
    built.compile(units)
    return Check(built, flips=5)


def test_units_match_the_distributions_image(check: Check, tree: KernelTree) -> None:
    for unit in chosen_units(tree, EVERY_MECHANISM):
        check.unit(unit, {"image": VmlinuxImage(tree.vmlinuz)})
    assert check.failures == []


@pytest.mark.parametrize("machine", MACHINES)
def test_units_match_a_booted_kernel(check: Check, tree: KernelTree, tmp_path: pathlib.Path, machine: str) -> None:
    memory = boot(tree.vmlinuz, tmp_path, Machine.parse(machine))
    check.failures.clear()
    for unit in chosen_units(tree, EVERY_MECHANISM):
        check.unit(unit, {machine: memory})
    assert check.failures == []


@pytest.mark.parametrize("cpu", TOLD)
def test_units_match_a_kernel_that_is_told_its_machine(
    check: Check, tree: KernelTree, tmp_path: pathlib.Path, cpu: str
) -> None:
    cpus = Cpus(check.built, chosen_units(tree, EVERY_MECHANISM), flips=1, seed="1")
    cpus.machine(BY_NAME[cpu], tmp_path)
    assert cpus.failures + cpus.check.failures == []
    assert cpus.check.counts["built-in units matched"] == len(EVERY_MECHANISM)
