# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units that include a patched header are compiled only if they differ, and asked only once; gcc has the last word."""

from __future__ import annotations

import json
import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected import known_units, quick_objects
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.narrower import Narrower
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.includes import IncludeGraph
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import (
    apply_patches,
    read_patch,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import UnitMap

HEADER = """\
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define UNIQUE(name) static const int __attribute__((used, section("notes"))) PASTE(name, __COUNTER__)

struct part { int a; };
struct whole { struct part part; int b; };
static inline int active(int x) { return x + 3; }
static inline int unused(int x) { return x + 7; }
#define WARN(x) warned(x, __LINE__)
void warned(int, int);
static inline int warns(int x) { if (x) WARN(x); return x; }
"""
SOURCES = {
    "lib/calls.c": '#include "h.h"\nint calls(int x) { return active(x); }\n',
    "lib/both.c": '#include "h.h"\nint both(int x) { return active(x) + unused(x); }\n',
    "lib/whole.c": '#include "h.h"\nUNIQUE(note);\nint whole(struct whole *w) { return w->b; }\n',
    "lib/warns.c": '#include "h.h"\nint w(int x) { return warns(x); }\n',
    "lib/skips.c": '#ifdef CONFIG_NOT\n#include "h.h"\n#endif\nint skips(void) { return 1; }\n',
    "lib/linked.c": '#include "../linked/h.h"\nint linked(int x) { return unused(x); }\n',
    "lib/static.c": '#include "h.h"\nint one(void) { static int n; return n += active(1); }\n'
    "int two(void) { static int n; return n -= active(2); }\n",
    "lib/code.S": '#ifdef CONFIG_NOT\n#include "h.h"\n#endif\n.globl code\ncode:\n\tret\n',
}
STATIC = "static inline int unused(int x)"


class Tree(KernelTree):
    """A tree whose units are given."""

    units = UnitMap.from_scan(["vmlinux " + " ".join(f"{path[:-2]}.o" for path in SOURCES)], {})


@pytest.fixture
def tree(tmp_path):
    source, build, place = tmp_path / "source", tmp_path / "build", tmp_path / "tree"
    commands = {}
    for path, text in {**SOURCES, "real/h.h": HEADER}.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
        options = f"-Wp,-MMD,x.d -I{source}/real -O2 -fno-reorder-functions"
        target = f"{path[:-2]}.o"
        commands[target] = [f"gcc {options} -c -o {target} {source}/{path}", f"{source}/{path}"]
    (source / "linked").symlink_to("real")
    (build / "x").mkdir(parents=True)
    (build / "x/y.h").write_text("")
    place.mkdir()
    (place / "commands.json").write_text(json.dumps(commands))
    names = ("release", "build_id", "version", "origin", "headers", "config", "vmlinuz", "modules")
    rest: dict[str, t.Any] = dict.fromkeys((*names, "compiler", "compiler_version", "identity"), "")
    return Tree(path=str(place), arch="x86_64", source=str(source), build=str(build), variables={}, **rest)


def counting(run, runs):
    def counted(command, build):
        runs.append(command)
        return run(command, build)

    return counted


@pytest.fixture
def found(tree, tmp_path, monkeypatch):
    """What is found of each unit for a header, and how often the compiler was run for it."""
    runs: list[str] = []
    for module in (known_units, quick_objects):
        monkeypatch.setattr(module, "run_saved", counting(module.run_saved, runs))

    def ask(new, screen=True, compiler_alone=False):
        work = Path(tempfile.mkdtemp(dir=tmp_path))
        (work / "a").write_text(HEADER)
        (work / "b").write_text(new)
        command = ["diff", "-u", "--label", "a/real/h.h", "--label", "b/real/h.h", "a", "b"]
        (work / "fix.patch").write_bytes(subprocess.run(command, cwd=work, check=False, stdout=subprocess.PIPE).stdout)
        files = apply_patches([read_patch(str(work / "fix.patch"))], Path(tree.source))
        patched = PatchedSource(Path(tree.source), work / "patched", files, ["lib", "real"])
        graph = IncludeGraph.scan(Path(tree.source), Path(tree.build), "x86")
        narrower = Narrower(tree, patched, graph, 2)
        units = list(tree.units.units.values())
        if screen:
            narrower.concerned(units)
        runs.clear()
        verdicts = {unit.name[4:-2]: verdict for unit, verdict in narrower.ask(units, compiler_alone)}
        return verdicts, len(runs)

    return ask


def differing(verdicts):
    """Without the unit that reads its header through a link, which always counts as one."""
    return {name for name, verdict in verdicts.items() if verdict == "differs" and name != "linked"}


def replaced(old, new):
    assert HEADER.count(old) == 1
    return HEADER.replace(old, new)


def test_what_a_unit_does_not_read_or_use_is_told_without_the_patched_source(found):
    verdicts, _runs = found(replaced("x + 7", "x + 8"))
    assert verdicts == {
        "calls": "unused",
        "both": "differs",
        "whole": "unused",
        "warns": "unused",
        "static": "unused",
        "skips": "not_read",
        "code": "not_read",
        "linked": "differs",  # through a link
    }
    again, runs = found(replaced("x + 7", "x + 9"))
    assert again == verdicts
    assert runs < 10  # only the two that use it


def test_the_compiler_agrees(found):
    for old, new in (
        ("x + 7", "x + 8"),
        ("int a;", "int a, c;"),
        ("x + 3", "3 + x"),
        (STATIC, f"int more(int);\n{STATIC}"),
    ):
        by_names, compiler = (found(replaced(old, new), compiler_alone=alone)[0] for alone in (False, True))
        assert differing(compiler) == differing(by_names)


def test_a_part_changes_the_whole(found):
    verdicts, _runs = found(replaced("struct part { int a; }", "struct part { int a, more; }"))
    assert differing(verdicts) == {"whole"}


def test_code_that_comes_out_the_same_is_compiled_once(found):
    verdicts, first = found(replaced("x + 3", "3 + x"))
    assert {verdicts[name] for name in ("calls", "both", "static")} == {"same_code"}
    again, second = found(replaced("x + 3", "3 + x"))
    assert again == verdicts
    assert second == 0 < first


def test_lines_that_move_do_not_count(found):
    verdicts, _runs = found(replaced(STATIC, f"\n\n/* more */\n{STATIC}"), compiler_alone=True)
    assert verdicts["warns"] == "same_source"
    verdicts, _runs = found(replaced(STATIC, f"\n\n/* more */\n{STATIC}"))
    assert verdicts["warns"] == "unused"
    assert verdicts["code"] == "not_read"


def test_a_line_that_moves_inside_a_warning_counts(found):
    verdicts, _runs = found(replaced("{ if (x) WARN(x); return x; }", "{\n\tif (x)\n\t\tWARN(x);\n\treturn x; }"))
    assert verdicts["warns"] == "differs"
    assert verdicts["calls"] == "unused"


def test_names_that_count_up_make_no_difference(found):
    """The new function takes a number, so ``note0`` is ``note1``."""
    verdicts, _runs = found(replaced(STATIC, f"UNIQUE(another);\n{STATIC}"), screen=False)
    assert verdicts["skips"] == "not_read"
    assert verdicts["both"] in ("same_code", "differs")
    counted = f"static inline int counts(void) {{ static int PASTE(x, __COUNTER__); return 1; }}\n{STATIC}"
    verdicts, _runs = found(replaced(STATIC, counted), screen=False)
    assert verdicts["whole"] == "unused"


def test_a_header_that_is_not_understood_is_asked_of_all_that_read_it(found):
    verdicts, _runs = found(replaced(STATIC, f"#pragma pack(1)\nstruct packed {{ int x; }};\n{STATIC}"))
    assert {name for name, verdict in verdicts.items() if verdict == "not_read"} == {"skips", "code"}
    assert {name for name, verdict in verdicts.items() if verdict == "unused"} == set()
