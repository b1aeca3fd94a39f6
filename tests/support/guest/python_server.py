# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Ansible's modules in forked copies of an interpreter that has imported what they import.

On an emulated processor a module takes 6 seconds before its first line runs: the interpreter starts, and Python
compiles and runs the files of Ansible's module_utils, each time anew, since they come in an archive.  Here this is
done once.  A copy is Python itself with the arguments, environment, working directory and descriptors of the program
that asked for it (``python_client.c``), and sees nothing of the runs before it.  The collection's own files come with
each module as ever; what Python compiles of them is kept by their content.

``python_server.py DIRECTORY``: where the packages of Ansible are.
"""

from __future__ import annotations

import _imp
import contextlib
import functools
import importlib
import marshal
import os
import pathlib
import signal
import socket
import sys
import tempfile
import types
import typing as t
import zipimport
from importlib.util import _RAW_MAGIC_NUMBER  # type: ignore[attr-defined]

SOCKET = "/run/python_server"
COMPILED = "/run/python_compiled"
IMPORTS = (
    "ansible.module_utils._internal._ansiballz._loader",
    "ansible.module_utils._internal._ansiballz._extensions",
    "ansible.module_utils.basic",
    # what Ansible's wrapper of modules and the collection's modules import of the standard library
    "argparse",
    "base64",
    "bz2",
    "ctypes",
    "datetime",
    "errno",
    "fcntl",
    "gzip",
    "hashlib",
    "json",
    "lzma",
    "platform",
    "runpy",
    "shlex",
    "shutil",
    "stat",
    "struct",
    "subprocess",
    "tarfile",
    "tempfile",
    "urllib.request",
    "uuid",
    "zipfile",
    "zlib",
)


class _Path(list[str]):
    """The ``__path__`` of a package of which archives in ``sys.path`` may hold more, as each of Ansible's modules."""

    def __init__(self, package: str, own: t.Iterable[str]) -> None:
        super().__init__(own)
        self._package = package.replace(".", "/")

    def __iter__(self) -> t.Iterator[str]:
        yield from super().__iter__()
        yield from (f"{entry}/{self._package}" for entry in sys.path if entry.endswith(".zip"))


def prepare(directory: str) -> None:
    """Imports what copies need."""
    sys.path.insert(0, directory)
    for name in IMPORTS:
        with contextlib.suppress(ModuleNotFoundError):  # another Ansible has other parts
            importlib.import_module(name)
    sys.path.remove(directory)
    for name in ("ansible", "ansible.module_utils"):
        sys.modules[name].__path__ = _Path(name, sys.modules[name].__path__)
    os.makedirs(COMPILED, exist_ok=True)
    # importlib asks for a file's code twice: for its path, and to run it
    zipimport._get_module_code = functools.cache(zipimport._get_module_code)  # type: ignore[attr-defined]
    compile_source = zipimport._compile_source  # type: ignore[attr-defined]
    zipimport._compile_source = lambda path, source: _compiled(compile_source, path, source)  # type: ignore[attr-defined]


def _compiled(compile_source: t.Callable[[str, bytes], types.CodeType], path: str, source: bytes) -> types.CodeType:
    """The code of an archive's file, compiled once for each content."""
    kept = f"{COMPILED}/{_imp.source_hash(_RAW_MAGIC_NUMBER, source).hex()}"
    try:
        with open(kept, "rb") as stream:
            code = t.cast(types.CodeType, marshal.load(stream))
    except FileNotFoundError:
        code = compile_source(path, source)
        with tempfile.NamedTemporaryFile(dir=COMPILED, delete=False) as file:
            file.write(marshal.dumps(code))
        os.replace(file.name, kept)
    _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]
    return code


def serve() -> None:
    """Forks a copy for each connection."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SOCKET)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _address = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _attend(connection)
            return
        connection.close()


def _attend(connection: socket.socket) -> None:
    """Returns in the copy, as the program that was asked for; the process between reports its status."""
    _byte, descriptors, _flags, _address = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as stream:
        words = map(os.fsdecode, stream.read().split(b"\0"))
    copy = os.fork()
    if copy:
        status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
        with contextlib.suppress(OSError):  # the client was killed
            connection.send(bytes([status if status >= 0 else 128 - status]))
        os._exit(0)
    connection.close()
    (directory,), arguments, environment = ([next(words) for _ in range(int(next(words)))] for _ in range(3))
    _become(descriptors, directory, arguments, environment)


def _become(descriptors: list[int], directory: str, arguments: list[str], environment: list[str]) -> None:
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(dict(variable.partition("=")[::2] for variable in environment))
    sys.argv = arguments or ["-"]


def run() -> None:
    """The program that this copy was asked for."""
    script = sys.argv[0]
    name, source = ("<stdin>", sys.stdin.read()) if script == "-" else (script, pathlib.Path(script).read_text())
    sys.path.insert(0, "" if script == "-" else os.path.dirname(script))
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__, __file__=name)
    exec(compile(source, name, "exec"), main.__dict__)


if __name__ == "__main__":
    prepare(sys.argv[1])
    serve()
    run()
