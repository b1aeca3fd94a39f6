# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate refuses imports that are not drawn, circles, and imports inside functions."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.rebootless.splice.tests.gates import imports
from ansible_collections.rebootless.splice.tests.support.gate import write

PREFIX = "ansible_collections.rebootless.splice.plugins.module_utils"
DRAWING = """# A page

```rooms
floor  room         imports from

  2    modules      build/*
                    common
  1    build/host   common
  0    common
```
"""
GOOD = {
    "docs/architecture.md": DRAWING,
    "plugins/modules/one.py": f"from {PREFIX}._build.host import cache\nfrom {PREFIX}._common.errors import Refused\n",
    "plugins/module_utils/_build/host/__init__.py": "",
    "plugins/module_utils/_build/host/cache.py": f"from {PREFIX}._common import errors\n",
    "plugins/module_utils/_common/errors.py": "class Refused(Exception): pass\n",
}


def test_follows_the_drawing(tmp_path: pathlib.Path) -> None:
    assert list(imports.problems(write(tmp_path, GOOD))) == []


def test_an_arrow_that_is_not_drawn(tmp_path: pathlib.Path) -> None:
    up = {"plugins/module_utils/_common/names.py": f"import os\n\nfrom {PREFIX}._build.host import cache\n"}
    found = list(imports.problems(write(tmp_path, {**GOOD, **up})))
    assert "plugins/module_utils/_common/names.py:3: common imports from build/host, which is not drawn" in found


def test_a_circle_of_files_in_one_room(tmp_path: pathlib.Path) -> None:
    circle = {
        "plugins/module_utils/_common/errors.py": f"from {PREFIX}._common.names import NAME\n\nRefused = NAME\n",
        "plugins/module_utils/_common/names.py": f"from {PREFIX}._common import errors\n\nNAME = 1\n",
    }
    (line,) = list(imports.problems(write(tmp_path, {**GOOD, **circle})))
    assert line.startswith("a circle of files: ") and "_common.names" in line and "_common.errors" in line


def test_an_import_inside_a_function(tmp_path: pathlib.Path) -> None:
    hidden = {"plugins/module_utils/_common/names.py": "def now():\n    import time\n\n    return time.time()\n"}
    (line,) = list(imports.problems(write(tmp_path, {**GOOD, **hidden})))
    assert line.startswith("plugins/module_utils/_common/names.py:2: an import inside a function")


def test_an_import_inside_a_function_for_its_cost(tmp_path: pathlib.Path) -> None:
    dear = {"plugins/module_utils/_common/names.py": "def now():\n    import ssl  # cost: 40 ms\n\n    return ssl\n"}
    assert list(imports.problems(write(tmp_path, {**GOOD, **dear}))) == []


def test_a_hidden_circle_is_a_circle(tmp_path: pathlib.Path) -> None:
    """Inside a function an import makes a circle too, whether its line names a cost or not."""
    circle = {
        "plugins/module_utils/_common/errors.py": f"def late():\n    from {PREFIX}._common import names  # cost: 0\n",
        "plugins/module_utils/_common/names.py": f"from {PREFIX}._common import errors\n",
    }
    (line,) = list(imports.problems(write(tmp_path, {**GOOD, **circle})))
    assert line.startswith("a circle of files: ")


def test_a_room_that_is_not_drawn(tmp_path: pathlib.Path) -> None:
    room = {"plugins/module_utils/_build/cellar/wine.py": "", "plugins/module_utils/_build/cellar/__init__.py": ""}
    assert list(imports.problems(write(tmp_path, {**GOOD, **room}))) == [
        "docs/architecture.md: the room build/cellar is not drawn"
    ]


def test_a_room_that_is_no_more(tmp_path: pathlib.Path) -> None:
    page = DRAWING.replace("  0    common\n", "  0    common\n  0    attic\n")
    assert list(imports.problems(write(tmp_path, {**GOOD, "docs/architecture.md": page}))) == [
        "docs/architecture.md: the room attic is drawn, but no folder of plugins/ has it"
    ]


def test_a_drawing_with_an_arrow_up(tmp_path: pathlib.Path) -> None:
    page = DRAWING.replace("  0    common\n", "  0    common       build/host\n")
    up, _unused = list(imports.problems(write(tmp_path, {**GOOD, "docs/architecture.md": page})))
    assert "common (floor 0) imports from build/host (floor 1), which is not below it" in up


