# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the collection where Ansible's tools want it: ``ansible_collections/rebootless/splice``, a git
repository."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "gates"
TREE = WORK / "ansible_collections" / "rebootless" / "splice"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "rebootless" / "gates"
# ansible-test makes its own virtual environments and caches them in the home directory.
HOME = CACHE / "home"


def prepare() -> None:
    """Copies what git tracks or would track, so that forgotten files fail here as they would after a clone."""
    if TREE.exists():
        shutil.rmtree(TREE)
    TREE.mkdir(parents=True)
    names = _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, names):
        source, copy = ROOT / name, TREE / name
        if source.is_symlink() or source.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    _git(TREE, "init", "-q")
    _git(TREE, "add", "--all", "--force")
    _git(TREE, "-c", "user.name=gates", "-c", "user.email=gates@localhost", "commit", "-q", "-m", "The tree under test")
    _provide_pip()


def copied(name: str) -> pathlib.Path:
    """A copy of the tree for one gate, beside which others can write into theirs."""
    directory = WORK / "copies" / name.replace(" ", "-") / TREE.relative_to(WORK)
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(TREE, directory, symlinks=True)
    return directory


def _git(directory: pathlib.Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=directory, check=True, capture_output=True, text=True).stdout


def _provide_pip() -> None:
    """ansible-test fetches a script that brings pip into its virtual environments; ``ensurepip`` does it offline."""
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    source = importlib.metadata.distribution("ansible-core").locate_file(
        "ansible_test/_internal/python_requirements.py"
    )
    for version in re.findall(r"\bpip='([0-9.]+)'", pathlib.Path(str(source)).read_text()):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text("import ensurepip\n\nensurepip.bootstrap()\n")
