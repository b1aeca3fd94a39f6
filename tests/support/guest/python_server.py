# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Ansible's modules in forked copies of an interpreter that has imported what they import.

On an emulated processor a module takes 6 seconds before its first line runs: the interpreter starts, and Python
compiles and runs the files of Ansible's module_utils, each time anew, since they come in an archive.  Here this is
done once.  A copy is Python itself with the arguments, environment, working directory and descriptors of the program
that asked for it (``python_client.c``), and sees nothing of the runs before it.  The collection's own files are
imported as well, and forgotten where a module brings others; what Python compiles of those is kept by their content.

``python_server.py DIRECTORY``: where the packages of Ansible and of the collection are.
"""

from __future__ import annotations

import _imp
import atexit
import contextlib
import functools
import gc
import importlib
import marshal
import os
import pathlib
import signal
import socket
import sys
import tempfile
import threading
import traceback
import types
import typing as t
import zipimport
import zlib
from importlib.util import _RAW_MAGIC_NUMBER  # type: ignore[attr-defined]

SOCKET = "/run/python_server"
COMPILED = "/run/python_compiled"
OWN = "ansible_collections"
BROUGHT = ("ansible", OWN)  # the packages of which a module brings what it imports
LOADER = "ansible.module_utils._internal._ansiballz._loader"
IMPORTS = (
    LOADER,
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
    """The ``__path__`` of a package of which a module has what its archive in ``sys.path`` brings, and nothing else."""

    def __init__(self, package: str) -> None:
        super().__init__()
        self._package = package.replace(".", "/")

    def __iter__(self) -> t.Iterator[str]:
        yield from (f"{entry}/{self._package}" for entry in sys.path if entry.endswith(".zip"))


def prepare(directory: str) -> None:
    """Imports what copies need."""
    sys.path.insert(0, directory)
    for name in IMPORTS:
        with contextlib.suppress(ModuleNotFoundError):  # another Ansible has other parts
            importlib.import_module(name)
    own = {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in pathlib.Path(directory, OWN).rglob("*.py")
    }
    for path in own:
        importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    sys.path.remove(directory)
    for name, module in sys.modules.items():
        if name.split(".")[0] in BROUGHT and hasattr(module, "__path__"):
            module.__path__ = _Path(name)
    _forget_others({path: (len(source), zlib.crc32(source)) for path, source in own.items()})
    os.makedirs(COMPILED, exist_ok=True)
    # importlib asks for a file's code twice: for its path, and to run it
    zipimport._get_module_code = functools.cache(zipimport._get_module_code)  # type: ignore[attr-defined]
    compile_source = zipimport._compile_source  # type: ignore[attr-defined]
    zipimport._compile_source = lambda path, source: _compiled(compile_source, path, source)  # type: ignore[attr-defined]


def _forget_others(own: dict[str, tuple[int, int]]) -> None:
    """Has a module import what it brings: not other files of the collection (size and CRC), nor what it lacks."""
    loader = importlib.import_module(LOADER)
    run_module = loader.run_module

    def run(**options: t.Any) -> None:
        files = zipimport.zipimporter(options["modlib_path"])._files  # type: ignore[attr-defined]
        brought = {path: (files[path][3], files[path][7]) for path in own if path in files}
        if any(own[path] != brought[path] for path in brought):
            for name in [name for name in sys.modules if name.split(".")[0] == OWN]:
                del sys.modules[name]
        for name in [name for name in sys.modules if name.split(".")[0] in BROUGHT]:
            path = name.replace(".", "/")
            if not {f"{path}.py", f"{path}/__init__.py"} & files.keys():
                _forget(name)
        run_module(**options)

    loader.run_module = run  # type: ignore[attr-defined]


def _forget(name: str) -> None:
    """A module that was imported is in ``sys.modules``, and an attribute of its package."""
    module = sys.modules.pop(name, None)
    package, _dot, last = name.rpartition(".")
    if module and getattr(sys.modules.get(package), last, None) is module:
        delattr(sys.modules[package], last)


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
    """Forks a copy for each connection, and tells the client its status when it has ended; returns in each copy."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SOCKET)
    listener.listen(64)
    clients: dict[int, socket.socket] = {}
    signal.signal(signal.SIGCHLD, lambda _number, _frame: _report(clients))
    gc.freeze()  # so that no copy writes to, and so copies, what the garbage collector would look at
    while True:
        connection, _address = listener.accept()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # until it is known whose copy it was
        copy = os.fork()
        if copy == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            _become(connection)
            return
        clients[copy] = connection
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _report(clients: dict[int, socket.socket]) -> None:
    with contextlib.suppress(ChildProcessError):  # all have been reported
        while copy := (ended := os.waitpid(-1, os.WNOHANG))[0]:
            status = os.waitstatus_to_exitcode(ended[1])
            with clients.pop(copy) as connection, contextlib.suppress(OSError):  # the client was killed
                connection.send(bytes([status if status >= 0 else 128 - status]))


def _become(connection: socket.socket) -> None:
    _byte, descriptors, _flags, _address = socket.recv_fds(connection, 1, 3)
    with connection, connection.makefile("rb") as stream:
        words = map(os.fsdecode, stream.read().split(b"\0"))
    (directory,), arguments, environment = ([next(words) for _each in range(int(next(words)))] for _each in range(3))
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(dict(variable.partition("=")[::2] for variable in environment))
    sys.argv = arguments or ["-"]


def run() -> int:
    """The status of the program that this copy was asked for."""
    script = sys.argv[0]
    name, source = ("<stdin>", sys.stdin.read()) if script == "-" else (script, pathlib.Path(script).read_text())
    sys.path.insert(0, "" if script == "-" else os.path.dirname(script))
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__, __file__=name)
    try:
        exec(compile(source, name, "exec", dont_inherit=True), main.__dict__)
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def end(status: int) -> t.NoReturn:
    """Ends as Python does, without clearing away everything first: that would copy what the copies share."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    prepare(sys.argv[1])
    serve()
    end(run())
