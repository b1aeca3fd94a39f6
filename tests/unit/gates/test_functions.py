# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate refuses functions that are too long to be seen at once."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.rebootless.splice.tests.gates import functions
from ansible_collections.rebootless.splice.tests.support.gate import write


def source(lines: int) -> str:
    return "class One:\n    @property\n    async def two(self):\n" + "        self.three = 3\n" * (lines - 1)


def test_a_function_that_is_not_too_long(tmp_path: pathlib.Path) -> None:
    files = {"plugins/action/one.py": source(functions.LONGEST), "tests/unit/test_one.py": source(99)}
    assert list(functions.problems(write(tmp_path, files))) == []


@pytest.mark.parametrize("lines", [41, 99])
def test_a_function_that_is_too_long(tmp_path: pathlib.Path, lines: int) -> None:
    (line,) = list(functions.problems(write(tmp_path, {"plugins/action/one.py": source(lines)})))
    assert line == f"plugins/action/one.py:3: two has {lines} lines, more than 40"
