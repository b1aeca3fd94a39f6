# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs Ansible's programs in forked copies of a process that has imported Ansible already.

Of the two seconds of processor time that ``ansible localhost -m ping`` takes, the half are imports.  A program here is
Ansible's own entry point with its own arguments, and sees nothing of the runs before it.
"""

from __future__ import annotations

import atexit
import copy
import dataclasses
import gc
import importlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import typing as t
import warnings

ENTRIES = {"ansible": "ansible.cli.adhoc", "ansible-playbook": "ansible.cli.playbook"}
#: what the entries import only when they run
IMPORTS = (
    *ENTRIES.values(),
    "ansible.executor.playbook_executor",
    "ansible.executor.task_queue_manager",
    "ansible.plugins.action.normal",
    "ansible.plugins.callback.default",
    "ansible.plugins.connection.local",
    "ansible.plugins.connection.ssh",
    "ansible.plugins.filter.core",
    "ansible.plugins.inventory.yaml",
    "ansible.plugins.lookup",
    "ansible.plugins.shell.sh",
    "ansible.plugins.strategy.linear",
    "ansible.plugins.test.core",
    "ansible.plugins.vars.host_group_vars",
)
#: what modules bring along: the package of each in a module's archive has what it imports
OWN = ("modules", "module_utils/_common", "module_utils/_target", "module_utils/_build")
COLLECTION = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Server:
    """The process that is copied; for one run at a time."""

    process: subprocess.Popen[bytes]
    stream: t.BinaryIO

    @classmethod
    def start(cls, environment: dict[str, str]) -> Server:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            process = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            return cls(process, t.cast(t.BinaryIO, ours.makefile("rwb", buffering=0)))

    def run(self, program: str, arguments: list[str], output: str, environment: dict[str, str]) -> int:
        request = {"program": program, "arguments": arguments, "output": output, "environment": environment}
        self.stream.write(json.dumps({**request, "cwd": os.getcwd()}).encode() + b"\n")
        answer = self.stream.readline()
        if not answer:
            raise RuntimeError(f"the process that runs Ansible ended with status {self.process.wait()}")
        return int(answer)


_servers = threading.local()


def run(program: str, arguments: list[str], environment: dict[str, str], own: dict[str, str]) -> tuple[int, str]:
    """Exit status and output of one of ``ENTRIES``; ``own`` are variables of this run that Ansible reads while it runs.

    Ansible reads its own settings when it is imported, so there is a process for each ``environment``, and for each
    working directory with a configuration file.
    """
    by_environment: dict[str, Server] = _servers.__dict__.setdefault("by_environment", {})
    key = json.dumps([environment, os.getcwd() if os.path.exists("ansible.cfg") else ""], sort_keys=True)
    status = by_environment[key].process.poll() if key in by_environment else None
    if status is not None:
        warnings.warn(f"the process that runs Ansible had ended with status {status}; another is started", stacklevel=2)
    if status is not None or key not in by_environment:
        by_environment[key] = Server.start(environment)
    with tempfile.NamedTemporaryFile("r", errors="replace") as output:
        status = by_environment[key].run(program, arguments, output.name, own)
        return status, output.read()


def _serve(stream: t.BinaryIO) -> None:
    for name in IMPORTS:
        importlib.import_module(name)
    _read_routing()
    _parse_sources()
    gc.freeze()  # so that copies look at none of this when they collect garbage
    for line in stream:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            stream.close()
            _become(request)
        _pid, status = os.waitpid(child, 0)
        stream.write(b"%d\n" % os.waitstatus_to_exitcode(status))


def _read_routing() -> None:
    """Reads where Ansible's own plugins went, 0.3 seconds of YAML, once.  The loader of collections provides for it."""
    from ansible import config
    from ansible.utils.collection_loader import _collection_finder as finder

    parsed: dict[tuple[bytes, t.Any], t.Any] = {}
    parse = finder._meta_yml_to_dict

    def parse_once(text: bytes, name: t.Any) -> t.Any:
        if (text, name) not in parsed:
            parsed[text, name] = parse(text, name)
        return copy.deepcopy(parsed[text, name])

    finder._meta_yml_to_dict = parse_once
    routing = pathlib.Path(config.__path__[0], "ansible_builtin_runtime.yml")
    parse_once(routing.read_bytes(), ("ansible.builtin", "runtime.yml"))


def _parse_sources() -> None:
    """Parses once what Ansible parses in every run to find what a module imports: half the time of sending a module.

    These are the sources that modules bring along, by content; one that is not among them is parsed as ever.
    """
    from ansible import module_utils
    from ansible.executor import module_common

    parse = module_common._compile_module_ast
    common = pathlib.Path(module_utils.__path__[0])
    imported = {getattr(module, "__file__", None) for name, module in sys.modules.items() if "module_utils" in name}
    own = [path for part in OWN for path in (COLLECTION / "plugins" / part).rglob("*.py")]
    sources = [path.read_bytes() for path in [*common.rglob("*.py"), *own] if path in own or str(path) in imported]
    parsed = {source: parse("source", source) for source in sources}

    def parse_once(name: str, source: t.Any) -> t.Any:
        content = source.encode() if isinstance(source, str) else bytes(source)
        return parsed[content] if content in parsed else parse(name, source)

    module_common._compile_module_ast = parse_once


def _become(request: dict[str, t.Any]) -> t.NoReturn:
    output = os.open(request["output"], os.O_WRONLY | os.O_TRUNC | os.O_CREAT, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(request["cwd"])
    os.environ.update(request["environment"])
    sys.argv = [request["program"], *request["arguments"]]
    _own_temporary_directory()
    importlib.import_module(ENTRIES[request["program"]]).main(sys.argv)
    sys.exit(0)


def _own_temporary_directory() -> None:
    """Ansible makes it when it is imported, and removes it when it ends."""
    from ansible import constants
    from ansible.utils.path import cleanup_tmp_file

    atexit._clear()  # what the copied process registered is for it to do
    parent = os.path.dirname(constants.DEFAULT_LOCAL_TMP)
    constants.DEFAULT_LOCAL_TMP = tempfile.mkdtemp(prefix=f"ansible-local-{os.getpid()}", dir=parent)
    atexit.register(cleanup_tmp_file, constants.DEFAULT_LOCAL_TMP, warn=True)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        _serve(t.cast(t.BinaryIO, connection.makefile("rwb", buffering=0)))
