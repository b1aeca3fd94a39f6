#!/usr/bin/env python
# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is it said of misleading patches what is to be said of them?  ``make refusals``.

    run.py --release 6.1.0-50-cloud-amd64 [--only NAME,…] [--jobs N] [--work DIRECTORY]

Each patch of ``refusals/patches`` was written to be built without a word though it does harm, or to be refused though
it is right; its first lines say which.  It is built, or judged as in check mode, and the answer compared with what
``refusals/expected.toml`` wants.  Nothing is applied anywhere.

Ends with the figures, those that are not as expected by name, and status 1 if there is any.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import functools
import os
import pathlib
import sys
import time
import traceback
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build import update as updates
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.compiler import Compiler
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import read_patch
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree, read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.corpus.building import KMOD
from ansible_collections.rebootless.splice.tests.corpus.match_check import CACHE, find_tree
from ansible_collections.rebootless.splice.tests.corpus.refusals.table import BUILT, Case, read_table, said
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION


def answer(tree_path: str, cache: pathlib.Path, jobs: int, case: Case) -> dict[str, t.Any]:
    """What the product says of the patch: ``facts`` and whether it is ``live``, or ``error``; and ``seconds``."""
    os.nice(5)
    start = time.monotonic()
    result: dict[str, t.Any] = {}
    try:
        builder = updates.Builder(read_tree(tree_path), KMOD, Cache(cache), jobs, Phases())
        update = updates.UpdateSource(case.name.replace("_", "-").lower(), "1", (), (read_patch(case.patch),))
        if case.how == BUILT:
            build = builder.build(update)
            result = {"facts": build.facts, "live": build.package is not None}
        else:
            build = builder.foresee(update)
            result = {"facts": build.facts, "live": build.applicable}
    except RebootlessError as error:
        result["error"] = {"code": error.code, "sentence": error.sentence, "details": error.details}
    except Exception as error:
        sentence = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        result["error"] = {"code": "build_crashed", "sentence": sentence, "details": {}}
    return {**result, "seconds": time.monotonic() - start}


def sentences(result: dict[str, t.Any]) -> list[str]:
    """What was said, in words."""
    if "error" in result:
        return [result["error"]["sentence"]]
    facts = result["facts"]
    rows = [row["sentence"] for row in facts["remarks"]] + [row["reason"] for row in facts["not_applicable"]]
    return rows or ["Nothing."]


def compile_all(tree: KernelTree, jobs: int, cases: t.Iterable[Case]) -> None:
    """Compiles the units of all that is to be built at once: make takes long."""
    with contextlib.suppress(RebootlessError):  # the case's own build says it again
        sources = {file.path for case in cases if case.how == BUILT for file in read_patch(case.patch).files}
        Compiler(tree, jobs).pre(tree.units.units_of(sources))


def chosen(cases: list[Case], only: str) -> list[Case]:
    """The cases that ``only`` names, separated by commas or blanks; all if it names none."""
    names = only.replace(",", " ").split()
    if unknown := set(names) - {case.name for case in cases}:
        raise ValueError(f"There is no patch {', '.join(sorted(unknown))}")
    return [case for case in cases if not names or case.name in names]


def run(tree: KernelTree, cases: list[Case], work: pathlib.Path, jobs: int) -> list[Case]:
    """Prints a row for each case; returns those that are not as expected."""
    compile_all(tree, jobs, cases)
    one = functools.partial(answer, str(tree.path), work, os.cpu_count() or 1)
    width = max(len(case.name) for case in cases)
    wrong = []
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        for case, result in zip(cases, pool.map(one, cases), strict=True):
            words = said(result)
            holds = case.holds(words)
            row = f"{case.name:{width}}  {'as expected' if holds else 'NOT':11}  {result['seconds']:4.0f} s"
            print(f"{row}  {' '.join(sorted(words)) or 'nothing'}", flush=True)
            if not holds:
                wrong.append(case)
                print(f"    expected: {case.spelt}", *(f"    said: {text}" for text in sentences(result)), sep="\n")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=pathlib.Path, default=COLLECTION / "build/refusals")
    arguments = parser.parse_args()
    try:
        cases = chosen(read_table(), arguments.only)
    except ValueError as error:
        parser.error(str(error))
    wrong = run(find_tree(arguments.release, CACHE), cases, arguments.work.resolve(), arguments.jobs)
    print(f"as expected {len(cases) - len(wrong)}, not {len(wrong)} of {len(cases)}")
    if wrong:
        print("not as expected: " + " ".join(case.name for case in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
