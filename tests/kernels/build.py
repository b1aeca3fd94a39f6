#!/usr/bin/env python
# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a kernel of the distribution's source with a small configuration of our own, as an operator would.

    build.py debug [--jobs 2]

The configuration is ``<name>.config``; all that it does not name is off.  The kernel is kept in the cache, by all that
it was built from (tests/support/own_kernels.py).  Ends with its release and its place.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import clean_environment
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel import config as kernel_config
from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.tests.support import own_kernels
from ansible_collections.rebootless.splice.tests.support.places import CACHE
from ansible_collections.rebootless.splice.tests.support.runner import Runner

# What modules are built against; all else that was compiled is made again, unit by unit, in the kernel's tree.
NEEDED = ("scripts/", "tools/")


def make(build: pathlib.Path, source: str, *targets: str) -> None:
    """Kbuild, which writes its output to ``build.log``; raises ``SystemExit`` with the log's end."""
    variables = {**own_kernels.VARIABLES, "LC_ALL": "C"}
    command = ["make", "-C", source, f"O={build}", f"CC={own_kernels.COMPILER}", *targets]
    log = build.parent / "build.log"
    with log.open("ab") as output:
        done = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, env=clean_environment(**variables), check=False
        )
    if done.returncode:
        end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:]
        raise SystemExit("\n".join([*end, f"{' '.join(command)} failed"]))


def configure(build: pathlib.Path, source: str, name: str) -> None:
    """Writes the configuration; every line of ``<name>.config`` has to come out as it went in."""
    wanted = build.parent / "wanted"
    text = (own_kernels.CONFIGS / f"{name}.config").read_text(encoding="utf-8")
    local = own_kernels.place(name)[-1]
    wanted.write_text(f'{text}\nCONFIG_LOCALVERSION="-{local}"\n', encoding="utf-8")
    make(build, source, f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig")
    asked = kernel_config.parse(wanted.read_text(encoding="utf-8"))
    got = kernel_config.parse((build / ".config").read_text(encoding="utf-8"))
    lost = [f"{option}={value}" for option, value in asked.items() if got.get(option, "n") != value]
    if lost:
        raise SystemExit(f"The kernel cannot have: {', '.join(lost)}")
    shutil.copy(build / ".config", build.parent / "config")


def install(build: pathlib.Path, source: str, root: pathlib.Path) -> str:
    """Lays out what was built as the kernel's directory; returns its release."""
    make(build, source, f"INSTALL_MOD_PATH={root}", "INSTALL_MOD_STRIP=1", "modules_install")
    header = (build / "include" / "generated" / "utsrelease.h").read_text(encoding="ascii")
    release = t.cast("re.Match[str]", re.search('UTS_RELEASE "(.+)"', header))[1]
    for link in ("build", "source"):
        (root / "lib" / "modules" / release / link).unlink()
    shutil.copy(build / "arch" / "x86" / "boot" / "bzImage", build.parent / "vmlinuz")
    for path in build.rglob("*"):
        where = path.relative_to(build).as_posix()
        if path.suffix in (".o", ".a", ".ko", ".bin", ".cmd") and not where.startswith(NEEDED) and path.is_file():
            path.unlink()
    return release


def build_kernel(name: str, jobs: int) -> None:
    """Builds the kernel, unless it is there."""
    with Cache(CACHE).made_once(*own_kernels.place(name)) as directory:
        if directory is None:
            return
        stock = Runner().module("localhost", "kernel_tree", release=own_kernels.STOCK, cache=str(CACHE))
        if stock["failed"]:
            raise SystemExit(f"{stock['sentence']} {stock['next_step']}")
        build, source = directory / "build", stock["tree"]["source"]
        build.mkdir()
        configure(build, source, name)
        make(build, source, f"-j{jobs}", "bzImage", "modules")
        release = install(build, source, directory / "root")
        record = strict_json.exact({"release": release, "source": source}, indent=2, sort_keys=True)
        (directory / "kernel.json").write_bytes(record)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build a kernel of our own configuration.")
    parser.add_argument("name", choices=sorted(own_kernels.MEMORY_MIB))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    build_kernel(arguments.name, arguments.jobs)
    kernel = own_kernels.read(arguments.name)
    assert kernel is not None
    print(kernel.release, kernel.directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
