# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds one entry's update, in a process of its own: this module run with JOB writes what came to JOB's ``result``.

JOB is a file of JSON: ``name``, ``cves``, ``patches``, ``custom`` (pairs of a path
and the source that it belongs to), ``tree``, ``cache``, ``jobs``, ``directory``,
``result``.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
import time
import traceback
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build import update as updates
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Kernel
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.contents import Literal
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import read_patch
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import custom_code
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.program_builder import (
    ProgramBuilder,
    ProgramUnit,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile, Section
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import read_package
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.memory_file import memory_file
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.modinfo import read_modinfo

KMOD = pathlib.Path(__file__).resolve().parents[2] / "kmod"
HELPERS_OWN = "rbl_pre."  # names of what the helper module alone can resolve (docs/formats.md)


class LoadedProgram(ProgramBuilder):
    """The match program of an update's own module: what matches it is the module in memory."""

    def _target(self, unit: ProgramUnit, target: Section | str | Literal) -> int:
        if isinstance(target, str) and target.startswith(HELPERS_OWN):
            return self._nameless(target)
        return super()._target(unit, target)


def loaded_program(module: bytes, module_name: str, kernel: Kernel) -> bytes:
    """The match program of the code and constants of a module file."""
    builder = LoadedProgram(kernel)
    with memory_file(module, module_name) as path:
        builder.add_unit(module_name, f"{module_name}.ko", ObjectFile(path))
    return builder.serialize()


def build(job: dict[str, t.Any]) -> dict[str, t.Any]:
    """``facts`` of the build, and ``package`` if there is one to try, else ``error`` if it was refused."""
    tree = read_tree(job["tree"])
    phases = Phases()
    builder = updates.Builder(tree, KMOD, Cache(job["cache"]), job["jobs"], phases)
    more = {"custom": tuple(read_custom(*row) for row in job["custom"])} if job["custom"] else {}
    update = updates.UpdateSource(job["name"], "1", tuple(job["cves"]), tuple(map(read_patch, job["patches"])), **more)
    result: dict[str, t.Any] = {}
    start = time.monotonic()
    try:
        done = builder.build(update)
        result["facts"] = done.facts
        if done.package is not None:
            directory = pathlib.Path(job["directory"])
            shutil.copyfile(done.package, directory / "package.rbl.tar.gz")
            module = read_package(str(done.package)).files["update.ko"]
            name = read_modinfo(module, "update.ko")["name"]
            result["update_module"] = name
            disk.replace(directory / "loaded.bin", loaded_program(module, name, tree.kernel))
            result["package"] = str(directory / "package.rbl.tar.gz")
    except RebootlessError as error:
        result["error"] = {"code": error.code, "sentence": error.sentence, "details": error.details}
    except Exception as error:
        result["error"] = {
            "code": "build_crashed",
            "sentence": f"{type(error).__name__}: {error}",
            "details": {"traceback": traceback.format_exc().splitlines()[-14:]},
        }
    result.update(seconds=round(time.monotonic() - start, 1), timings=phases.timings)
    return result


def read_custom(path: str, source: str) -> t.Any:
    """A file of custom code for a kernel source."""
    return custom_code.read_custom(path, source)


def main() -> int:
    job = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.nice(5)  # machines that wait are not to hang
    result = build(job)
    disk.replace(pathlib.Path(job["result"]), json.dumps(result, default=str).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
