#!/usr/bin/env python
# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest of random edits of random functions of a kernel: ``make changes MUTATE=300``.

    draw.py [--release 6.1.0-50-cloud-amd64] [--size 300] [--seed 7] [--edits 1] [--kind KIND ...] MANIFEST

Each entry edits one source that the kernel builds, into vmlinux or into a module that a machine without hardware can
load, so that it goes on doing what it did (``kinds.py``).  The patches are kept beside the manifest.  An entry depends
on the kernel, the seed, its number and this code alone.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import pathlib
import random
import re
import shutil
import sys
import tempfile
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.paths import is_boot_only
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import corpus
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import VMLINUX, Unit
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.tests.corpus.match_check import CACHE, find_tree
from ansible_collections.rebootless.splice.tests.corpus.mutations.draft import Draft, NotHere
from ansible_collections.rebootless.splice.tests.corpus.mutations.kinds import KINDS
from ansible_collections.rebootless.splice.tests.corpus.mutations.source import (
    NOT_TO_EDIT,
    Function,
    Source,
    is_conditional,
)
from ansible_collections.rebootless.splice.tests.corpus.mutations.structure import make
from ansible_collections.rebootless.splice.tests.support import own_kernels

# Modules of these need no hardware to load.
MODULES = re.compile(
    r"(fs|net|crypto|lib|security|block|mm|kernel)/|drivers/(block|md|net/[^/]+\.o|net/(veth|bonding)|char)"
)
NOT_FOR_MODULES = re.compile(r".*(test|selftest|rcutorture|bench|kunit)")
# What the refusals of the product name, code of other environments, and what tests itself while the kernel boots.
LEFT_OUT = re.compile(r"arch/x86/(entry/vdso|realmode|purgatory|um)/|lib/test_|.*(_test|-test|_kunit|selftest)\w*\.o")
SHARE_OF_MODULES = 0.3
BUSY = {"fs", "ipc", "kernel", "lib", "mm", "net"}  # what the load runs is drawn more often
ATTEMPTS = 400  # to find a place for a kind
SMALLEST = 3  # statements of a function


class Drawer:
    """Draws units, functions and edits of one kernel; ``kinds`` are those to take, in turns."""

    def __init__(self, tree: KernelTree, seed: str, kinds: t.Sequence[str]) -> None:
        self._tree, self._seed = tree, seed
        self._kinds = random.Random(seed).sample(list(kinds), len(kinds))
        self._symbols = {name for _letter, name, _address in VmlinuxImage(tree.vmlinuz).symbols}
        self._units: dict[bool, dict[str, list[Unit]]] = {True: {}, False: {}}
        for unit in tree.units.units.values():
            if self._is_wanted(unit):
                top = unit.name.split("/")[0]
                self._units[VMLINUX in unit.objects].setdefault(top, []).append(unit)

    def _is_wanted(self, unit: Unit) -> bool:
        if not pathlib.Path(self._tree.source, self._path(unit)).is_file():
            return False
        if is_boot_only(unit.name, self._tree.architecture) or LEFT_OUT.match(unit.name):
            return False
        return VMLINUX in unit.objects or bool(MODULES.match(unit.name) and not NOT_FOR_MODULES.match(unit.name))

    @staticmethod
    def _path(unit: Unit) -> str:
        return f"{unit.name.removesuffix('.o')}.c"

    def draw(self, number: int, edits: int) -> tuple[str, bytes, list[str], list[str]]:
        """The source of one entry, its text as edited, the kinds of the edits and the functions."""
        chance = random.Random(f"{self._seed} {number}")
        kinds = [self._kinds[(number * edits + nth) % len(self._kinds)] for nth in range(edits)]
        while True:
            unit = self._draw_unit(chance)
            path, functions = self._path(unit), []
            text = self._text(path)
            for nth, kind in enumerate(kinds):
                name = f"rbl_{self._seed}_{number}" + (f"_{nth}" if nth else "")
                made = self._edit(unit, text, kind, chance, re.sub(r"\W", "_", name))
                if made is None:
                    break
                text = made[0]
                functions.append(made[1])
            else:
                return path, text, kinds, functions

    def _draw_unit(self, chance: random.Random) -> Unit:
        groups = self._units[not (chance.random() < SHARE_OF_MODULES and self._units[False])]
        names = sorted(groups)
        # Small directories are not to be forgotten for the drivers.
        top = chance.choices(names, [len(groups[name]) ** 0.5 * (1 + (name in BUSY)) for name in names])[0]
        return chance.choice(groups[top])

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def _text(self, path: str) -> bytes:
        return pathlib.Path(self._tree.source, path).read_bytes()

    def _edit(self, unit: Unit, text: bytes, kind: str, chance: random.Random, name: str) -> tuple[bytes, str] | None:
        """The text with an edit of that kind, and the function's name; None if the source has no place for one."""
        functions = list(filter(self._is_editable, Source(text).functions))
        for _attempt in range(ATTEMPTS if functions else 0):
            draft = Draft(self._path(unit), chance.choice(functions), chance, name, set(unit.objects) != {VMLINUX})
            try:
                make(draft, chance.choice(KINDS[kind]))
            except NotHere:
                continue
            return draft.result(), draft.function.name.decode()
        return None

    def _is_editable(self, function: Function) -> bool:
        if function.words & NOT_TO_EDIT or function.node.has_error or len(function.statements) < SMALLEST:
            return False
        return not is_conditional(function.node) or function.name.decode() in self._symbols


