#!/usr/bin/env python
# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does the code of a kernel match what we compile, and is every other code refused?

    match_check.py --release 6.1.0-50-cloud-amd64 [--next 6.1.0-53-cloud-amd64] [--corpus] [--random 200 --seed 1]
                   [--flips 20] [--boot PROCESSOR[:COUNT[:PARAMETERS]] ...] [--work DIRECTORY] [PATTERN ...]

Units are chosen by name (``net/core/*``), by the manifests of fixes in ``manifests/`` (``--corpus``), and at
random from those that are built in; without any of that they are all that are built in.  They are compiled in
a copy of the tree's build directory, which is kept in DIRECTORY for the next run.

They are matched against the distribution's kernel and modules, or, with ``--boot``, against the memory of the same
kernel booted in QEMU, once for each: ``--boot max:2 --boot qemu64:1 --boot EPYC-Rome:2:retbleed=unret``.

Then against faults, which all have to be refused: one byte flipped outside of the places that may vary, ``--flips``
times for each unit; in a booted kernel, the first byte of such a place changed to what no content begins with, and the
return thunk; and, of those not chosen at random, the same unit of the release ``--next`` in its place, if that is
another one.

Ends with both figures, and status 1 if a unit did not match or a fault was accepted.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import fnmatch
import functools
import json
import os
import pathlib
import random
import shutil
import sys
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.paths import is_boot_only
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.matcher_library import build_library
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import definer, read_symvers
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.shipped import DistributionTarget
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree, read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX, Unit
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.program_builder import ProgramBuilder
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import SYMBOL_LOCAL, Program
from ansible_collections.rebootless.splice.plugins.module_utils._common.matcher import Matcher, Target
from ansible_collections.rebootless.splice.tests.corpus import faults
from ansible_collections.rebootless.splice.tests.corpus.booted import KernelMemory, Machine, boot
from ansible_collections.rebootless.splice.tests.corpus.faults import Matched
from ansible_collections.rebootless.splice.tests.support.places import CACHE

HERE = pathlib.Path(__file__).resolve().parent
KMOD = HERE.parents[1] / "kmod"
KEPT = "objects-2"  # of the tree, see Compiler
CHUNK = 40  # units given to make at a time


class Built:
    """The objects of a tree's units: those that the tree keeps, or others in a copy of its build directory."""

    def __init__(self, tree: KernelTree, work: pathlib.Path, jobs: int) -> None:
        self.tree, self.work, self.jobs = tree, work / tree.release, jobs
        self.build = self.work / "build"
        self.exports = read_symvers(pathlib.Path(tree.headers, "Module.symvers"))
        if not self.build.exists():
            self.work.mkdir(parents=True, exist_ok=True)
            shutil.copytree(tree.build, self.build, symlinks=True)

    def compile(self, units: list[Unit]) -> None:
        """Compiles the units that have no object yet; ``program`` will miss those that cannot be."""
        kbuild = dataclasses.replace(self.tree.kbuild(self.jobs, self.work / "make.log"), build=self.build)
        missing = [unit.target for unit in units if not self.object(unit).exists()]
        for start in range(0, len(missing), CHUNK):
            print(f"{self.tree.release}: compiling {start} of {len(missing)}", file=sys.stderr, flush=True)
            with contextlib.suppress(RebootlessError):
                kbuild.make_units(missing[start : start + CHUNK])
        one_by_one = dataclasses.replace(kbuild, jobs=1)
        for unit in units:
            if not self.object(unit).exists():
                with contextlib.suppress(RebootlessError):
                    one_by_one.make_units([unit.target])

    def object(self, unit: Unit) -> pathlib.Path:
        """The unit's exact object: the tree's own if an update has been built of it."""
        kept = pathlib.Path(self.tree.path, KEPT, unit.name, "exact.o")
        return kept if kept.exists() else self.build / unit.name

    def program(self, unit: Unit, object_name: str) -> Program:
        """The match program of one unit.  Raises ``RebootlessError``."""
        builder = ProgramBuilder(self.tree.kernel, functools.partial(definer, self.exports))
        builder.add_unit(object_name, unit.name, ObjectFile(self.object(unit)))
        return Program(builder.serialize())


class Check:
    """Matches units one after the other; ``counts`` and ``failures`` say how it went."""

    def __init__(
        self,
        built: Built,
        flips: int = 0,
        seed: str = "",
        after: Built | None = None,
        exchanged: t.Collection[str] = (),
    ) -> None:
        self.built, self.flips, self.after = built, flips, after
        self.matcher = Matcher(str(build_library(built.work / "libmatch.so", KMOD, built.tree.architecture)))
        self.counts: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.exchanged = exchanged
        self.random = random.Random(f"{built.tree.build_id} {seed}")

    def unit(self, unit: Unit, targets: t.Mapping[str, Target]) -> None:
        """Matches one unit, in the first object that it is linked into, against every target, then its faults."""
        object_name = VMLINUX if VMLINUX in unit.objects else unit.objects[0]
        kind = "built-in units" if object_name == VMLINUX else "units of modules"
        try:
            program = self.built.program(unit, object_name)
        except RebootlessError as error:
            self._fail(unit, "", f"{error.code}: {error}")
            self.counts[f"{kind} tried"] += len(targets)
            return
        self.counts["bytes of programs"] += len(program.blob)
        other = self._other(unit, object_name, program)
        for name, target in targets.items():
            self.counts[f"{kind} tried"] += 1
            started = time.monotonic()
            result = self.matcher.match(program.blob, target)
            self.counts["microseconds of matching"] += int(1e6 * (time.monotonic() - started))
            if not result.ok:
                self._fail(unit, name, f"{result.code}: {result.details(program)}")
                continue
            self.counts[f"{kind} matched"] += 1
            self.counts["bytes compared"] += sum(section.size for section in program.sections if section.compared)
            self._flip(unit, name, Matched(program, target, result.bases))
            if other is not None:
                self._refused(unit, name, f"the unit of {self.after and self.after.tree.release}", other, target)

    def figures(self) -> tuple[str, str]:
        """How much matched, and how many faults were refused."""
        tried, matched = self._sum(" tried"), self._sum(" matched")
        seeded, refused = self._sum("faults: "), self._sum("refused: ")
        return f"matched {_share(matched, tried)}", f"faults refused {_share(refused, seeded)}"

    def _sum(self, part: str) -> int:
        return sum(count for name, count in self.counts.items() if part in name)

    def _other(self, unit: Unit, object_name: str, program: Program) -> Program | None:
        """The program of the same unit of the release after this one, if it is another one."""
        if self.after is None or unit.name not in self.exchanged or unit.name not in self.after.tree.units.units:
            return None
        try:
            other = self.after.program(unit, object_name)
        except RebootlessError as error:
            self._fail(unit, self.after.tree.release, f"{error.code}: {error}")
            return None
        if meaning(other) == meaning(program):
            self.counts["units that are the same in the next release"] += 1
            return None
        return other

    def _flip(self, unit: Unit, name: str, matched: Matched) -> None:
        """Seeds faults; those in a place only if the target is a kernel that has written there."""
        found = [("byte flipped", faults.outside_places(matched, self.random, self.flips))]
        if isinstance(matched.target, KernelMemory):
            found += [
                ("place flipped", faults.in_places(matched, self.random, self.flips)),
                ("return thunk", faults.of_return_thunk(matched) if self.flips else iter(())),
                ("thunk flipped", self._in_thunks(matched, matched.target)),
            ]
        for kind, seeded in found:
            for what, target in seeded:
                self._refused(unit, name, what, matched.program, target, kind)

    def _in_thunks(self, matched: Matched, memory: KernelMemory) -> t.Iterator[faults.Fault]:
        if memory.pages:
            yield from faults.in_thunks(matched, self.matcher, min(memory.pages), self.random, self.flips)

    def _refused(
        self, unit: Unit, name: str, what: str, program: Program, target: Target, kind: str = "unit of the next release"
    ) -> None:
        self.counts[f"faults: {kind}"] += 1
        if self.matcher.match(program.blob, target).ok:
            self._fail(unit, name, f"{what} matches")
        else:
            self.counts[f"refused: {kind}"] += 1

    def _fail(self, unit: Unit, target: str, why: str) -> None:
        self.failures.append(f"{unit.name}: {target}: {why}")
        print(self.failures[-1], flush=True)


def meaning(program: Program) -> tuple:
    """What a match compares: all of a program but the names of what is local, in which the compiler counts."""
    symbols = [s._replace(name="") if s.kind == SYMBOL_LOCAL else s for s in program.symbols]
    return program.sections, symbols, program.places, program.contents, program.relocs, program.pool


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}, {100 * part / whole:.2f} %" if whole else "0 of 0"


def chosen_units(tree: KernelTree, patterns: list[str]) -> list[Unit]:
    """The built-in units that the patterns name."""
    return [u for u in built_in_units(tree) if any(fnmatch.fnmatch(u.name, pattern) for pattern in patterns)]


def built_in_units(tree: KernelTree) -> list[Unit]:
    """The units that the kernel's image is linked from; those of the boot loader's stage are none."""
    units = [unit for name, unit in sorted(tree.units.units.items()) if VMLINUX in unit.objects]
    return [unit for unit in units if not is_boot_only(unit.name, tree.architecture)]


def corpus_units(tree: KernelTree) -> list[Unit]:
    """The units of the sources that the manifests' fixes touch, built in or not."""
    found: dict[str, Unit] = {}
    for path in sorted((HERE / "manifests").glob("*.json")):
        for entry in json.loads(path.read_text(encoding="utf-8"))["entries"]:
            for source in entry["hunks"]:
                unit = tree.units.unit_of(source)
                found.update((u.name, u) for u in ([unit] if unit else []) + tree.units.units_including(source))
    return [found[name] for name in sorted(found)]


def find_tree(release: str, cache: pathlib.Path) -> KernelTree:
    """The tree of that release; it is made if it is not there."""
    from ansible_collections.rebootless.splice.tests.support import own_kernels
    from ansible_collections.rebootless.splice.tests.support.runner import Runner

    made = Runner().module("localhost", "kernel_tree", cache=str(cache), **own_kernels.tree_options(release))
    if made["failed"]:
        sys.exit(f"{release}: {made['msg']}")
    return read_tree(made["path"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN")
    parser.add_argument("--release", required=True)
    parser.add_argument("--next", default="")
    parser.add_argument("--corpus", action="store_true")
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--work", type=pathlib.Path, default=CACHE / "match-check")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--flips", type=int, default=0)
    parser.add_argument("--boot", action="append", type=Machine.parse, default=[])
    arguments = parser.parse_intermixed_args()
    tree = find_tree(arguments.release, CACHE)
    units = {unit.name: unit for unit in chosen_units(tree, arguments.patterns)}
    if arguments.corpus:
        units.update((unit.name, unit) for unit in corpus_units(tree))
    exchanged = list(units.values())
    others = [unit for unit in built_in_units(tree) if unit.name not in units]
    count = arguments.random if arguments.random or units else len(others)
    chosen = random.Random(arguments.seed).sample(others, min(count, len(others)))
    units.update((unit.name, unit) for unit in chosen)

    built = Built(tree, arguments.work, arguments.jobs)
    built.compile(list(units.values()))
    after = Built(find_tree(arguments.next, CACHE), arguments.work, arguments.jobs) if arguments.next else None
    if after is not None:
        there = after.tree.units.units
        after.compile([there[unit.name] for unit in exchanged if unit.name in there])
    targets: dict[str, Target] = {
        str(machine): boot(tree.vmlinuz, built.work, machine) for machine in arguments.boot
    } or {"image": DistributionTarget(tree)}
    check = Check(built, arguments.flips, arguments.seed, after, [unit.name for unit in exchanged])
    for unit in units.values():
        if not arguments.boot or VMLINUX in unit.objects:
            check.unit(unit, targets)
    for name, count in sorted(check.counts.items()):
        print(f"{count:>14,}  {name}")
    print(*check.figures(), sep="\n")
    return 1 if check.failures or not units else 0


if __name__ == "__main__":
    sys.exit(main())
