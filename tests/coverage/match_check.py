#!/usr/bin/env python
# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does the running code of a whole kernel match what we compile?  Unit by unit, and every flipped bit must be refused.

    match_check.py TREE --work DIRECTORY [--flips 20] [--boot PROCESSOR[:COUNT[:PARAMETERS]] ...] [PATTERN ...]

TREE is a kernel tree (the module ``kernel_tree`` returns its path); its build directory is copied to DIRECTORY, which
keeps the objects for the next run.  PATTERNs choose units by name (``net/core/*``; default: all that are built in).

Without ``--boot`` the units are matched against the distribution's kernel image, else against the memory of the same
kernel booted in QEMU, once for each ``--boot``: ``--boot max:2 --boot qemu64:1 --boot EPYC-Rome:2:retbleed=unret``.

Ends with a table, and status 1 if a unit did not match or a flip was accepted.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import fnmatch
import pathlib
import random
import shutil
import sys
import time

from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel_tree import KernelTree, read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.matcher_library import build_library
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.program import ProgramBuilder
from ansible_collections.rebootless.splice.plugins.module_utils._build.units import Unit
from ansible_collections.rebootless.splice.plugins.module_utils._build.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.matcher import Matcher
from ansible_collections.rebootless.splice.plugins.module_utils._common.program import Program
from ansible_collections.rebootless.splice.tests.coverage.booted import KernelMemory, Machine, boot

KMOD = pathlib.Path(__file__).resolve().parents[2] / "kmod"
CHUNK = 40  # units given to make at a time


@dataclasses.dataclass
class Flipped:
    """A target in which the bits ``mask`` of the byte at ``address`` are other ones."""

    target: VmlinuxImage | KernelMemory
    address: int
    mask: int

    def prefetch(self, names: set[tuple[str, str]]) -> None:
        self.target.prefetch(names)

    def lookup(self, name: str, object_name: str) -> list[int]:
        return self.target.lookup(name, object_name)

    def read(self, address: int, length: int) -> bytes | None:
        data = self.target.read(address, length)
        if data is None or not address <= self.address < address + length:
            return data
        changed = bytearray(data)
        changed[self.address - address] ^= self.mask
        return bytes(changed)


class Check:
    """Matches units one after the other; ``counts`` and ``failures`` say how it went."""

    def __init__(self, tree: KernelTree, work: pathlib.Path, flips: int = 0) -> None:
        self.tree, self.work, self.flips = tree, work, flips
        self.matcher = Matcher(str(build_library(work / "libmatch.so", KMOD)))
        self.counts: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self._random = random.Random(tree.build_id)

    def unit(self, unit: Unit, targets: dict[str, VmlinuxImage | KernelMemory]) -> None:
        """Builds the program of one unit and matches it against every target."""
        self.counts["units"] += 1
        try:
            builder = ProgramBuilder(self.tree.release)
            builder.add_unit("vmlinux", unit.name, ObjectFile(self.work / "build" / unit.name))
            program = Program(builder.serialize())
        except RebootlessError as error:
            self._fail(unit, "", f"{error.code}: {error}")
            return
        self.counts["bytes of programs"] += len(program.blob)
        for name, target in targets.items():
            started = time.monotonic()
            result = self.matcher.match(program.blob, target)
            self.counts["microseconds of matching"] += int(1e6 * (time.monotonic() - started))
            if not result.ok:
                self._fail(unit, name, f"{result.code}: {result.details(program)}")
                continue
            self.counts[f"match: {name}"] += 1
            self.counts["bytes compared"] += sum(section.size for section in program.sections if section.compared)
            self._flip(unit, name, target, program, result.bases)

    def _flip(
        self, unit: Unit, name: str, target: VmlinuxImage | KernelMemory, program: Program, bases: dict[int, int]
    ) -> None:
        found = [(base, program.sections[index]) for index, base in bases.items() if program.sections[index].compared]
        weights = [section.size for base, section in found]
        for base, section in self._random.choices(found, weights, k=self.flips) if found else ():
            offset, mask = self._random.randrange(section.size), 1 << self._random.randrange(8)
            self.counts["flipped bits"] += 1
            if self.matcher.match(program.blob, Flipped(target, base + offset, mask)).ok:
                self._fail(unit, name, f"bit {mask:#x} of {section.name}+{offset:#x} is flipped, and it matches")

    def _fail(self, unit: Unit, target: str, why: str) -> None:
        self.failures.append(f"{unit.name}: {target}: {why}")
        print(self.failures[-1], flush=True)


def chosen_units(tree: KernelTree, patterns: list[str]) -> list[Unit]:
    """The built-in units that the patterns name."""
    built_in = [unit for name, unit in sorted(tree.units.units.items()) if "vmlinux" in unit.objects]
    return [u for u in built_in if not patterns or any(fnmatch.fnmatch(u.name, pattern) for pattern in patterns)]


def compile_units(tree: KernelTree, work: pathlib.Path, units: list[Unit], jobs: int) -> None:
    """Compiles the units that have no object yet, in the copy of the tree's build directory."""
    if not (work / "build").exists():
        shutil.copytree(tree.build, work / "build", symlinks=True)
    kbuild = dataclasses.replace(tree.kbuild(jobs, work / "make.log"), build=work / "build")
    missing = [unit.target for unit in units if not (work / "build" / unit.name).exists()]
    for start in range(0, len(missing), CHUNK):
        print(f"compiling {start} of {len(missing)}", file=sys.stderr, flush=True)
        with contextlib.suppress(RebootlessError):
            kbuild.make_units(missing[start : start + CHUNK])
    one_by_one = dataclasses.replace(kbuild, jobs=1)
    for unit in units:
        if not (work / "build" / unit.name).exists():
            with contextlib.suppress(RebootlessError):  # check.unit() will miss its object
                one_by_one.make_units([unit.target])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=pathlib.Path)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--flips", type=int, default=0)
    parser.add_argument("--boot", action="append", type=Machine.parse, default=[])
    arguments = parser.parse_intermixed_args()
    tree = read_tree(arguments.tree)
    units = chosen_units(tree, arguments.patterns)
    arguments.work.mkdir(parents=True, exist_ok=True)
    compile_units(tree, arguments.work, units, arguments.jobs)
    targets: dict[str, VmlinuxImage | KernelMemory] = {
        str(machine): boot(tree.vmlinuz, arguments.work, machine) for machine in arguments.boot
    } or {"image": VmlinuxImage(tree.vmlinuz)}
    check = Check(tree, arguments.work, arguments.flips)
    for unit in units:
        check.unit(unit, targets)
    for name, count in check.counts.items():
        print(f"{count:>14,}  {name}")
    print(f"{len(check.failures):>14,}  failures")
    return 1 if check.failures or not units else 0


if __name__ == "__main__":
    sys.exit(main())
