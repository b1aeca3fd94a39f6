# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run-pre matching in check mode: the proof without the helper module."""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import Program
from ansible_collections.rebootless.splice.plugins.module_utils._common.matcher import Matcher, MatchResult
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import INIT, Package
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.memory_file import memory_file
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.running import RunningKernel

VMLINUX = "vmlinux"
LOOKS, PAUSE_S = 3, 0.2


def prove(package: Package) -> dict:
    """Matches the package against the running kernel, and returns ``match_ns`` and ``matched_bytes``.

    A tracer that comes between the look at what is traced and the look at the code would pass for code that differs, so
    that is looked at again.

    Modules that are not loaded are left out: ``absent`` names them; so is init code, which must not have run.  Nothing
    is loaded into the kernel, nothing is written.  Raises the refusal that the helper module would give, as far as it
    can be known from outside, or ``RebootlessError`` as ``RunningKernel`` and ``Matcher`` do.
    """
    for more in reversed(range(LOOKS)):
        try:
            return _look(package)
        except RebootlessError as error:
            if error.code != "no_match" or not more:
                raise
            time.sleep(PAUSE_S)
    raise AssertionError("the last turn returns or raises")


def _look(package: Package) -> dict:
    duration = compared = 0
    init = [name for name in package.programs if name.endswith(INIT)]
    absent = [name for name in package.programs if name not in init and not is_loaded(name)]
    with memory_file(package.files["libmatch.so"], "libmatch.so") as library, RunningKernel() as kernel:
        matcher = Matcher(library)
        for name, program in package.programs.items():
            if name in absent or name in init:
                continue
            start = time.perf_counter_ns()
            found = matcher.match(program, kernel)
            duration += time.perf_counter_ns() - start
            compared += found.compared
            view = Program(program)
            found.raise_refusal(view)
            _refuse_conflicts(package, view, found)
    _refuse_init_that_has_run(init)
    return {"match_ns": duration, "matched_bytes": compared, "absent": absent}


def is_loaded(object_name: str) -> bool:
    """Whether the kernel has that object: itself, or a loadable module."""
    return object_name == VMLINUX or os.path.exists(f"/sys/module/{object_name}/initstate")


def _refuse_init_that_has_run(parts: t.Iterable[str]) -> None:
    """Refuses if a module is loaded whose init code the update replaces (kmod/objects.c)."""
    for name in (part[: -len(INIT)] for part in parts):
        if is_loaded(name):
            raise RebootlessError(
                "init_has_run",
                "The update replaces init code of a loadable module that is loaded, so that this code has run.",
                "Unload the module, apply the update, and load the module again; or reboot into a fixed kernel.",
                object=name,
            )


def _refuse_conflicts(package: Package, program: Program, found: MatchResult) -> None:
    """Refuses if another update is applied to one of the functions."""
    changed = {row["name"] for row in package.manifest["functions"] if row["change"] == "changed"}
    ours = {
        found.values.get(index): symbol.name for index, symbol in enumerate(program.symbols) if symbol.name in changed
    }
    versions = sysfs.versions(package.name)
    for other in sysfs.names():
        if other == package.name or other in versions or sysfs.state(other) not in sysfs.LIVE:
            continue
        for row in sysfs.functions(other):
            name = ours.get(sysfs.parse_number(row["old_address"]))
            if name is not None:
                raise RebootlessError(
                    "conflict",
                    "Another update already replaces one of these functions.",
                    "Reverse the other update first, or build one cumulative update.",
                    function=name,
                    other_update=other,
                )
