# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate refuses circles among the helper module's files."""

from __future__ import annotations

import pathlib

from ansible_collections.rebootless.splice.tests.gates import kmod
from ansible_collections.rebootless.splice.tests.support.gate import write

GOOD = {
    "kmod/internal.h": '#include "matcher/match.h"\nint rbl_low(void);\nint rbl_high(void);\n',
    "kmod/matcher/match.h": "struct rbl_program;\n",
    "kmod/high.c": '#include "internal.h"\n\nint rbl_high(void)\n{\n\treturn rbl_low();\n}\n',
    "kmod/low.c": '#include "internal.h"\n\n/* rbl_high() uses this */\nint rbl_low(void)\n{\n\treturn 0;\n}\n',
}


def test_one_direction(tmp_path: pathlib.Path) -> None:
    assert list(kmod.problems(write(tmp_path, GOOD))) == []


def test_a_circle_of_calls(tmp_path: pathlib.Path) -> None:
    """A function that is handed on counts like one that is called."""
    low = '#include "internal.h"\n\nint rbl_low(void)\n{\n\treturn run(rbl_high);\n}\n'
    (line,) = list(kmod.problems(write(tmp_path, {**GOOD, "kmod/low.c": low})))
    assert line.startswith("a circle of calls: ") and "kmod/low.c" in line and "kmod/high.c" in line


def test_a_circle_of_includes(tmp_path: pathlib.Path) -> None:
    (line,) = list(kmod.problems(write(tmp_path, {**GOOD, "kmod/matcher/match.h": '#include "../internal.h"\n'})))
    assert line.startswith("a circle of includes: ") and "kmod/internal.h" in line


def test_a_definition_in_another_style(tmp_path: pathlib.Path) -> None:
    """What it cannot follow does not pass for being used by no file."""
    low = '#include "internal.h"\n\nint\n  rbl_low(void) { return 0; }\n'
    assert list(kmod.problems(write(tmp_path, {**GOOD, "kmod/low.c": low}))) == [
        "kmod/high.c: no definition of rbl_low() is recognised",
        "kmod/low.c: no definition of rbl_low() is recognised",
    ]


def test_functions_of_headers_macros_and_members(tmp_path: pathlib.Path) -> None:
    header = "#define rbl_each(x) for (;;)\nstatic inline int rbl_twice(int x)\n{\n\treturn 2 * x;\n}\n"
    high = '#include "internal.h"\n\nint rbl_high(void)\n{\n\trbl_each(x)\n\t\ta->rbl_b(rbl_twice(1));\n}\n'
    assert list(kmod.problems(write(tmp_path, {**GOOD, "kmod/matcher/match.h": header, "kmod/high.c": high}))) == []
