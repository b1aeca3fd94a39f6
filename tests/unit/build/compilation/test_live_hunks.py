# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hunks make a difference, told by the compiler."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.live_hunks import (
    Compiled,
    idle_hunks,
    information,
)
from ansible_collections.rebootless.splice.tests.unit.build.compilation.test_compiler import (  # noqa: F401
    A,
    compiler,
    patched,
    tree,
)

FAR = "".join(f"/* {number} */\n" for number in range(10))
SOURCE = (
    '#include "local.h"\n#ifdef CONFIG_NOT\nint no(void) { return 1; }\n#endif\n'
    f"{FAR}int live(int x)\n{{\n\treturn x + LOCAL;\n}}\n{FAR}"
    '__attribute__((section(".modinfo"), used)) static const char alias[] = "alias=net-pf-15";\n'
    f"{FAR}int sum(int x)\n{{\n\treturn x + x;\n}}\n"
)
HEADER = f"#define LOCAL 7\n{FAR}#ifdef CONFIG_NOT\n#define NOT 1\n#endif\n"
EDITS = {
    "ifdef": ("return 1;", "return 2;", "hunk_not_compiled"),
    "comment": (
        "/* 4 */\n/* 5 */\n/* 6 */\n/* 7 */\n/* 8 */\n/* 9 */\nint sum",
        "/* four */\nint sum",
        "hunk_not_compiled",
    ),
    "alias": ("net-pf-15", "net-pf-16", "module_information"),
    "same code": ("x + x", "x * 2", "hunk_same_object"),
}


def diff(path, old, new):
    return "".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{path}", f"b/{path}"))


@pytest.fixture
def idle(tree, compiler, tmp_path):  # noqa: F811
    """Takes edits of the source and of the header; the rows of (file, hunk, code, reason)."""

    def ask(edits, header=HEADER):
        Path(tree.source, "net/a.c").write_text(SOURCE)
        Path(tree.source, "net/local.h").write_text(HEADER)
        new = SOURCE
        for old, text, _code in edits:
            assert new.count(old) == 1
            new = new.replace(old, text)
        source = patched(tree, tmp_path, diff("net/a.c", SOURCE, new) + diff("net/local.h", HEADER, header))
        pre_objects = compiler.pre([A])
        posts = compiler.post(pre_objects, source)
        units = [Compiled(pre, post) for pre, post in zip(pre_objects, posts, strict=True)]
        rows = idle_hunks(compiler, units, source, tmp_path / "without", 2)
        return [(row.path, row.hunk.hunk, row.code, row.reason) for row in rows]

    return ask


LIVE = ("return x + LOCAL;", "return x - LOCAL;", "")


@pytest.mark.parametrize("name", EDITS)
def test_a_hunk_without_effect_is_told_beside_one_that_is_live(idle, name):
    [(path, hunk, code, reason)] = idle([EDITS[name], LIVE])
    assert (path, hunk, code) == ("net/a.c", 1 if name == "ifdef" else 2, EDITS[name][2])
    assert "net/a.o" in reason and "fix.patch" in reason
    assert ("alias=net-pf-16" in reason) == (name == "alias")


def test_a_header_without_effect_is_told(idle):
    [(path, hunk, code, _reason)] = idle([LIVE], HEADER.replace("NOT 1", "NOT 2"))
    assert (path, hunk, code) == ("net/local.h", 1, "hunk_not_compiled")


def test_hunks_that_are_live_are_not_told(idle):
    assert idle([LIVE, ("return x + x;", "return x + 3;", "")], HEADER.replace("LOCAL 7", "LOCAL 8")) == []


def test_what_the_rest_does_not_compile_without_is_live(idle):
    header = HEADER.replace("#define LOCAL 7\n", "#define LOCAL 7\n#define MORE 1\n")
    assert idle([("return x + LOCAL;", "return x + MORE;", "")], header) == []


def test_information_of_a_module_is_read(idle, tree, compiler):  # noqa: F811
    idle([LIVE])
    [pre] = compiler.pre([A])
    assert information(pre.exact) == {"alias=net-pf-15"}
