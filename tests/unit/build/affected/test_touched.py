# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What patches touch: units of their own, units through includes, embedded code, or nothing in this kernel."""

from __future__ import annotations

import difflib
import typing as t
from pathlib import Path

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.touched import touched_by
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import parse_patch
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import UnitMap
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

SOURCES = {
    "include/x.h": "",
    "include/y.h": "#include <x.h>\n",
    "include/boot.h": "",
    "include/unused.h": "",
    "include/table.h": "",
    "include/shared.h": "",
    "net/a.c": "#include <x.h>\n",
    "net/b.c": "#include <y.h>\n#include <table.h>\n",
    "net/off.c": "#include <unused.h>\n",
    "kernel/part.c": "",
    "kernel/whole.c": '#include "part.c"\n',
    "arch/arm/z.c": "",
    "arch/x86/boot/early.c": "#include <x.h>\n#include <boot.h>\n",
    "arch/x86/entry/vdso/clock.c": "#include <shared.h>\n",
    "arch/x86/entry/vdso/vma.c": "",
    "include/words.h": "",
    "lib/gen_table.c": "#include <table.h>\n#include <words.h>\n",
    "lib/Makefile": "hostprogs := gen_table\n",
    "include/image.h": "",
    "arch/x86/boot/tools/build.c": "#include <image.h>\n",
    "arch/x86/boot/Makefile": "hostprogs := tools/build\n",
}
UNITS = UnitMap.from_scan(
    [
        *(
            "vmlinux net/a.o kernel/whole.o arch/x86/entry/vdso/vma.o",
            "module net/b.o",
            "vmlinux arch/x86/boot/early.o",
        ),
    ],
    {"kernel/part.c": ["kernel/whole.c"]},
)


class Tree(KernelTree):
    """A tree whose units are given."""

    units = UNITS


@pytest.fixture
def tree(tmp_path):
    for path, text in SOURCES.items():
        file = tmp_path / "source" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"/* the beginning */\n{text}")
    (tmp_path / "build").mkdir()
    names = ("release", "build_id", "version", "origin", "headers", "config", "vmlinuz", "modules")
    rest: dict[str, t.Any] = dict.fromkeys((*names, "compiler", "compiler_version", "identity"), "")
    places: dict[str, t.Any] = {name: str(tmp_path / name) for name in ("source", "build")}
    return Tree(path=str(tmp_path / "tree"), arch="x86_64", variables={}, **places, **rest)


def patched(path):
    """The file's text before and after."""
    return tuple(f"/* the {what} */\n{SOURCES[path]}" for what in ("beginning", "new beginning"))


def touched(tree, *paths):
    lines = {path: [text.splitlines(keepends=True) for text in patched(path)] for path in paths}
    text = "".join(
        "".join(difflib.unified_diff(old, new, f"a/{path}", f"b/{path}")) for path, (old, new) in lines.items()
    )
    return touched_by(tree, (parse_patch("fix.patch", text.encode()),), 2)


def names(units):
    return [unit.name for unit in units]


def graphs(tmp_path):
    return list((tmp_path / "tree").glob("includes-*.json"))


def test_a_source_touches_its_own_unit(tree, tmp_path):
    """No graph of includes is needed for that: it takes a while to make."""
    found = touched(tree, "net/a.c", "net/b.c")
    assert names(found.own) == ["net/a.o", "net/b.o"]
    assert (found.through, found.embedded, found.reached) == ((), (), frozenset())
    assert [file.path for file in found.files] == ["net/a.c", "net/b.c"]
    assert found.not_applicable == () and found.directories == set()
    assert graphs(tmp_path) == []


def test_a_header_touches_what_includes_it_directly_or_not(tree, tmp_path):
    found = touched(tree, "include/x.h")
    assert (found.own, names(found.through)) == ((), ["net/a.o", "net/b.o"]), "not what only boots"
    assert found.reached == {"include/x.h", "include/y.h", "net/a.c", "net/b.c", "arch/x86/boot/early.c"}
    assert found.directories == {"include", "net", "arch/x86/boot"}
    assert found.includes.graph.direct(["include/x.h"]) == {"include/y.h", "net/a.c", "arch/x86/boot/early.c"}
    assert len(graphs(tmp_path)) == 1


def test_a_unit_that_is_patched_itself_is_not_asked_for_its_header(tree):
    found = touched(tree, "include/x.h", "net/a.c")
    assert (names(found.own), names(found.through)) == (["net/a.o"], ["net/b.o"])
    assert found.reason_file("net/a.o") == "net/a.c"
    assert found.reason_file("net/b.o") == "include/x.h"


def test_a_source_that_another_includes_touches_that(tree):
    found = touched(tree, "kernel/part.c")
    assert (found.own, names(found.through)) == ((), ["kernel/whole.o"])


def test_embedded_sources_are_told_apart(tree):
    found = touched(tree, "include/shared.h")
    assert (found.own, found.through, found.embedded) == ((), (), ("arch/x86/entry/vdso/clock.c",))
    assert [file.path for file in found.files] == ["include/shared.h"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("include/boot.h", "boot_only"),
        ("include/image.h", "boot_only"),
        ("include/unused.h", "not_built"),
        ("net/off.c", "not_built"),
        ("arch/arm/z.c", "other_architecture"),
    ],
)
def test_what_has_no_part_in_this_kernel(tree, path, code):
    found = touched(tree, path, "net/a.c")
    assert [(row.file, row.code) for row in found.not_applicable] == [(path, code)]
    assert ([file.path for file in found.files], found.through) == (["net/a.c"], ())


