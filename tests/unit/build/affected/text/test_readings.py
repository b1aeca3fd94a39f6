# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which changes of a header leave a unit alone, by what its unpatched source reads and uses; gcc has the last word."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.declarations import Comparer
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.item_names import change
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.macros import MacroTable
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.readings import FLAGS, Reading
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import compare
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile

MACROS = """\
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define UNIQUE(name) PASTE(name, __COUNTER__)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)
#define COUNT(...) COUNT_(__VA_ARGS__, 3, 2, 1)
#define COUNT_(a, b, c, n, ...) n
#define DECLARE_TRACE(name) \\
    extern int key_##name; \\
    static inline int trace_##name(void) { return key_##name; }
"""
HEADER = f"""\
{MACROS}\
#define renamed other_name
struct inner {{ int a; }};
struct outer {{ struct inner first; int second; }};
struct alone {{ int a; }};
enum kind {{ ONE, TWO }};
enum state {{ UP, DOWN }};
int extended(int);
extern int stops(void);
extern int unused(void);
static inline int leaf(int x) {{ return x + 1; }}
#define LEAF(x) leaf(x)
static inline int lone(int x) {{ return x + 1; }}
static inline int lonely(int x) {{ static int UNIQUE(number); return lone(x); }}
static inline int made_thing(void) {{ return 1; }}
static inline int renamed(void) {{ return 1; }}
#define TESTED
#define ASKED 1
#define COMPARED 1
#define SHORT (4 - 3)
#define GONE 1
#undef GONE
#define FREE 7
#define DROPPED 7
#define CALLED(x) ((x) + 1)
#define BARE(x) ((x) + 1)
#ifdef NOWHERE
#define ELSEWHERE 1
#endif
DECLARE_TRACE(event)
"""
SOURCE = """\
#include "h.h"
int size = sizeof(struct outer);
int embedded(struct outer *o) { return o->second; }
int kinds(void) { return TWO; }
int calls(void) { return stops() + extended(1); }
int through_macro(int x) { return LEAF(x); }
int pasted(void) { return PASTE(made, _thing)(); }
int other(void) { return other_name(); }
#ifdef TESTED
int tested;
#endif
#if defined(ASKED)
int asked;
#endif
#if COMPARED > 0 && SHORT
int compared;
#endif
#if UNKNOWN
int unknown;
#endif
int called = CALLED(1);
int (BARE)(int x) { return x; }
int GONE;
const char text[] = TEXT(STRING);
int counted = COUNT(SEVERAL);
#define DROP(x) 0
int dropped = DROP(DROPPED);
int traced(void) { return trace_event(); }
static int __attribute__((used)) UNIQUE(mark);
"""


def printed(directory, header):
    directory.mkdir(exist_ok=True)
    (directory / "h.h").write_text(header)
    (directory / "x.c").write_text(SOURCE)
    command = ["gcc", "-w", *FLAGS, "-D__COUNTER__=0", "-E", "x.c"]
    return subprocess.run(command, cwd=directory, check=True, stdout=subprocess.PIPE).stdout


def compiled(directory):
    command = ["gcc", "-O2", "-w", "-ffunction-sections", "-fdata-sections", "-c", "x.c", "-o", "x.o"]
    return (
        ObjectFile(directory / "x.o") if subprocess.run(command, cwd=directory, check=False).returncode == 0 else None
    )


@pytest.fixture
def left_alone(tmp_path):
    """Whether an edit of the header leaves the unit alone; where it does, gcc has to agree."""

    def judge(old, new):
        assert HEADER.count(old) == 1
        before = Reading.of(printed(tmp_path / "before", HEADER), Comparer())
        post = HEADER.replace(old, new)
        table = MacroTable.of([HEADER.encode()])
        found = change(HEADER.encode(), post.encode(), table)
        alone = found is not None and before.is_left_alone(found)
        printed(tmp_path / "after", post)
        pre, after = compiled(tmp_path / "before"), compiled(tmp_path / "after")
        differs = after is None or bool(compare(pre, after)) or _symbols(pre) != _symbols(after)
        assert not (alone and differs)
        return alone, differs

    return judge


