# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a process believe that it runs on another host: one with a kernel of its own, and with the helper module.

The interpreter of a simulated host loads this (PYTHONPATH).  The collection's own modules run unchanged; once one of
those in ``CHANGES`` is imported, what it reaches outside is replaced: the helper's sysfs is a directory of files, in
which a load, ``apply``, ``confirm`` and ``reverse`` leave what the helper module would show.  Nothing is matched,
nothing is patched, no kernel is involved.
"""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.util
import json
import os
import shutil
import sys

HOST = os.environ["REBOOTLESS_BENCH_HOST"]
SYSFS = os.path.join(HOST, "sysfs")
PAUSE_NS = 70000


def spent() -> None:
    """Leaves how much processor time this process took, so that it can be told from the controller's."""
    times = os.times()
    with open(os.path.join(HOST, "spent"), "a", encoding="ascii") as stream:
        stream.write(f"{times.user + times.system:.4f}\n")


def put(name: str, **values: object) -> None:
    directory = os.path.join(SYSFS, name)
    os.makedirs(directory, exist_ok=True)
    for key, value in values.items():
        path = os.path.join(directory, key)
        with open(path + ".new", "w", encoding="utf-8") as stream:
            stream.write(f"{value}\n")
        os.replace(path + ".new", path)  # a reader of sysfs never sees half a value


def facts(module) -> None:
    with open(os.path.join(HOST, "host.json"), encoding="utf-8") as stream:
        kernel = json.load(stream)
    for key in ("release", "version", "build_id"):
        setattr(module, key, lambda value=kernel[key]: value)
    module.module_loaded = lambda name: os.path.exists(os.path.join(HOST, "modules", name))
    module.signatures_enforced = module.modules_disabled = lambda: False
    module.lockdown = lambda: "none"


def sysfs(module) -> None:
    module.ROOT = SYSFS
    module.helper_build_id = lambda: "be" * 20
    module._parameter = lambda key: "11"
    module._set_parameter = lambda key, value: None
    module.control = control


def control(name: str, command: str) -> None:
    """What the helper module does with a command, as far as its sysfs shows it."""
    word, _blank, argument = command.partition(" ")
    if word == "forget":
        shutil.rmtree(os.path.join(SYSFS, name))
        return
    now = {"apply": "applied", "confirm": "confirmed", "reverse": "reversed"}.get(word)
    if now:
        put(name, state=now, pause_ns=PAUSE_NS, tries=1)
    put(name, deadline=argument or 0)


def loader(module) -> None:
    def load(image: bytes, name: str, parameters: str = "") -> None:
        os.makedirs(os.path.join(HOST, "modules"), exist_ok=True)
        with open(os.path.join(HOST, "modules", name), "w", encoding="ascii"):
            pass
        if name == "rebootless":
            os.makedirs(SYSFS, exist_ok=True)
            with open(os.path.join(SYSFS, "abi"), "w", encoding="ascii") as stream:
                stream.write("2\n")
            return
        with open(os.path.join(HOST, "host.json"), encoding="utf-8") as stream:
            update = json.load(stream)["update"]
        put(
            update["name"],
            state="matched",
            version=update["version"],
            digest=update["digest"],
            module=name,
            kept=0,
            deadline=0,
            pause_ns=0,
            match_ns=20000000,
            resolve_ns=400000,
            tries=0,
            functions="unix_ioctl 0xffffffff81b3f2a0 0xffffffffc0a01000 0xffffffff81b3f2a5 4156415541 yes",
            objects="vmlinux applied",
        )

    def unload(name: str) -> bool:
        path = os.path.join(HOST, "modules", name)
        if not os.path.exists(path):
            return False
        os.unlink(path)
        return True

    module.load, module.unload = load, unload


def module_reach(module) -> None:
    if os.path.isdir(os.path.join(HOST, "proc")):
        module.PROC = os.path.join(HOST, "proc")


def modprobe(module) -> None:
    module.MODULES = os.path.join(HOST, "..", "..", "modules")


def lock(module) -> None:
    # The default of a parameter, which was bound when the function was made: all hosts would share the one lock.
    function = module.host_lock.__wrapped__
    function.__defaults__ = (os.path.join(HOST, "lock"),)


def store(module) -> None:
    module.DIRECTORY = os.path.join(HOST, "state")


def rollout_run(module) -> None:
    module.LOCK = os.path.join(HOST, "rollout-{}.lock")


CHANGES = {
    f"ansible_collections.rebootless.splice.plugins.module_utils._target.{name}": change
    for name, change in {
        "kernel.facts": facts,
        "kernel.sysfs": sysfs,
        "kernel.loader": loader,
        "kernel.module_reach": module_reach,
        "kernel.modprobe": modprobe,
        "state.lock": lock,
        "state.store": store,
        "rollout.run": rollout_run,
    }.items()
}


class Loader(importlib.abc.Loader):
    """Loads a module as its own loader does, and makes the change after its code has run."""

    def __init__(self, own, change) -> None:
        self._own = own  # shared by all modules of an archive, so it is not to be changed itself
        self._change = change

    def create_module(self, spec):
        return self._own.create_module(spec)

    def exec_module(self, module) -> None:
        self._own.exec_module(module)
        self._change(module)


class Finder(importlib.abc.MetaPathFinder):
    """Finds what others find, for the modules of ``CHANGES``."""

    def find_spec(self, name, path=None, target=None):
        if name not in CHANGES:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None:
            raise ModuleNotFoundError(f"The benchmark changes {name}, which is not there", name=name)
        spec.loader = Loader(spec.loader, CHANGES[name])
        return spec


sys.meta_path.insert(0, Finder())
atexit.register(spent)
