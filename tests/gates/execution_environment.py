# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-builder finds what an execution environment needs, and that is what ``make`` installs."""

from __future__ import annotations

import re
import subprocess
import sys

import tree
import yaml

NAME = re.compile(r"[A-Za-z0-9_-]+")


def main() -> int:
    command = ["ansible-builder", "introspect", "--sanitize", str(tree.WORK)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = yaml.safe_load(done.stdout) if done.returncode == 0 else None
    if not found or not found.get("python") or not found.get("system"):
        print(f"ansible-builder finds no requirements:\n{done.stdout}{done.stderr}")
        return 1
    builder = {match.group() for match in map(NAME.match, found["python"]) if match}
    wanted = (tree.TREE / "requirements.in").read_text().splitlines()
    # The image brings its own ansible-core.
    make = {match.group() for match in map(NAME.match, wanted) if match} - {"ansible-core"}
    if builder != make:
        print(f"meta/ee-requirements.txt and requirements.in differ: {', '.join(sorted(builder ^ make))}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
