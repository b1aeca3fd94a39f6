# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what a module returned with its RETURN."""

from __future__ import annotations

import ast
import typing as t

import yaml

from ansible_collections.rebootless.splice.tests.support.places import COLLECTION

MODULES = COLLECTION / "plugins" / "modules"
# Keys that Ansible itself adds.
COMMON = {"changed", "failed", "msg", "diff", "invocation", "warnings", "deprecations", "exception", "ansible_facts"}
TYPES: dict[str, t.Any] = {"str": str, "int": int, "float": (float, int), "bool": bool, "list": list, "dict": dict}


def constant(module: str, name: str) -> t.Any:
    """DOCUMENTATION, EXAMPLES or RETURN of a module, read."""
    for node in ast.parse((MODULES / f"{module}.py").read_text()).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == [name]:
            return yaml.safe_load(ast.literal_eval(node.value))
    raise AssertionError(f"{module} has no {name}")


def undocumented(module: str, result: dict[str, t.Any]) -> list[str]:
    """What is returned but not documented, or of another type than documented."""
    documented = constant(module, "RETURN")
    own = {key for key in result if key in documented or (key not in COMMON and not key.startswith("_"))}
    return list(_differences("", {key: result[key] for key in result if key in own}, documented))


def _differences(path: str, values: t.Any, documented: dict[str, t.Any]) -> t.Iterator[str]:
    for key, value in values.items():
        name = f"{path}.{key}".lstrip(".")
        if key not in documented:
            yield f"{name} is not documented"
            continue
        row = documented[key]
        if value is not None and not isinstance(value, TYPES[row["type"]]):
            yield f"{name} is documented as {row['type']} and is {value!r}"
        elif value is not None and "contains" in row:
            for item in value if isinstance(value, list) else [value]:
                yield from _differences(name, item, row["contains"])
    for key, row in documented.items():
        if row.get("returned") == "always" and key not in values:
            yield f"{path}.{key} is documented as always there".lstrip(".")
