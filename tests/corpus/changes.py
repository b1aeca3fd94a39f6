#!/usr/bin/env python
# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest of what changed between two versions of a kernel's source, file by file: ``make changes``.

For kernels and changes that no corpus has.

    changes.py --release 6.12.107+deb12-cloud-amd64 --package linux-source-6.12 --to '6.12.117-1~deb12u1' [--size 60]
        [--seed 1] [--headers] MANIFEST

Each entry is the whole change of one file that the kernel builds, chosen at random.  Many need another file's change,
and do not compile alone; of the others each is to be made live, or to have a finding that is right.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import pathlib
import random
import sys

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import corpus
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.tests.corpus.match_check import CACHE, find_tree

DIRECTORIES = (
    *("arch/x86", "block", "certs", "crypto", "drivers", "fs", "include", "init", "io_uring", "ipc", "kernel", "lib"),
    *("mm", "net", "security", "sound", "virt"),
)


def changed(tree: KernelTree, before: pathlib.Path, after: pathlib.Path, headers: bool) -> list[str]:
    """The sources that the kernel builds and that differ, or the headers that differ."""
    files = (path for directory in DIRECTORIES for path in sorted((before / directory).rglob("*.[chS]")))
    names = (path.relative_to(before).as_posix() for path in files if path.is_file() and not path.is_symlink())
    wanted = (name for name in names if (name.endswith(".h") if headers else tree.units.unit_of(name) is not None))
    return [
        name
        for name in wanted
        if (after / name).is_file() and not filecmp.cmp(before / name, after / name, shallow=False)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=pathlib.Path)
    parser.add_argument("--release", required=True)
    parser.add_argument("--package", required=True)
    parser.add_argument("--to", required=True)
    parser.add_argument("--size", type=int, default=60)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--headers", action="store_true")
    arguments = parser.parse_args()
    tree = find_tree(arguments.release, CACHE)
    after = corpus.unpacked(Cache(CACHE), arguments.package, arguments.to, DIRECTORIES)
    before = pathlib.Path(tree.source)
    names = changed(tree, before, after, arguments.headers)
    chosen = random.Random(arguments.seed).sample(names, min(arguments.size, len(names)))
    entries = [
        {
            "cve": [f"CHANGE-{arguments.seed}-{number:03}"],
            "subject": name,
            "hunks": {name: list(range(1, corpus.hunks_of(before, after, name) + 1))},
        }
        for number, name in enumerate(chosen, 1)
    ]
    versions = {"from": tree.version, "to": arguments.to, "kernel": tree.release}
    content = {"source": {"source_package": arguments.package, **versions}, "random": True, "entries": entries}
    arguments.manifest.parent.mkdir(parents=True, exist_ok=True)
    arguments.manifest.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{arguments.manifest}: {len(entries)} of {len(names)} files that changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
