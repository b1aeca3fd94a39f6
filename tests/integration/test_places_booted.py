# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel made of its own code at boot is what the match programs allow, on every kind of machine.

The units are chosen so that every mechanism occurs.  ``tests/corpus/match_check.py`` does the same for whole kernels.
"""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree, read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.tests.corpus.booted import Machine, boot
from ansible_collections.rebootless.splice.tests.corpus.match_check import Built, Check, chosen_units
from ansible_collections.rebootless.splice.tests.support.runner import Runner

UNITS = [
    "arch/x86/entry/common.o",  # entry code
    "arch/x86/entry/entry_64.o",
    "arch/x86/kernel/alternative.o",
    "arch/x86/kernel/nmi.o",  # .noinstr.text
    "arch/x86/kernel/paravirt.o",
    "arch/x86/lib/copy_user_64.o",  # alternatives that jump
    "arch/x86/lib/retpoline.o",  # the thunks themselves
    "kernel/locking/qspinlock.o",  # paravirt calls that are alternatives, too
    "kernel/sched/core.o",  # static calls, their trampolines, .sched.text
    "mm/memory.o",  # static_cpu_has()
    "net/unix/af_unix.o",
]
MACHINES = [
    "qemu64:1",  # no lock prefixes
    "max:2:mitigations=off",
    "max:2:spectre_v2=retpoline,lfence",
    "max:2:indirect_target_selection=force preempt=full",
    "EPYC-Rome:2:retbleed=unret",  # a return thunk that untrains
]


@pytest.fixture(scope="module")
def tree(controller: Runner) -> KernelTree:
    made = controller.module("localhost", "kernel_tree", release="6.1.0-50-cloud-amd64")
    assert not made["failed"], made
    return read_tree(made["path"])


@pytest.fixture(scope="module")
def check(tree: KernelTree, tmp_path_factory: pytest.TempPathFactory) -> Check:
    work = tmp_path_factory.mktemp("match")
    units = chosen_units(tree, UNITS)
    assert sorted(unit.name for unit in units) == sorted(UNITS)
    built = Built(tree, work, jobs=2)
    built.compile(units)
    return Check(built, flips=5)


def test_units_match_the_distributions_image(check: Check, tree: KernelTree) -> None:
    for unit in chosen_units(tree, UNITS):
        check.unit(unit, {"image": VmlinuxImage(tree.vmlinuz)})
    assert check.failures == []


@pytest.mark.parametrize("machine", MACHINES)
def test_units_match_a_booted_kernel(check: Check, tree: KernelTree, tmp_path: pathlib.Path, machine: str) -> None:
    memory = boot(tree.vmlinuz, tmp_path, Machine.parse(machine))
    check.failures.clear()
    for unit in chosen_units(tree, UNITS):
        check.unit(unit, {machine: memory})
    assert check.failures == []
