# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role says its arguments in ``meta/argument_specs.yml``, and its defaults are the ones it says."""

from __future__ import annotations

import pathlib
import sys
import typing as t

import tree
import yaml


def load(path: pathlib.Path) -> t.Any:
    return yaml.safe_load(path.read_text()) if path.exists() else None


def problems(role: pathlib.Path) -> t.Iterator[str]:
    specification = load(role / "meta" / "argument_specs.yml") or {}
    entry = specification.get("argument_specs", {}).get("main")
    if not entry:
        yield "meta/argument_specs.yml does not describe its main entry point"
        return
    options = entry.get("options", {})
    defaults = load(role / "defaults" / "main.yml") or {}
    for name in sorted(set(defaults) - set(options)):
        yield f"the default {name} is no documented argument"
    for name, option in options.items():
        if not name.startswith(f"{role.name}_"):
            yield f"the argument {name} does not begin with the role's name"
        if not option.get("description"):
            yield f"the argument {name} has no description"
        if name in defaults and "default" in option and defaults[name] != option["default"]:
            yield f"the argument {name} is documented with another default than it has"
        if name not in defaults and "default" in option:
            yield f"the argument {name} is documented with a default that it does not have"
        if name not in defaults and not option.get("required") and "default" not in option:
            yield f"the argument {name} is neither required nor has it a default"


def main() -> int:
    found = [
        f"{role.name}: {problem}"
        for role in sorted((tree.TREE / "roles").iterdir() if (tree.TREE / "roles").exists() else [])
        for problem in problems(role)
    ]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
