# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of the collection that a module needs."""

from __future__ import annotations

import ast
import pathlib

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import imports
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot import program

COLLECTION = "ansible_collections.rebootless.splice"
UTILS = f"{COLLECTION}.plugins.module_utils"
PLUGINS = pathlib.Path(__file__).parents[3] / "plugins"


def test_modules_and_what_is_in_modules():
    source = (
        f"from {UTILS}._target.kernel import facts, sysfs\n"
        f"from {UTILS}._common.errors import RebootlessError\n"
        f"from {UTILS}._target.kernel.modinfo import (\n    module_build_id,\n    read_modinfo,\n)\n"
        f"def late():\n    from {UTILS}._target import update as updates\n"
        "import os\nfrom pathlib import Path\n"
    )
    wanted = (
        "_target.kernel.facts",
        "_target.kernel.sysfs",
        "_common.errors",
        "_target.kernel.modinfo",
        "_target.update",
    )
    assert imports.imported(source) == [f"{UTILS}.{name}" for name in wanted]


def parsed(source):
    """The imports as Python's own parser sees them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(COLLECTION):
            inside = [f"{node.module}.{row.name}" for row in node.names]
            yield from [name for name in inside if imports._source(name) is not None] or [node.module]


def test_no_import_of_the_collection_is_missed():
    sources = {path: path.read_text() for path in PLUGINS.rglob("*.py")}
    differ = [path for path, source in sources.items() if set(imports.imported(source)) != set(parsed(source))]
    assert differ == [] and len(sources) > 150


def test_what_a_program_needs():
    names = set(imports.sources(program.__name__))
    assert {program.__name__, f"{UTILS}._target.proof", f"{UTILS}._common.matcher"} <= names
    assert not any("._build" in name or "._fleet" in name for name in names)


def test_a_module_that_is_missing():
    with pytest.raises(ModuleNotFoundError) as refused:
        imports.sources(f"{UTILS}._target.missing")
    assert refused.value.name == f"{UTILS}._target.missing"
