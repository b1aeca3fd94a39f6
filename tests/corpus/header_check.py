#!/usr/bin/env python
# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is no unit left out that a change of a header changes?

    header_check.py --release 6.1.0-50-cloud-amd64 [--jobs 2] [--most 40] [KIND ...]

Headers of a stock kernel are edited, each in a way of its own (``EDITS``).  Of the units that include such a header the
text of the sources says which have nothing to do with the edit (``affected/text/screen.py``), and what is kept of the
others says which do not read or use what changes (``affected/text/readings.py``).  All of these are asked all the same:
they are preprocessed with and without the edit and, if something is left that may count, compiled both ways.

Ends with the figures, and status 1 if a unit that was left out differs, or none was left out.
"""

from __future__ import annotations

import argparse
import difflib
import os
import pathlib
import sys
import tempfile
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.narrower import (
    MAY_CHANGE,
    NOT_READ,
    UNUSED,
    Narrower,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.touched import include_graph, touched_by
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import parse_patch
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import Unit
from ansible_collections.rebootless.splice.tests.corpus.match_check import CACHE, find_tree


class Edit(t.NamedTuple):
    """A text that occurs once in the file ``path``, and what it becomes."""

    path: str
    old: str
    new: str


MOUNT = "fs/xfs/xfs_mount.h"
POINTER = "\tstruct xfs_mru_cache\t*m_filestream;"
WRITE = """\
\tvmcs_check32(field);
\tif (static_branch_unlikely(&enable_evmcs))
\t\treturn evmcs_write32(field, value"""
HOOK = "\tint ret = 1;\n\n#ifdef CONFIG_JUMP_LABEL"
EDITS = {
    # Names that thousands of units read, and few use; and a list of names, which goes by none.
    "wide-inline": Edit("include/linux/netfilter.h", HOOK, HOOK.replace("1", "2")),
    "list": Edit("include/linux/lsm_hook_defs.h", "LSM_HOOK(int, 0, quotactl, ", "LSM_HOOK(int, 1, quotactl, "),
    "inline": Edit(MOUNT, "return (xfs_agblock_t) do_div(", "return (xfs_agblock_t) 1 + do_div("),
    "macro": Edit(MOUNT, "#define XFS_MAX_IO_LOG\t\t30", "#define XFS_MAX_IO_LOG\t\t29"),
    "enumerator": Edit(MOUNT, "\tXFS_LOWSP_2_PCNT,", "\tXFS_LOWSP_MORE,\n\tXFS_LOWSP_2_PCNT,"),
    "member": Edit(MOUNT, POINTER, f"\tvoid *m_more;\n{POINTER}"),
    # Names that no source holds: XFS_FEAT_##NAME, RPCDBG_##fac, vmcs_write##bits.
    "pasted-constant": Edit(MOUNT, "XFS_FEAT_IKEEP\t\t(1ULL << 57)", "XFS_FEAT_IKEEP\t\t(1ULL << 47)"),
    "pasted-macro": Edit("include/uapi/linux/sunrpc/debug.h", "RPCDBG_XPRT\t\t0x0001", "RPCDBG_XPRT\t\t0x1001"),
    "pasted-inline": Edit("arch/x86/kvm/vmx/vmx_ops.h", WRITE, f"{WRITE} + 1"),
}


def check(tree: KernelTree, kind: str, jobs: int, most: int) -> tuple[int, list[str]]:
    """How many units an edit of ``EDITS`` leaves out, and those of them that differ; at most ``most`` of each kind are
    asked.  Raises ``RebootlessError``."""
    edit = EDITS[kind]
    before = pathlib.Path(tree.source, edit.path).read_text(encoding="utf-8")
    if before.count(edit.old) != 1:
        sys.exit(f"{edit.path}: {edit.old!r} occurs {before.count(edit.old)} times")
    old, new = (text.splitlines(keepends=True) for text in (before, before.replace(edit.old, edit.new)))
    text = "".join(difflib.unified_diff(old, new, f"a/{edit.path}", f"b/{edit.path}"))
    touched = touched_by(tree, (parse_patch(kind, text.encode()),), jobs)
    with tempfile.TemporaryDirectory(prefix="rebootless-") as work:
        patched = PatchedSource(pathlib.Path(tree.source), pathlib.Path(work), touched.files, touched.directories)
        narrower = Narrower(tree, patched, include_graph(tree, jobs), jobs)
        asked = narrower.concerned(touched.through)
        names = {unit.name for unit in asked}
        by_text = [unit for unit in touched.through if unit.name not in names]
        answers = list(narrower.ask(asked))
        differing = sum(found in MAY_CHANGE for _unit, found in answers)
        by_kept = [unit for unit, found in answers if found in (NOT_READ, UNUSED)]
        left_out = [*_some(by_text, most), *_some(by_kept, most)]
        missed = [unit.name for unit, found in narrower.ask(left_out, compiler_alone=True) if found in MAY_CHANGE]
    print(
        f"{kind}: {len(touched.through)} units include {edit.path}; {len(by_text)} are left out by the text, "
        f"{len(by_kept)} of {len(asked)} by what is kept of them, {differing} differ; of those left out "
        f"{len(left_out)} were asked, and {len(missed)} differ",
        *(f"    {name} was left out" for name in missed),
        sep="\n",
        flush=True,
    )
    return len(left_out), missed


def _some(units: t.Sequence[Unit], most: int) -> list[Unit]:
    """At most ``most`` of the units, from all of their range."""
    return list(units[:: max(1, -(-len(units) // most))])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(EDITS))
    parser.add_argument("--release", required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--most", type=int, default=10_000, help="units that are asked of each kind (all)")
    arguments = parser.parse_args()
    tree = find_tree(arguments.release, CACHE)
    found = [check(tree, kind, arguments.jobs, arguments.most) for kind in arguments.kinds or EDITS]
    left_out, missed = sum(number for number, _names in found), sum(len(names) for _number, names in found)
    print(f"left out {left_out}, wrongly {missed}")
    return 1 if missed or not left_out else 0


if __name__ == "__main__":
    sys.exit(main())
