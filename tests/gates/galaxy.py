# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the collection as for a Galaxy server, installs it, reads it there, and lets Galaxy's own importer look at
it."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import tree

DIST = tree.WORK / "dist"
INSTALLED = tree.WORK / "installed"
UNWANTED = re.compile(r"^build(/|$)|(^|/)(\.venv|\.git|output|__pycache__)(/|$)|\.(ko|o|so|pyc)$")
COMPLAINT = re.compile(r"^(ERROR|WARNING|CRITICAL)", re.MULTILINE)


def build() -> pathlib.Path:
    shutil.rmtree(DIST, ignore_errors=True)
    run("ansible-galaxy", "collection", "build", "--output-path", str(DIST))
    (artifact,) = DIST.glob("rebootless-splice-*.tar.gz")
    with tarfile.open(artifact) as archive:
        unwanted = [name for name in archive.getnames() if UNWANTED.search(name)]
    if unwanted:
        sys.exit(f"The collection's archive has files that belong to no release: {', '.join(unwanted)}")
    return artifact


def install(artifact: pathlib.Path) -> None:
    shutil.rmtree(INSTALLED, ignore_errors=True)
    # ansible-galaxy installs nothing that it finds anywhere in the path.
    options = ("--offline", "--collections-path", str(INSTALLED))
    run("ansible-galaxy", "collection", "install", *options, str(artifact), collections=INSTALLED)
    listed = json.loads(run("ansible-doc", "--list", "--json", "rebootless.splice", collections=INSTALLED))
    modules = {f"rebootless.splice.{path.stem}" for path in (tree.TREE / "plugins" / "modules").glob("*.py")}
    if set(listed) != modules:
        sys.exit(f"Installed modules and source modules differ: {', '.join(sorted(set(listed) ^ modules))}")


def examine(artifact: pathlib.Path) -> None:
    # Sanity and lint are gates of their own.
    options = {"RUN_ANSIBLE_LINT": "no", "RUN_ANSIBLE_TEST": "no", "CHECK_REQUIRED_TAGS": "yes"}
    variables = {f"GALAXY_IMPORTER_{key}": value for key, value in options.items()}
    # It leaves its result in the current directory.
    output = run(sys.executable, "-m", "galaxy_importer.main", str(artifact), cwd=DIST, variables=variables)
    if COMPLAINT.search(output) or "Importer processing completed successfully" not in output:
        sys.exit(f"Galaxy's importer complains:\n{output}")


def run(
    *command: str,
    collections: pathlib.Path = tree.WORK,
    cwd: pathlib.Path = tree.TREE,
    variables: dict[str, str] | None = None,
) -> str:
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), **(variables or {})}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout if command[0] == "ansible-doc" else done.stdout + done.stderr


if __name__ == "__main__":
    product = build()
    install(product)
    examine(product)