def test_an_arrow_that_no_file_follows(tmp_path: pathlib.Path) -> None:
    alone = {**GOOD, "plugins/module_utils/_build/host/cache.py": ""}
    assert list(imports.problems(write(tmp_path, alone))) == [
        "docs/architecture.md: build/host imports from common as it is drawn, but not in any file"
    ]


NAMES = "plugins/module_utils/_common/names.py"
BY_TEXT = "an import by a text, which names no room"
NOT_DRAWN = f"{NAMES}:1: common imports from build/host, which is not drawn"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("from .._build.host import cache\n", NOT_DRAWN),
        ("from .._build.host.cache import Cache\n", NOT_DRAWN),
        ("from ..\\\n    _build.host import cache\n", NOT_DRAWN),
        (
            "import importlib\n\nerrors = importlib.import_module('.errors', __package__)\n",
            f"{NAMES}:3: an import by a text, which names no room",
        ),
        ("errors = __import__('errors')\n", f"{NAMES}:1: an import by a text, which names no room"),
        ("import importlib as names\n\nfind = names.import_module\n", f"{NAMES}:3: {BY_TEXT}"),
        ("from importlib import import_module as find\n", f"{NAMES}:1: {BY_TEXT}"),
        ("found = list(map(__import__, ['errors']))\n", f"{NAMES}:1: {BY_TEXT}"),
        ("import sys\n\nerrors = sys.modules['errors']\n", f"{NAMES}:3: {BY_TEXT}"),
        ("exec('import errors')\n", f"{NAMES}:1: {BY_TEXT}"),
        ("import runpy\n\nerrors = runpy.run_module('errors')\n", f"{NAMES}:3: {BY_TEXT}"),
        (
            "import ansible_collections.rebootless as all_of_it\n",
            f"{NAMES}:1: imports ansible_collections.rebootless, which is no module of plugins/",
        ),
        (
            "from ansible_collections.rebootless.splice import plugins\n",
            f"{NAMES}:1: imports ansible_collections.rebootless.splice.plugins, which is no module of plugins/",
        ),
        (
            "import ansible_collections.rebootless.splice.tests.support as support\n",
            f"{NAMES}:1: imports ansible_collections.rebootless.splice.tests.support, which is no module of plugins/",
        ),
        ("import json\n", f"{NAMES}:1: json is for module_utils._common.strict_json alone"),
        ("from json import dumps as write\n", f"{NAMES}:1: json is for module_utils._common.strict_json alone"),
        ("import elftools.elf\n", f"{NAMES}:1: common may not import elftools.elf"),
        (
            "try:\n    from yaml import load\nexcept ImportError:\n    pass\n",
            f"{NAMES}:2: common may not import yaml.load",
        ),
    ],
)
def test_other_ways_to_import(tmp_path: pathlib.Path, source: str, problem: str) -> None:
    assert problem in list(imports.problems(write(tmp_path, {**GOOD, NAMES: source})))


@pytest.mark.parametrize(
    "source",
    ["from ..._common import errors\n", f"from {PREFIX}._common import errors\nimport {PREFIX}._common.errors\n"],
)
def test_an_import_that_the_archive_for_the_boot_would_lack(tmp_path: pathlib.Path, source: str) -> None:
    """``_common/imports.py`` follows only one way to write an import."""
    (line,) = list(imports.problems(write(tmp_path, {**GOOD, "plugins/module_utils/_build/host/cache.py": source})))
    assert line.endswith(": an import that is not `from ansible_collections...`")


def test_a_circle_through_the_code_of_a_package(tmp_path: pathlib.Path) -> None:
    """Python runs it before any module of the package."""
    code = {"plugins/module_utils/_common/__init__.py": f"from {PREFIX}._common import errors\n"}
    (line,) = list(imports.problems(write(tmp_path, {**GOOD, **code})))
    assert line.startswith("a circle of files: ")


def test_code_of_a_folder_itself(tmp_path: pathlib.Path) -> None:
    """What stands in an ``__init__.py`` is in a room like any other code."""
    code = f"from {PREFIX}._build.host import cache\n"
    found = list(imports.problems(write(tmp_path, {**GOOD, "plugins/module_utils/_cellar/__init__.py": code})))
    assert found == ["docs/architecture.md: the room module_utils/_cellar is not drawn"]
