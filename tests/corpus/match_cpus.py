#!/usr/bin/env python
# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does the code match that a kernel makes of itself on machines which no emulator has, and is every other refused?

    match_cpus.py --release 6.1.0-50-cloud-amd64 [--release 6.12.107+deb12-cloud-amd64 ...]
                  [--units 40] [--random 4] [--seed 1] [--flips 1] [--cpu NAME ...] [--work DIRECTORY]

The kernel is booted, stopped before it rewrites itself, and told what processor and hypervisor it is on: each of those
in ``cpus.py`` (or those that ``--cpu`` names), and ``--random`` machines whose features are drawn by lot from the seed
that is printed.  What it makes of itself then is matched with the units in which every mechanism occurs and ``--units``
others that are drawn from the seed, too.

Every match is repeated with seeded faults, which all have to be refused: bytes flipped outside and inside of the places
that the kernel writes, in the thunks that it has allocated, and another return thunk.  Call depth tracking, with which
no code matches, is booted for real; the preflight has to refuse what that machine's sysfs says.

Ends with the figures, and status 1 if a unit did not match, a fault was accepted, a machine was not what it ought to
be, or nothing was matched.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import os
import pathlib
import random
import sys
import tempfile
import time
import typing as t
from unittest import mock

from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import Unit
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import Program
from ansible_collections.rebootless.splice.plugins.module_utils._target import preflight
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts as target_facts
from ansible_collections.rebootless.splice.tests.corpus.booted import KernelMemory, Machine, boot
from ansible_collections.rebootless.splice.tests.corpus.cpus import BY_NAME, CPUS, Cpu, random_cpu
from ansible_collections.rebootless.splice.tests.corpus.kernel_facts import WITH_LAYOUTS, KernelFacts
from ansible_collections.rebootless.splice.tests.corpus.match_check import (
    CACHE,
    Built,
    Check,
    built_in_units,
    chosen_units,
    find_tree,
)
from ansible_collections.rebootless.splice.tests.corpus.stopped import rewritten