def test_what_the_source_has_already(tree):
    path = "include/x.h"
    Path(tree.source, path).write_text(patched(path)[1])
    found = touched(tree, path)
    assert [(row.file, row.code) for row in found.not_applicable] == [(path, "already_applied")]
    assert (found.files, found.own, found.through, found.reached) == ((), (), (), frozenset())


@pytest.mark.parametrize("path", ["include/table.h", "include/words.h"], ids=["units as well", "a program alone"])
def test_what_the_build_generates_from_a_header_is_refused(tree, path):
    with pytest.raises(RebootlessError) as caught:
        touched(tree, path, "include/x.h")
    assert caught.value.code == "generated_source_changes"
    assert "lib/gen_table.c" in caught.value.sentence


def test_nothing_is_generated_anew_from_a_header_that_has_the_change_already(tree):
    path = "include/words.h"
    Path(tree.source, path).write_text(patched(path)[1])
    found = touched(tree, path)
    assert [(row.file, row.code) for row in found.not_applicable] == [(path, "already_applied")]


# ---- files that the source does not have


def parsed(*paths, prefix=("a/", "b/")):
    text = "".join(
        f"--- {prefix[0]}{p}\n+++ {prefix[1]}{p}\n@@ -1 +1,2 @@\n /* the beginning */\n+new\n" for p in paths
    )
    return (parse_patch("fix.patch", text.encode()),)


def test_half_a_fix_is_refused_with_where_the_file_may_be(tree):
    with pytest.raises(RebootlessError) as refused:
        touched_by(tree, parsed("net/a.c", "mm/b.c", "mm/nowhere.c"), 2)
    error = refused.value
    assert (error.code, error.details["file"]) == ("file_not_found", "mm/b.c")
    assert [(row["file"], row["now_at"]) for row in error.details["files"]] == [
        ("mm/b.c", ["net/b.c"]),
        ("mm/nowhere.c", []),
    ]
    assert "net/b.c" in error.sentence and "ignore_missing" in error.next_step


def test_a_file_that_the_operator_lists_may_be_missing(tree):
    found = touched_by(tree, parsed("net/a.c", "mm/b.c"), 2, ("mm/b.c", "net/a.c"))
    assert [(row.file, row.code) for row in found.not_applicable] == [("mm/b.c", "ignored_missing")]
    assert names(found.own) == ["net/a.o"]


def test_what_no_patch_changes_cannot_be_listed(tree):
    with pytest.raises(RebootlessError) as refused:
        touched_by(tree, parsed("net/a.c"), 2, ("net/c.c",))
    assert (refused.value.code, refused.value.details["files"]) == ("not_in_patch", ["net/c.c"])


@pytest.mark.parametrize("path", ["Documentation/gone.rst", "arch/arm/gone.c", "tools/gone.c"])
def test_what_no_kernel_of_this_kind_has_is_not_looked_for(tree, path):
    found = touched_by(tree, parsed("net/a.c", path), 2)
    assert [row.file for row in found.not_applicable] == [path]


def test_a_diff_without_a_component_to_strip_is_called_that(tree):
    with pytest.raises(RebootlessError) as refused:
        touched_by(tree, parsed("net/a.c", prefix=("", "")), 2)
    assert (refused.value.code, refused.value.details["file"]) == ("bad_patch", "net/a.c")


def adding(path):
    """A patch that adds a file, one that changes it, and one that deletes it."""
    return [
        parse_patch(f"{name}.patch", f"--- {old}\n+++ {new}\n{hunk}".encode())
        for name, old, new, hunk in (
            ("add", "/dev/null", f"b/{path}", "@@ -0,0 +1 @@\n+/* the beginning */\n"),
            ("change", f"a/{path}", f"b/{path}", "@@ -1 +1,2 @@\n /* the beginning */\n+new\n"),
            ("delete", f"a/{path}", "/dev/null", "@@ -1 +0,0 @@\n-/* the beginning */\n"),
        )
    ]


@pytest.mark.parametrize("path", ["net/new.h", "net/new.c", "kernel/new.S"])
@pytest.mark.parametrize("later", [1, 2], ids=["changed", "deleted"])
def test_what_an_earlier_patch_of_a_series_adds_is_no_missing_file(tree, path, later):
    series = adding(path)
    with pytest.raises(RebootlessError) as refused:
        touched_by(tree, [series[0], series[later]], 2)
    assert (refused.value.code, refused.value.details["patch"]) == ("new_file_not_supported", "add.patch")


def test_a_file_that_a_later_patch_of_a_series_adds_is_missing_before(tree):
    add, change, _delete = adding("net/new.c")
    with pytest.raises(RebootlessError) as refused:
        touched_by(tree, [change, add], 2)
    assert (refused.value.code, refused.value.details["patch"]) == ("file_not_found", "change.patch")
