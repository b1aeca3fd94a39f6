# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that must hold for the collection before any of its code runs: ``gates.py [NAME...]``.

A name stands for all gates that begin with it: ``sanity`` for "sanity import" and its siblings.

Each gate is one row of ``GATES``.  They run at the same time, each says one line, and failed ones show their output
at the end.
"""

from __future__ import annotations

import concurrent.futures
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import typing as t

import pythons
import tree

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(sys.executable).parent
COLLECTION = "ansible_collections.rebootless.splice"


# What mypy checks.
# What no other gate runs, the tools of tests/corpus and tests/bench above all, would else call what is not there.
TESTS = ("support", "kernels", "corpus", "bench", "fuzz", "coexistence", "integration", "fleet", "unit")
# Of the gates the scripts, which import each other by their names; the others are modules of the collection.
BY_NAME = re.compile(r"^import (pythons|tree)$", re.MULTILINE)
SCRIPTS = ["pythons.py", "tree.py", *(path.name for path in HERE.glob("*.py") if BY_NAME.search(path.read_text()))]
MODULES = [path.stem for path in HERE.glob("*.py") if path.name not in SCRIPTS]
CHECKED = ["-p", f"{COLLECTION}.plugins", *(word for name in TESTS for word in ("-p", f"{COLLECTION}.tests.{name}"))]
CHECKED += [word for name in MODULES for word in ("-m", f"{COLLECTION}.tests.gates.{name}")]
MYPY = ["mypy", "--config-file", str(tree.TREE / "pyproject.toml")]

# Tests of ansible-test that take long, each a gate of its own: it runs one after the other on one processor.
APART = ("import", "pylint", "validate-modules")


class Gate(t.NamedTuple):
    command: list[str]
    cwd: pathlib.Path = tree.TREE
    environment: dict[str, str] = {}
    copied: bool = False  # it has a copy of the tree for itself


def own(script: str) -> list[str]:
    return [sys.executable, str(HERE / script)]


def reads(module: str) -> Gate:
    """One that reads texts only: a module of the copy itself, which unit tests import as well."""
    command = [sys.executable, "-m", f"{COLLECTION}.tests.gates.{module}"]
    return Gate(command, environment={"PYTHONPATH": str(tree.WORK)})


def sanity(*options: str) -> Gate:
    """Tests of ansible-test, which writes into the tree that it looks at."""
    return Gate(["ansible-test", "sanity", "--color", "no", *options], copied=True)


# Longest first.
GATES = {
    **{f"sanity {test}": sanity("--test", test) for test in APART},
    "sanity others": sanity(*(word for test in APART for word in ("--skip-test", test))),
    "galaxy": Gate(own("galaxy.py")),
    "target pythons": Gate(own("target_pythons.py")),
    "mypy": Gate(
        [*MYPY, *CHECKED],
        cwd=tree.WORK,
        environment={"MYPY_CACHE_DIR": str(tree.ROOT / "build" / "mypy")},
    ),
    "mypy of scripts": Gate(
        [*MYPY, *SCRIPTS, "../slowest.py"],
        cwd=tree.TREE / "tests" / "gates",
        environment={"MYPY_CACHE_DIR": str(tree.ROOT / "build" / "mypy-scripts")},
    ),
    "ansible-lint": Gate(["ansible-lint", "--offline", "--nocolor", "--profile", "production", "--strict"]),
    "antsibull-docs": Gate(
        [
            "antsibull-docs",
            "lint-collection-docs",
            "--plugin-docs",
            "--skip-rstcheck",
            "--validate-collection-refs=self",
            "--disallow-unknown-collection-refs",
            ".",
        ]
    ),
    "examples": Gate(own("examples.py")),
    "antsibull-changelog": Gate(["antsibull-changelog", "lint"]),
    "reuse": Gate(["reuse", "lint"]),
    "ruff check": Gate(["ruff", "check", "--no-cache", "."]),
    "ruff format": Gate(["ruff", "format", "--no-cache", "--check", "--diff", "."]),
    "yamllint": Gate(["yamllint", "--strict", "."]),
    "execution environment": Gate(own("execution_environment.py")),
    "names": reads("names"),
    "imports": reads("imports"),
    "words": reads("words"),
    "functions": reads("functions"),
    "roles": Gate(own("roles.py")),
    "kmod": reads("kmod"),
    "seams": reads("seams"),
}


def environment() -> dict[str, str]:
    """The virtual environment's tools first, every target Python in reach of ansible-test, caches of its own."""
    pip_configuration = pathlib.Path.home() / ".config" / "pip" / "pip.conf"
    directories = [str(BIN), *(os.path.dirname(path) for path in pythons.interpreters().values())]
    return {
        # The tools have what is compiled beside them.
        **{name: value for name, value in os.environ.items() if name != "PYTHONPYCACHEPREFIX"},
        "PATH": os.pathsep.join([*directories, os.environ["PATH"]]),
        "HOME": str(tree.HOME),
        **({"PIP_CONFIG_FILE": str(pip_configuration)} if pip_configuration.exists() else {}),
        "ANSIBLE_HOME": str(tree.HOME / ".ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(tree.WORK),
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "PIP_QUIET": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def prime() -> None:
    """Has ansible-test make the virtual environments that it lacks: its parts, side by side, would make the same ones.

    They are those of all checkouts.  If it cannot, the gates say why.
    """
    command = ["ansible-test", "sanity", "--prime-venvs"]
    quiet: t.Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with (tree.HOME / "prime.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(command, cwd=tree.copied("primed"), env=environment(), **quiet, check=False)


def run(name: str) -> tuple[str, bool, float, str]:
    gate = GATES[name]
    start = time.monotonic()
    if shutil.which(gate.command[0], path=environment()["PATH"]) is None:
        return name, False, 0, f"{gate.command[0]} is not installed; `make venv` installs it."
    done = subprocess.run(
        gate.command,
        cwd=tree.copied(name) if gate.copied else gate.cwd,
        env={**environment(), **gate.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return name, done.returncode == 0, time.monotonic() - start, done.stdout


def is_meant(gate: str, name: str) -> bool:
    return gate == name or gate.startswith(f"{name} ")


def main(names: list[str]) -> int:
    meant = {gate for gate in GATES if not names or any(is_meant(gate, name) for name in names)}
    unknown = {name for name in names if not any(is_meant(gate, name) for gate in GATES)}
    if unknown:
        print(f"No such gate: {', '.join(sorted(unknown))}. There are: {', '.join(GATES)}.")
        return 2
    tree.prepare()
    print(f"Target Pythons at hand: {', '.join(pythons.interpreters())}", flush=True)
    if any(GATES[name].copied for name in meant):
        prime()
    failed = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [pool.submit(run, name) for name in GATES if name in meant]
        for job in concurrent.futures.as_completed(jobs):
            name, passed, seconds, output = job.result()
            print(f"{'ok    ' if passed else 'FAILED'} {name:22} {seconds:6.1f} s", flush=True)
            if not passed:
                failed.append((name, output))
    for name, output in failed:
        print(f"\n--- {name} ---\n{output.rstrip()}")
    print(f"\n{len(jobs) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
