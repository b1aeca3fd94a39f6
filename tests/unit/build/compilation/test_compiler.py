# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pre and post objects of units, in a kernel tree of a few lines with the kernel's way of saving commands."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.compiler import Compiler
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import (
    apply_patches,
    parse_patch,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import Unit
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

A, B = Unit("net/a.o", "net/a.o", ("vmlinux",)), Unit("net/b.o", "net/b.o", ("vmlinux",))
TOP = """\
srctree := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
export srctree
build := -f $(srctree)/scripts/Makefile.build obj
Q := @
"""
BUILD = """\
%.o:
\t@mkdir -p $(dir $*)
\t@echo '$*' >>compiled
\t@cmd='$(CC) -Wp,-MMD,$*.d -fmacro-prefix-map=$(srctree)/= -O2 -g $(flags) -c -o $*.o $(srctree)/$*.c'; \\
\tsh -e -c "$$cmd" && \\
\tprintf 'cmd_$*.o := %s\\n\\nsource_$*.o := $(srctree)/$*.c\\n' "$$cmd" >$(dir $*).$(notdir $*).o.cmd
\t@test '$(notdir $*)' != odd || sed -i 's/-O2/-O0/' $(dir $*).odd.o.cmd
kasan/%: flags := -fsanitize=kernel-address --param asan-globals=1
"""
SOURCE = """\
#include "local.h"
static int helper(int x)
{
\treturn x * LOCAL;
}
int where(void) { return __LINE__; }
int f(int x)
{
\treturn helper(x) + 1;
}
"""
PATCH = """\
--- a/net/a.c
+++ b/net/a.c
@@ -1,4 +1,5 @@
 #include "local.h"
+
 static int helper(int x)
 {
 \treturn x * LOCAL;
@@ -6,5 +7,5 @@
 int where(void) { return __LINE__; }
 int f(int x)
 {
-\treturn helper(x) + 1;
+\treturn helper(x) + 2;
 }
"""


@pytest.fixture
def tree(tmp_path):
    source, path = tmp_path / "source", tmp_path / "trees" / "t"
    files = {"Makefile": TOP, "scripts/Makefile.build": BUILD, "net/a.c": SOURCE, "net/b.c": "int b;\n"}
    for name, text in {**files, "net/local.h": "#define LOCAL 7\n"}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    (path / "build").mkdir(parents=True)
    unused: dict[str, t.Any] = dict.fromkeys(
        ("version", "headers", "config", "vmlinuz", "modules", "compiler_version", "identity"), ""
    )
    return KernelTree(
        release="6.1.0",
        build_id="00",
        arch="x86_64",
        origin="directory",
        path=str(path),
        source=str(source),
        build=str(path / "build"),
        compiler="gcc",
        variables={},
        **unused,
    )


@pytest.fixture
def compiler(tree):
    return Compiler(tree, 2)


def patched(tree, tmp_path, text, name="patched"):
    files = apply_patches([parse_patch("fix.patch", text.encode())], Path(tree.source))
    return PatchedSource(Path(tree.source), tmp_path / name, files, ["net"])


def test_pre_objects_are_made_once(tree, compiler, tmp_path):
    first, second = compiler.pre([A, B])
    assert first.exact.read_bytes() == (tmp_path / "trees/t/build/net/a.o").read_bytes()
    assert ObjectFile(first.exact).section_of(".text").size
    assert ObjectFile(first.sectioned).section_of(".text.f").size
    assert second.unit is B
    assert compiler.pre([A]) == [first]
    assert (tmp_path / "trees/t/build/compiled").read_text().split() in (["net/a", "net/b"], ["net/b", "net/a"])
    assert sorted(path.name for path in first.exact.parent.iterdir()) == ["command.json", "exact.o", "sectioned.o"]


def test_post_differs_only_where_the_patch_does(tree, compiler, tmp_path):
    [pre] = compiler.pre([A])
    [path] = compiler.post([pre], patched(tree, tmp_path, PATCH))
    post = ObjectFile(path)
    before = ObjectFile(pre.sectioned)
    assert post.section_of(".text.where").data == before.section_of(".text.where").data
    assert post.section_of(".text.f").data != before.section_of(".text.f").data
    assert (tmp_path / "source/net/a.c").read_text() == SOURCE


def diff(path, old, new):
    return f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{old}\n+{new}\n"


def test_a_unit_is_compiled_again_only_if_something_that_it_reads_changes(tree, compiler, tmp_path):
    (tmp_path / "source/net/local.h").write_text("#define LOCAL 7\n")
    (tmp_path / "source/net/more.h").write_text("#define MORE 8\n")
    (tmp_path / "source/net/b.c").write_text("int b;\n")
    [pre] = compiler.pre([A])
    other = diff("net/b.c", "int b;", "int b = 2;")
    local = diff("net/local.h", "#define LOCAL 7", '#include "more.h"')
    more = diff("net/more.h", "#define MORE 8", "#define LOCAL 9")

    def post(*parts):
        text = "".join((PATCH, *parts))
        [path] = compiler.post([pre], patched(tree, tmp_path, text, f"patched-{len(list(tmp_path.iterdir()))}"))
        return path

    alone = post()
    assert post(other) == alone
    assert post(more) == alone  # it does not read this one yet
    with pytest.raises(RebootlessError):
        post(local)  # LOCAL is not defined any more
    with_both = post(local, more)
    assert with_both.read_bytes() != alone.read_bytes()
    assert post(local, more, other) == with_both
    nine = post(local, more.replace("LOCAL 9", "LOCAL 10"))
    assert nine not in (alone, with_both)
    assert post() == alone


def test_a_source_that_does_not_compile_is_told_by_line_and_hunk(tree, compiler, tmp_path):
    [pre] = compiler.pre([A])
    with pytest.raises(RebootlessError) as caught:
        compiler.post([pre], patched(tree, tmp_path, PATCH.replace("+ 2;", "+ two;")))
    error = caught.value
    assert error.code == "does_not_compile"
    assert error.details["errors"][0] == {
        "file": "net/a.c",
        "line": 10,
        "message": "\u2018two\u2019 undeclared (first use in this function)",
        "patch": "fix.patch",
        "hunk": 2,
    }
    assert "net/a.c:10:" in error.sentence
    assert "hunk 2 of fix.patch" in error.sentence
    assert list((tmp_path / "trees/t/posts").iterdir()) == []


def test_an_unpatched_source_that_does_not_compile(tree, compiler, tmp_path):
    (tmp_path / "source/net/a.c").write_text("int a = ;\n")
    with pytest.raises(RebootlessError) as caught:
        compiler.pre([A])
    assert caught.value.code == "pre_failed"
    assert not (tmp_path / "trees/t/objects-2").exists()


def test_a_unit_that_comes_out_otherwise_as_a_copy_is_refused(compiler, tmp_path):
    (tmp_path / "source/net/odd.c").write_text(SOURCE)  # its saved command is not the one that was run
    with pytest.raises(RebootlessError) as caught:
        compiler.pre([Unit("net/odd.o", "net/odd.o", ("vmlinux",))])
    assert caught.value.code == "not_reproducible"
    assert list((tmp_path / "trees/t/objects-2").iterdir()) == []


def test_objects_that_name_the_place_of_their_source(compiler, tmp_path):
    """Those of a kernel with KASAN, in the table of their variables: a copy's names another place."""
    for name in ("a", "odd"):
        (tmp_path / f"source/kasan/{name}.c").parent.mkdir(exist_ok=True)
        (tmp_path / f"source/kasan/{name}.c").write_text("int variable;\nint f(void) { return variable; }\n")
    [pre] = compiler.pre([Unit("kasan/a.o", "kasan/a.o", ("vmlinux",))])
    assert str(tmp_path / "source/kasan/a.c").encode() in pre.exact.read_bytes()
    assert ObjectFile(pre.sectioned).section_of(".text.f").size
    with pytest.raises(RebootlessError) as caught:
        compiler.pre([Unit("kasan/odd.o", "kasan/odd.o", ("vmlinux",))])
    assert caught.value.code == "not_reproducible"


HEADER_PATCH = """\
--- a/net/local.h
+++ b/net/local.h
@@ -1 +1,2 @@
+/* one more line */
-#define LOCAL 7
+#define LOCAL VALUE
"""


def test_a_patched_header_counts_for_the_unit_that_includes_it(tree, compiler, tmp_path):
    [pre] = compiler.pre([A])
    [path] = compiler.post([pre], patched(tree, tmp_path, HEADER_PATCH.replace("VALUE", "8")))
    before, post = ObjectFile(pre.sectioned), ObjectFile(path)
    assert post.section_of(".text.f").data != before.section_of(".text.f").data
    assert post.section_of(".text.where").data == before.section_of(".text.where").data


def test_an_error_in_a_header_is_told_by_its_line_and_hunk(tree, compiler, tmp_path):
    [pre] = compiler.pre([A])
    with pytest.raises(RebootlessError) as caught:
        compiler.post([pre], patched(tree, tmp_path, HEADER_PATCH.replace("VALUE", "(;")))
    [row, *_more] = caught.value.details["errors"]
    assert (row["file"], row["line"], row["hunk"]) == ("net/local.h", 2, 1)


def test_a_post_object_is_made_once_for_the_same_patched_files(tree, compiler, tmp_path):
    [pre] = compiler.pre([A])
    [first] = compiler.post([pre], patched(tree, tmp_path / "1", PATCH))
    made = first.stat().st_mtime_ns
    assert compiler.post([pre], patched(tree, tmp_path / "2", PATCH)) == [first]
    assert first.stat().st_mtime_ns == made
    assert compiler.post([pre], patched(tree, tmp_path / "3", PATCH.replace("+ 2;", "+ 3;"))) != [first]


def test_what_the_compiler_understands_is_read_before_and_after_the_patch(tree, compiler, tmp_path):
    made = compiler.pre([A, B])
    source = patched(tree, tmp_path, PATCH)
    compiler.post(made, source)
    texts = compiler.understood(made, source, lambda unit, *dumps: (unit, *dumps))
    unit, before, after = texts["net/a.o"]
    assert unit == "net/a.o" and list(texts) == ["net/a.o", "net/b.o"]
    assert "_1 + 1;" in before and "_1 + 2;" in after
    assert sorted(path.name for path in Path(tree.build, "net").glob("a*")) == ["a.d", "a.o"]


def test_a_unit_that_the_compiler_does_not_tell_of_is_refused(tree, compiler, tmp_path):
    [made] = compiler.pre([A])
    source = patched(tree, tmp_path, PATCH)
    compiler.post([made], source)
    Path(tree.source, "net/a.c").write_text("int broken\n")
    with pytest.raises(RebootlessError) as caught:
        compiler.understood([made], source, lambda unit, *dumps: unit)
    assert caught.value.code == "not_dumped" and "net/a.o" in caught.value.sentence
