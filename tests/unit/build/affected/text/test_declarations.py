# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which differences of preprocessed sources can be seen in objects; gcc has the last word."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.declarations import (
    Comparer,
    _aligned,
    split,
)

HEADER = """\
typedef unsigned int u32;
typedef void (*callback)(int);
struct unused { int a; enum { ONE, TWO } kind; };
struct busy { u32 a; };
struct opaque;
extern int elsewhere;
extern struct busy *const table[4];
extern __attribute__((section("x"))) __typeof__(struct busy *) current_one;
int prototype(struct unused *u, int (*f)(void));
static inline __attribute__((__gnu_inline__)) __attribute__((__unused__)) int leaf(struct unused *u) { return u->a; }
static inline int middle(struct unused *u) { return leaf(u) + 1; }
static inline int live(struct busy *u) { return u->a + elsewhere; }
"""
SOURCE = """\
#pragma GCC diagnostic push
static int number = 5;
static const char text[] = "} ; { \\" brief(";
int entry(struct busy *u) { if (u) { return live(u); } return number + text[1] + ';'; }
struct busy pair[2] = { { 1 }, { 2 } }, *more = pair;
asm(".globl entry2; entry2 = entry");
"""
WHOLE = HEADER + SOURCE


def compiled(directory, text):
    (directory / "x.i").write_text(text)
    subprocess.run(["gcc", "-O2", "-w", "-c", "x.i", "-o", "x.o"], cwd=directory, check=True)
    return (directory / "x.o").read_bytes()


@pytest.fixture
def verdict(tmp_path):
    """What the comparison says of an edit; where it says that the objects are the same, gcc has to agree."""

    def judge(old, new, text=WHOLE):
        assert text.count(old) == 1
        post = text.replace(old, new)
        same = Comparer().same_object(text.encode(), post.encode())
        if same:
            assert compiled(tmp_path, text) == compiled(tmp_path, post)
        return same

    return judge


def test_declarations_are_split_at_the_top_level():
    found = [text.decode() for text in split(WHOLE.encode())]
    assert "\n".join(found).split() == WHOLE.split()
    assert found[0] == "typedef unsigned int u32;"
    assert found[-2].startswith("struct busy pair") and found[-2].endswith("*more = pair;")
    assert [text for text in found if text.startswith("#")] == ["#pragma GCC diagnostic push"]
    assert len(found) == len(HEADER.splitlines()) + len(SOURCE.splitlines())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return u->a; }", "return u->a + 1; }"),
        ("return leaf(u) + 1;", "return leaf(u) + 2;"),
        ("struct unused { int a;", "struct unused { int b; int a;"),
        ("ONE, TWO", "ONE, TWO, THREE"),
        ("int prototype(struct unused *u,", "int prototype(struct unused *u, int more,"),
        ("struct opaque;\n", "struct opaque; struct another;\n"),
        ("typedef unsigned int u32;\n", "struct busy; enum kind_of; typedef unsigned int u32;\n"),
        ("struct opaque;\n", "struct opaque;\nint named(void);\nextern typeof(named) key;;\n"),
        ("struct opaque;\n", "extern int one_more;\nint g(void);\ntypedef struct opaque *o_t;\n"),
        ("table[4]", "table[5]"),
        ("typedef void (*callback)(int);", "typedef void (*callback)(long);"),
        ("__typeof__(struct busy *) current_one", "__typeof__(struct unused *) current_one"),
        ("struct opaque;\n", "struct opaque;\nstatic inline int fresh(void) { return 7; }\n"),
    ],
)
def test_what_nothing_uses_leaves_no_trace(verdict, old, new):
    assert verdict(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("u->a + elsewhere", "u->a - elsewhere"),
        ("struct busy { u32 a;", "struct busy { u32 b; u32 a;"),
        ("typedef unsigned int u32", "typedef unsigned long u32"),
        ("number = 5", "number = 6"),
        ("extern int elsewhere;", "extern long elsewhere;"),
        ("struct opaque;\n", "struct opaque;\nint tentative;\n"),
        ("struct opaque;\n", "struct opaque;\nint (*tentative)(void);\n"),
        ("struct opaque;\n", "struct opaque;\nvoid f(void) { }\n"),
        ("struct opaque;\n", "struct opaque;\nstatic __attribute__((used)) inline int f(void) { return 1; }\n"),
        ("struct opaque;\n", "struct opaque;\nstatic inline __attribute__((constructor)) void f(void) { }\n"),
        ("struct opaque;\n", 'struct opaque;\nint f(void) __attribute__((alias("entry")));\n'),
        ("struct opaque;\n", 'struct opaque;\nasm(".globl x");\n'),
        ("struct opaque;\n", "struct opaque;\n#pragma pack(1)\n"),
        ("struct opaque;\n", "struct { int x; } variable;\n"),
        ("GCC diagnostic push", "GCC optimize 0"),
        ('"} ;', '"}  ;'),
    ],
)
def test_what_may_leave_a_trace_counts(verdict, old, new):
    assert not verdict(old, new)


def test_a_use_by_what_counts_makes_a_declaration_count(verdict):
    text = WHOLE.replace("return live(u);", "return live(u) + middle((void *)u);")
    assert not verdict("return u->a; }", "return u->a + 1; }", text)
    assert not verdict("struct unused { int a;", "struct unused { int b; int a;", text)


@pytest.mark.parametrize(
    ("pre", "post"),
    [
        ("int a;\nint b;", "int a;\nint a;\nint b;"),  # what is common before overlaps what is common after
        ("int a;\nint b;", "int b;"),
        ("int a;\n#pragma b\nint c;", "int a;\n#pragma bc\nint c;"),
        ("int a;\n#pragma b", "int a;\n#pragma bc"),
        ("int a;\nint b", "int a;\nint b;"),
        ('char *a = ";";\nint b;', 'char *a = ";;";\nint b;'),
        ("struct a { int b; };\nint c;", "struct a { int b; } d;\nint c;"),
        ("int a;", ""),
    ],
)
def test_what_two_sources_begin_and_end_with_is_found_by_declarations(pre, post):
    for one, other in ((pre, post), (post, pre)):
        before, ours, theirs, after = _aligned(one.encode(), other.encode())
        assert before + ours + after == list(split(one.encode()))
        assert before + theirs + after == list(split(other.encode()))


def test_what_two_sources_have_in_common_is_read_once():
    other = HEADER.replace("return leaf(u) + 1;", "return leaf(u) + 2;")
    before, [ours], [theirs], after = _aligned(HEADER.encode(), other.encode())
    assert (len(before), len(after)) == (10, 1)
    assert ours.replace(b"1", b"2") == theirs
