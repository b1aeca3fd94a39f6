# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In a copy of the preloaded interpreter a module has the files that it brings, and no others."""

from __future__ import annotations

import io
import json
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import pytest

from ansible_collections.rebootless.splice.tests.support import preloaded

# Runs the server's preparations, then says of each name whether it can be imported, in both ways, and its constant.
PROBE = """
import importlib.util, json, os, sys
server, directory, archive, compiled, names = sys.argv[1:]
spec = importlib.util.spec_from_file_location("python_server", server)
python_server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(python_server)
python_server.COMPILED = compiled

def run_module(**options):
    sys.path.insert(0, options["modlib_path"])
    found = {}
    for name in json.loads(names):
        package, _dot, last = name.rpartition(".")
        try:
            module = importlib.import_module(name)
            exec(f"from {package} import {last}")
            found[name] = getattr(module, "MARK", "")
        except ImportError:
            try:
                exec(f"from {package} import {last}")
                found[name] = "an attribute"
            except ImportError:
                found[name] = None
    print(json.dumps(found))

sys.path.insert(0, directory)
loader = importlib.import_module(python_server.LOADER)
sys.path.remove(directory)
loader.run_module = run_module
python_server.prepare(directory)
loader.run_module(modlib_path=archive)
"""
TOP = "ansible_collections/rebootless/splice/plugins/module_utils"
PREFIX = TOP.replace("/", ".")
NAMES = ("_common.errors", "_common.names", "_target.kernel.log")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What is installed on a machine."""
    path = tmp_path_factory.mktemp("preloaded")
    with tarfile.open(fileobj=io.BytesIO(preloaded._files())) as archive:
        archive.extractall(path)
    return path


def brought(path: pathlib.Path, directory: pathlib.Path, names: tuple[str, ...], more: str = "") -> pathlib.Path:
    """An archive as Ansible ships a module in, with these files of the collection and their packages."""
    files = {f"{TOP}/{name.replace('.', '/')}.py" for name in names}
    packages = {f"{parent}/__init__.py" for file in files for parent in pathlib.PurePath(file).parents if parent.name}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(files | packages):
            source = directory / file
            archive.writestr(file, source.read_text() + (more if file in files else "") if source.exists() else "")
    return path


def imported(
    directory: pathlib.Path,
    archive: pathlib.Path,
    scratch: pathlib.Path,
    prefix: str = PREFIX,
    of: tuple[str, ...] = NAMES,
) -> dict[str, str | None]:
    names = json.dumps([f"{prefix}.{name}" for name in of])
    command = [sys.executable, "-c", PROBE, str(directory / "python_server.py"), str(directory), str(archive)]
    done = subprocess.run([*command, str(scratch / "compiled"), names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.removeprefix(f"{prefix}."): found for name, found in json.loads(done.stdout).items()}


def test_the_same_files(tmp_path: pathlib.Path, directory: pathlib.Path) -> None:
    found = imported(directory, brought(tmp_path / "module.zip", directory, NAMES), tmp_path)
    assert found == dict.fromkeys(NAMES, "")


def test_other_files(tmp_path: pathlib.Path, directory: pathlib.Path) -> None:
    """Each is the module's own."""
    archive = brought(tmp_path / "module.zip", directory, NAMES, "\nMARK = 'its own'\n")
    assert imported(directory, archive, tmp_path) == dict.fromkeys(NAMES, "its own")


@pytest.mark.parametrize("more", ["", "\nMARK = 'its own'\n"])
def test_a_file_that_the_module_does_not_bring(tmp_path: pathlib.Path, directory: pathlib.Path, more: str) -> None:
    """On any other host it is missing as well, though the preloaded interpreter has it on its disk."""
    archive = brought(tmp_path / "module.zip", directory, NAMES[:1], more)
    mark = "its own" if more else ""
    assert imported(directory, archive, tmp_path) == {NAMES[0]: mark, NAMES[1]: None, NAMES[2]: None}


def test_a_file_of_ansible_that_the_module_does_not_bring(tmp_path: pathlib.Path, directory: pathlib.Path) -> None:
    """One that was imported for all modules, and one that was not."""
    of = ("basic", "urls")
    with zipfile.ZipFile(tmp_path / "module.zip", "w") as archive:
        for package in ("ansible", "ansible/module_utils"):
            archive.writestr(f"{package}/__init__.py", "")
    found = imported(directory, tmp_path / "module.zip", tmp_path, "ansible.module_utils", of)
    assert found == dict.fromkeys(of)
