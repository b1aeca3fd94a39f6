# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has a machine run Ansible's modules in copies of an interpreter that has imported Ansible: tests/support/guest.

Until the machine is restarted; from then on ``PYTHON`` is the plain interpreter.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import io
import pathlib
import subprocess
import tarfile
import tempfile
import typing as t

from ansible_collections.rebootless.splice.tests.support.places import COLLECTION

if t.TYPE_CHECKING:
    from ansible_collections.rebootless.splice.tests.support.host import Host

GUEST = pathlib.Path(__file__).parent / "guest"
DIRECTORY = "/usr/local/lib/preloaded"
PYTHON = f"{DIRECTORY}/bin/python3"
START_S = 300.0  # an emulated processor compiles all of these files


def start(host: Host) -> None:
    """Installs the server on a machine and starts it."""
    host.run(f"mkdir -p {DIRECTORY} && tar -xC {DIRECTORY}", stdin=_files())
    # LANG: how the copies decode what they read.  A unit of its own, since a login ends what it has started.
    command = f"/usr/bin/python3 {DIRECTORY}/python_server.py {DIRECTORY}"
    host.run(f"systemd-run --quiet --unit=python-server --setenv=LANG=C.UTF-8 {command}")
    host.wait_until(lambda: host.run("test -S /run/python_server", check=False).returncode == 0, START_S)


def version() -> list[str]:
    """What machines would have to be made anew for."""
    files = (path.read_text() for path in (pathlib.Path(__file__), *sorted(GUEST.glob("*.*"))))
    return [importlib.metadata.version("ansible-core"), *files, *(source.decode() for source in _own().values())]


@functools.cache
def _files() -> bytes:
    """An archive of the server, its client, and the packages that modules may import of the controller's Ansible."""
    release = importlib.metadata.version("ansible-core")
    spec = importlib.util.find_spec("ansible")
    assert spec and spec.submodule_search_locations
    (ansible,) = spec.submodule_search_locations
    archive = io.BytesIO()
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(fileobj=archive, mode="w") as tar:
        client = pathlib.Path(scratch) / "client"
        subprocess.run(["gcc", "-O2", "-static", "-o", client, GUEST / "python_client.c"], check=True)
        tar.add(client, "bin/python3")
        tar.add(GUEST / "python_server.py", "python_server.py")
        package = pathlib.Path(scratch) / "__init__.py"
        package.write_text(f"__version__ = {release!r}\n")  # as modules see it
        tar.add(package, "ansible/__init__.py")
        tar.add(pathlib.Path(ansible, "module_utils"), "ansible/module_utils", filter=_source)
        for path, source in _own().items():
            info = tarfile.TarInfo(path)
            info.size = len(source)
            tar.addfile(info, io.BytesIO(source))
    return archive.getvalue()


@functools.cache
def _own() -> dict[str, bytes]:
    """The collection's files that modules may bring to a host, by their paths in what a module brings."""
    top = pathlib.Path("ansible_collections/rebootless/splice")
    parts = COLLECTION / "plugins" / "module_utils"
    files = [path for part in ("_common", "_target") for path in sorted((parts / part).rglob("*.py"))]
    found = {(top / path.relative_to(COLLECTION)).as_posix(): path.read_bytes() for path in files}
    packages = {f"{parent}/__init__.py" for path in found for parent in pathlib.PurePath(path).parents if parent.name}
    return {**dict.fromkeys(sorted(packages - found.keys()), b""), **found}


def _source(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in info.name else info