EVERY_MECHANISM = [
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
STUFFING = Machine("Skylake-Client", 2, "spectre_v2=retpoline retbleed=stuff")


class BuiltOnce(Built):
    """Keeps the match programs, which every machine needs."""

    def __init__(self, tree: KernelTree, work: pathlib.Path, jobs: int) -> None:
        super().__init__(tree, work, jobs)
        self._programs: dict[tuple[str, str], Program] = {}

    def program(self, unit: Unit, object_name: str) -> Program:
        key = (unit.name, object_name)
        if key not in self._programs:
            self._programs[key] = super().program(unit, object_name)
        return self._programs[key]


class Cpus:
    """Matches the units of a tree on one machine after the other; ``failures`` says what went wrong."""

    def __init__(self, built: Built, units: t.Sequence[Unit], flips: int, seed: str) -> None:
        self.built, self.units, self.flips = built, units, flips
        self.facts = KernelFacts(built.tree, built.object(built.tree.units.units[WITH_LAYOUTS]))
        self.check = Check(built, flips, seed)
        self.failures: list[str] = []
        self._texts: dict[str, str] = {}

    def machine(self, cpu: Cpu, directory: pathlib.Path) -> None:
        """Makes the machine and matches all units on it, and its faults."""
        started, before = time.monotonic(), collections.Counter(self.check.counts)
        try:
            memory = rewritten(self.facts, directory, cpu)
        except (RuntimeError, LookupError, OSError) as error:
            self._fail(f"{cpu.name}: {error}")
            return
        self._is_another(cpu, memory)
        for unit in self.units:
            self.check.unit(unit, {cpu.name: memory})
        counts = self.check.counts - before
        for kind in unchecked(cpu, bool(memory.pages), counts, self.flips):
            self._fail(f"{cpu.name}: nothing was checked ({kind}: none)")
        seeded, refused = (_sum(counts, kind) for kind in ("faults: ", "refused: "))
        print(
            f"{cpu.name}: {counts['built-in units matched']} of {len(self.units)} units, {refused} of {seeded} faults,"
            f" {len(memory.pages)} pages of thunks, {time.monotonic() - started:.0f} s",
            flush=True,
        )

    def _is_another(self, cpu: Cpu, memory: KernelMemory) -> None:
        """What the kernel was told has to have had an effect: no two machines have the same code."""
        start, end = self.facts.address("_text"), self.facts.address("_etext")
        digest = hashlib.sha256(memory.read(start, end - start) or b"").hexdigest()
        if digest in self._texts:
            self._fail(f"{cpu.name}: its code is that of {self._texts[digest]}")
        self._texts[digest] = cpu.name

    def call_depth(self, directory: pathlib.Path) -> None:
        """With call depth tracking code does not match, and the preflight says so before anything is tried."""
        if "CALL_DEPTH" not in self.facts.features.numbers:
            print(f"{self.facts.series} has no call depth tracking", flush=True)
            return
        memory = boot(self.built.tree.vmlinuz, directory, STUFFING)
        code = refusal(memory.vulnerabilities)
        if code != "call_depth_tracking":
            self._fail(f"{STUFFING}: the preflight says {code or 'nothing'} of {memory.vulnerabilities}")
        alone = Check(self.built)
        results = [alone.matcher.match(self.built.program(unit, "vmlinux").blob, memory) for unit in self.units]
        unlike = sum(not result.ok for result in results)
        if not unlike:
            self._fail(f"{STUFFING}: all units match, so that the preflight refuses it for nothing")
        print(f"{STUFFING}: preflight refuses ({code}); {unlike} of {len(results)} units would not match", flush=True)

    def _fail(self, what: str) -> None:
        self.failures.append(what)
        print(what, flush=True)


def unchecked(cpu: Cpu, thunks: bool, counts: t.Mapping[str, int], flips: int) -> list[str]:
    """What ought to have been counted on a machine, which has allocated ``thunks`` or has not, and was not."""
    needed = ["built-in units matched"]
    if flips:
        needed += ["faults: byte flipped", "faults: place flipped"]
        needed += ["faults: return thunk"] if cpu.return_thunk and "RETHUNK" in cpu.features else []
        needed += ["faults: thunk flipped"] if thunks else []
    return [kind for kind in needed if not counts.get(kind)]


def refusal(vulnerabilities: t.Mapping[str, str]) -> str:
    """The code with which the preflight refuses a host whose sysfs says this; "" if it does not."""
    with tempfile.TemporaryDirectory() as directory:
        for name, words in vulnerabilities.items():
            pathlib.Path(directory, name).write_text(f"{words}\n", encoding="utf-8")
        with mock.patch.object(target_facts, "VULNERABILITIES", directory):
            try:
                preflight.switchable(mock.sentinel.package)
            except RebootlessError as error:
                return error.code
    return ""


def _sum(counts: t.Mapping[str, int], kind: str) -> int:
    return sum(count for name, count in counts.items() if name.startswith(kind))


def of_release(release: str, arguments: argparse.Namespace) -> Cpus:
    """Everything for one kernel."""
    tree = find_tree(release, CACHE)
    chosen = chosen_units(tree, EVERY_MECHANISM)
    others = [unit for unit in built_in_units(tree) if unit.name not in EVERY_MECHANISM]
    choose = random.Random(arguments.seed)
    units = chosen + choose.sample(others, min(arguments.units, len(others)))
    built = BuiltOnce(tree, arguments.work, arguments.jobs)
    built.compile(units)
    cpus = Cpus(built, units, arguments.flips, arguments.seed)
    numbers = range(1, arguments.random + 1)
    machines = [BY_NAME[name] for name in arguments.cpu] or list(CPUS)
    machines += [random_cpu(f"{arguments.seed}.{number}", cpus.facts.features) for number in numbers]
    print(f"{release}: {len(units)} units on {len(machines)} machines, seed {arguments.seed}", flush=True)
    for cpu in machines:
        cpus.machine(cpu, built.work / "machine")
    if not arguments.cpu:
        cpus.call_depth(built.work / "machine")
    return cpus


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="append", required=True)
    parser.add_argument("--units", type=int, default=40)
    parser.add_argument("--random", type=int, default=4)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1, 1 << 32)))
    parser.add_argument("--flips", type=int, default=1)
    parser.add_argument("--cpu", action="append", choices=sorted(BY_NAME), default=[])
    parser.add_argument("--work", type=pathlib.Path, default=CACHE / "match-check")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    started, failed = time.monotonic(), False
    for release in arguments.release:
        cpus = of_release(release, arguments)
        failed |= bool(cpus.failures or cpus.check.failures or not cpus.check.counts["built-in units matched"])
        for name, count in sorted(cpus.check.counts.items()):
            print(f"{count:>14,}  {name}")
        print(*(f"{release}: {figure}" for figure in cpus.check.figures()), sep="\n", flush=True)
    print(f"{time.monotonic() - started:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
