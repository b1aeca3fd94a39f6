# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns each module's EXAMPLES into a playbook; Ansible must accept it, and so must ansible-lint."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

import tree
import yaml

PLAYBOOKS = tree.WORK / "examples"


def constant(path: pathlib.Path, name: str) -> str:
    """The string that a module assigns to ``name``."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and [name] == [getattr(target, "id", None) for target in node.targets]:
            return ast.literal_eval(node.value)
    raise SystemExit(f"{path.name} has no {name}")


def playbook(module: pathlib.Path) -> pathlib.Path:
    tasks = yaml.safe_load(constant(module, "EXAMPLES"))
    used = [task for task in tasks if f"rebootless.splice.{module.stem}" in task]
    if not used:
        raise SystemExit(f"No example of {module.stem} uses it")
    path = PLAYBOOKS / f"{module.stem}.yml"
    play = {"name": f"Examples of {module.stem}", "hosts": "all", "gather_facts": False, "tasks": tasks}
    path.write_text("---\n" + yaml.safe_dump([play], sort_keys=False, indent=2, width=120))
    return path


def main() -> int:
    PLAYBOOKS.mkdir(parents=True, exist_ok=True)
    playbooks = [str(playbook(module)) for module in sorted((tree.TREE / "plugins" / "modules").glob("*.py"))]
    commands = [
        ["ansible-playbook", "-i", "localhost,", "--syntax-check", *playbooks],
        ["ansible-lint", "--offline", "--nocolor", "--profile", "production", "-x", "yaml", *playbooks],
    ]
    return max(subprocess.run(command, cwd=PLAYBOOKS, check=False).returncode for command in commands)


if __name__ == "__main__":
    sys.exit(main())