def patch_of(path: str, before: bytes, after: bytes) -> bytes:
    """The patch of one file."""
    with tempfile.TemporaryDirectory() as scratch:
        sides = pathlib.Path(scratch, "before"), pathlib.Path(scratch, "after")
        for side, text in zip(sides, (before, after), strict=True):
            (side / path).parent.mkdir(parents=True)
            (side / path).write_bytes(text)
        return corpus.file_patch(*sides, path, range(1, corpus.hunks_of(*sides, path) + 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=pathlib.Path)
    parser.add_argument("--release", default=own_kernels.release())
    parser.add_argument("--package", default="linux-source")
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--edits", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="only these")
    parser.add_argument("--seed", default="")
    arguments = parser.parse_args()
    seed = arguments.seed or str(random.SystemRandom().randrange(100000))
    print(f"SEED={seed}", flush=True)
    tree = find_tree(arguments.release, CACHE)
    drawer = Drawer(tree, seed, arguments.kind or sorted(KINDS))
    patches = arguments.manifest.parent / arguments.manifest.stem
    shutil.rmtree(patches, ignore_errors=True)
    patches.mkdir(parents=True)
    entries = []
    for number in range(1, arguments.size + 1):
        path, text, kinds, functions = drawer.draw(number, arguments.edits)
        name = f"MUT-{seed}-{number:03}".upper()
        patch = patches / f"{name}.patch"
        patch.write_bytes(patch_of(path, pathlib.Path(tree.source, path).read_bytes(), text))
        subject = f"{path}: " + ", ".join(
            f"{kind} in {function}" for kind, function in zip(kinds, functions, strict=True)
        )
        entries.append(
            {
                "cve": [name],
                "subject": subject,
                "patch": str(patch.relative_to(arguments.manifest.parent)),
                "hunks": {path: []},
                "kinds": kinds,
            }
        )
    source = {"source_package": arguments.package, "from": tree.version, "to": f"seed {seed}", "kernel": tree.release}
    content = {"source": source, "random": True, "entries": entries}
    arguments.manifest.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    counts = collections.Counter(kind for entry in entries for kind in t.cast("list[str]", entry["kinds"]))
    print(f"{arguments.manifest}: {len(entries)} entries; " + ", ".join(f"{kind} {n}" for kind, n in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