def _symbols(found):
    return sorted(name.rstrip("0123456789.") for name in (symbol.name for symbol in found.symbols))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("static inline int lone(int x) { return x + 1;", "static inline int lone(int x) { return x + 2;"),
        ("static inline int lone(", "static inline int one_more(int x) { return x; }\nstatic inline int lone("),
        ("struct alone { int a; }", "struct alone { int a, b; }"),
        ("enum state { UP, DOWN }", "enum state { SIDE, UP, DOWN }"),
        ("extern int unused(void)", "extern int unused(void) __attribute__((noreturn))"),
        ("extern int unused(void);\n", ""),
        ("#define FREE 7", "#define FREE 8"),
        ("#define DROPPED 7", "#define DROPPED 8"),  # an argument that nothing is made of
        ("#define FREE 7\n", ""),
        # What it declares counts up, and so the names of what comes behind it are others.
        ("static inline int lonely(int x) { static int UNIQUE(number); ", "static inline int lonely(int x) { "
         "static int UNIQUE(a), UNIQUE(number); "),
    ],
)  # fmt: skip
def test_a_unit_is_left_alone_by_what_it_does_not_use(left_alone, old, new):
    assert left_alone(old, new) == (True, False)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("struct inner { int a; }", "struct inner { int a, b; }"),  # the size of a struct that it is a part of
        ("enum kind { ONE, TWO }", "enum kind { NONE, ONE, TWO }"),
        ("int stops(void)", "int stops(void) __attribute__((noreturn))"),
        ("int stops(void)", 'int stops(void) __asm__("elsewhere")'),
        ("int extended(int)", "float extended(float)"),
        ("int leaf(int x) { return x + 1", "int leaf(int x) { return x + 2"),  # used only through a macro
        ("int made_thing(void) { return 1", "int made_thing(void) { return 2"),  # put together
        ("int renamed(void) { return 1", "int renamed(void) { return 2"),  # another function, by a macro
        ("#define renamed other_name\n", ""),
        ("#define TESTED\n", ""),
        ("#define ASKED 1\n", ""),
        ("#define COMPARED 1", "#define COMPARED 0"),
        ("(4 - 3)", "(4 - 4)"),
        ("#define CALLED(x) ((x) + 1)", "#define CALLED(x) ((x) + 2)"),
        ("#define BARE(x) ((x) + 1)", "#define BARE bare"),  # its bare name was no use of it
        ("#undef GONE\n", ""),
        ("#define FREE 7", "#define FREE 7\n#define UNKNOWN 1"),  # asked for in a way that nothing tells
        ("#define FREE 7", "#define FREE 7\n#define STRING ring"),
        ("#define FREE 7", "#define FREE 7\n#define SEVERAL 1, 2"),
        ("#ifdef NOWHERE\n#define ELSEWHERE 1", "#define UNKNOWN 1\n#ifdef NOWHERE\n#define ELSEWHERE 1"),
        ("extern int stops", "#pragma redefine_extname stops elsewhere\nextern int stops"),
        ("int unused(void);", 'int unused(void);\nasm(".globl more; more = 1");'),
        ("int unused(void);", 'int unused(void);\nextern int calls(void) __attribute__((section("x")));'),
        ("int unused(void);", 'int unused(void);\nextern int again(void) __attribute__((alias("calls")));'),
        ("static inline int trace_##name(void) { return key_##name", "static inline int trace_##name(void) { "
         "return 1 + key_##name"),
        ("DECLARE_TRACE(event)", "DECLARE_TRACE(event)\nstatic int always __attribute__((used)) = 1;"),
    ],
)  # fmt: skip
def test_a_unit_is_not_left_alone_by_what_it_uses(left_alone, old, new):
    assert left_alone(old, new) == (False, True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("#define FREE 7", "#define MORE 7\n#define FREE 7"),  # a new macro: its name may stand anywhere
        ("#define FREE 7\n#define DROPPED 7", "#define DROPPED 7\n#define FREE 8"),  # before it stood its name alone
        ("#define FREE 7", "#ifdef TESTED\n#define FREE 8\n#endif"),
        ("#define FREE 7", "#define FREE(x) 7"),
    ],
)
def test_what_cannot_be_told_counts_as_used(left_alone, old, new):
    assert left_alone(old, new)[0] is False


def test_a_reading_is_kept_as_it_is(tmp_path):
    reading = Reading.of(printed(tmp_path / "before", HEADER), Comparer())
    assert Reading.from_bytes(reading.to_bytes()) == reading
    assert b"\nTESTED\n" in reading.macros and b"\nleaf\n" in reading.used and b"\nlone\n" not in reading.used
