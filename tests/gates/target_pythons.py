# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the target's information modules here, by Ansible, with every Python at hand that a target may have."""

from __future__ import annotations

import subprocess
import sys

import pythons
import tree

INVENTORY = tree.WORK / "target_pythons.ini"
MODULES = ("kernel_info", "update_info")


def main() -> int:
    hosts = [
        f"python{version} ansible_connection=local ansible_python_interpreter={path}"
        for version, path in pythons.interpreters().items()
    ]
    INVENTORY.write_text("\n".join(hosts) + "\n")
    commands = [["ansible", "all", "-i", str(INVENTORY), "-m", f"rebootless.splice.{name}"] for name in MODULES]
    return max(subprocess.run(command, check=False).returncode for command in commands)


if __name__ == "__main__":
    sys.exit(main())
