# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sources a change of a header can concern, by their text; gcc has the last word."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.includes import IncludeGraph
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.item_names import change, names
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.macros import MacroTable
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.screen import Screen
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.source_items import pieces
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

CORE = "include/core.h"
FILES = {
    "include/attributes.h": """\
#define __cold __attribute__((__cold__))
#define __after_init __attribute__((__section__("ro")))
#define inline inline __attribute__((__unused__))
#define BIT(n) (1U << (n))
#define DEFINE_NUMBER(name, value) int name = value
#define PASTE(a, b) a##b
#define MADE(x) PASTE(made_, x)
#define GETTER(x) static int get_##x(void) { return 1; }
#define WITH_TAG(tag, ...) struct tag { __VA_ARGS__ } tag
""",
    CORE: """\
#ifndef CORE
#define CORE
#include "attributes.h"
struct thing {
    int a;  /* thing, not 'another */
    WITH_TAG(inner, int x;);
};
enum color { RED = BIT(1), GREEN };
extern int counter __after_init;
int prototype(struct thing *t, int more);
#define MACRO(x) ((x) + 1)
#ifdef CONFIG_X
static inline int leaf(struct thing *t) { return t->a; }
#else
static inline int leaf(struct thing *t)
{
    return t->a + 2;
}
#endif
static inline int middle(struct thing *t)
{
#ifdef CONFIG_X
    return 1;
#else
    return leaf(t);
#endif
}
static inline int made_thing(void) { return 1; }
static inline int get_thing(void) { return 1; }
static inline int alone(void) { return 1; }
#ifdef __ASSEMBLY__
.macro UNBALANCED {
.endm
#endif
#endif
""",
    "include/wrapper.h": '#include "core.h"\n#define WRAPPED(t) middle(t)\nint elsewhere(enum color c);\n',
    "include/hot.h": '#include "core.h"\nstatic int always = MACRO(1);\n',
    "include/made.h": '#include "core.h"\n#define CALL_MADE() MADE(thing)()\n',
    "unit/leaf.c": '#include "core.h"\nint f(struct thing *t) { return leaf(t); }\n',
    "unit/wrapped.c": '#include "wrapper.h"\nint g(void *t) { return WRAPPED(t); }\n',
    "unit/hot.c": '#include "hot.h"\nint h(void) { return always; }\n',
    "unit/macro.c": '#include "core.h"\nint i(void) { return MACRO(2); }\n',
    "unit/enum.c": '#include "wrapper.h"\nint j(void) { return elsewhere(GREEN); }\n',
    "unit/counter.c": '#include "core.h"\nint k(void) { return counter; }\n',
    "unit/thing.c": '#include "core.h"\nint l(struct thing *t) { return t->inner.x; }\n',
    "unit/made.c": '#include "made.h"\nint m(void) { return CALL_MADE(); }\n',
    "unit/pasted.c": '#include "core.h"\n#define TWO(a) get_##a\nint n(void) { return TWO(thing)(); }\n',
    "unit/none.c": '#include "wrapper.h"\nint o(void) { return 1; }\n',
    "unit/other.c": '#include "attributes.h"\nint p(void) { return 1; }\n',
}
SOURCES = [name for name in FILES if name.endswith(".c")]


def write(directory, files):
    for path, text in files.items():
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return directory


def assembled(directory, files):
    """What gcc makes of each source."""
    root = write(directory, files)
    command = ["gcc", "-O2", "-w", "-I../include", "-S", *(name.removeprefix("unit/") for name in SOURCES)]
    subprocess.run(command, cwd=root / "unit", check=True)
    return {name: (root / name).with_suffix(".s").read_text() for name in SOURCES}


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return assembled(tmp_path_factory.mktemp("before"), FILES)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write(tmp_path_factory.mktemp("source"), FILES)


@pytest.fixture
def screen(source, before, tmp_path):
    """What may change by an edit of a header; gcc has to agree that nothing else does."""
    graph = IncludeGraph.scan(source, write(tmp_path / "build", {"x/y.h": ""}), "x86")

    def look(old, new, path=CORE):
        assert FILES[path].count(old) == 1
        post = FILES[path].replace(old, new)
        screened = Screen([source], SOURCES, graph, Cache(tmp_path / "kept")).look(
            {path: (FILES[path].encode(), post.encode())}
        )
        after = assembled(tmp_path / "after", {**FILES, path: post})
        changed = {name for name in SOURCES if before[name] != after[name]}
        if screened.files is None:
            return set(SOURCES), changed
        concerned = graph.reached_from(screened.files) & set(SOURCES)
        assert changed <= concerned
        return concerned, changed

    return look


def units(*names):
    return {f"unit/{name}.c" for name in names}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # what nothing mentions, not even in other words
        ("{ return 1; }\n#ifdef __ASSEMBLY__", "{ return 2; }\n#ifdef __ASSEMBLY__", units()),
        ("int prototype(struct thing *t, int more);", "long prototype(struct thing *t, int more);", units()),
        ("int prototype(", "extern int fresh __after_init;\nstruct late;\nint prototype(", units()),
        # the function itself, and through another function and a macro of another header
        ("t->a + 2", "t->a + 3", units("leaf", "wrapped")),
        ("#ifdef CONFIG_X\nstatic", "#ifndef CONFIG_X\nstatic", units("leaf", "wrapped")),
        # a mention that goes by no name counts for all that includes the file
        ("((x) + 1)", "((x) + 2)", units("macro", "hot")),
        ("GREEN };", "BLUE = 7, GREEN };", units("enum")),
        ("BIT(1), GREEN", "BIT(2), GREEN", units("enum")),
        ("extern int counter", "extern short counter", units("counter")),
        ("int made_thing(void) { return 1; }", "int made_thing(void) { return 2; }", units("made")),
        ("int get_thing(void) { return 1; }", "int get_thing(void) { return 2; }", units("pasted")),
    ],
)
def test_what_a_change_concerns(screen, old, new, expected):
    concerned, changed = screen(old, new)
    assert concerned == expected
    assert changed or not expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("int prototype(struct", "static int variable = 1;\nint prototype(struct"),
        ("int prototype(struct", "DEFINE_NUMBER(variable, 1);\nint prototype(struct"),
        ("int prototype(struct", "static DEFINE_NUMBER(variable, 1);\nint prototype(struct"),
        ("int prototype(struct", "#define NEW(a) int a = 1\nstatic NEW(variable);\nint prototype(struct"),
        ("int prototype(struct", '#include "attributes.h"\nint prototype(struct'),
        ("int prototype(struct", "#pragma pack(1)\nint prototype(struct"),
        ("int a;  ", "int b; int a;  "),  # its definition has a macro that defines another type
        ("#endif\n#endif\n", "#endif\n}\n#endif\n"),
    ],
)
def test_what_goes_by_no_name_concerns_all_that_includes_it(screen, old, new):
    if "}\n#endif" in new:
        assert change(FILES[CORE].encode(), FILES[CORE].replace(old, new).encode(), TABLE) is None
    else:
        concerned, _changed = screen(old, new)
        assert concerned >= set(SOURCES) - units("other")


TABLE = MacroTable.of(text.encode() for name, text in FILES.items() if name.endswith(".h"))


def test_macros_by_what_they_do():
    assert {b"__cold", b"__after_init", b"inline"} <= TABLE.transparent
    assert {b"DEFINE_NUMBER", b"GETTER"} <= TABLE.emitting
    assert {b"BIT", b"MACRO"} <= TABLE.callable and b"inline" not in TABLE.callable
    assert b"WITH_TAG" in TABLE.tagging
    assert MacroTable.from_json(TABLE.to_json()) == TABLE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("static inline __cold int f(int x) { return x; }", {"f"}),
        ("static inline int f(int x)\n{\n#ifdef A\n\treturn 1;\n#endif\n}", {"f"}),
        ("extern int counter __after_init;", {"counter"}),
        ("int f(int x) __cold;", {"f"}),
        ("enum { A = BIT(3), B };", {"A", "B"}),
        ("typedef struct { int a; } name_t;", {"name_t"}),
        ("struct later;", set()),
        ("DECLARE_STATIC_KEY_FALSE(key);", {"key"}),
        ("DECLARE_STATIC_CALL(call, function);", {"call"}),
        ("DECLARE_PER_CPU(struct a, variable);", {"variable"}),
        ("#define X(a) f(a)", {"X"}),
        ("#define X f", {"X"}),
        ("return f(1, 2);", None),
        ("static DEFINE_NUMBER(a, 1);", None),
        ("static BIT(a, 1);", None),
        ("int variable;", None),
        ("enum { BIT(1), A };", None),
        ("struct a { WITH_TAG(b, int c;); };", None),
        ("static inline int f(void)\n{\n#include <x.h>\n}", None),
        ("#include <x.h>", None),
        ("#if X", None),
    ],
)
def test_names_of_a_piece(text, expected):
    text += "\n#endif\n" if text.startswith("#if") else ""
    piece = next(piece for piece in pieces(text.encode()) or [] if text.startswith("#") or not piece.kind)
    by = names(piece, TABLE)
    assert (None if by is None else {name.decode() for name in by}) == expected


def test_pieces_carry_their_conditions_and_leave_out_assembler():
    text = b"#ifdef A\nint a;\n#elif B\nint b;\n#else\nint c;\n#endif\n"
    text += b"#ifndef __ASSEMBLY__\nint d;\n#else\n.macro {\n#endif\n"
    found = {piece.text: piece.conditions for piece in pieces(text) or [] if not piece.kind}
    assert found == {
        b"int a;": ((b"ifdef A",),),
        b"int b;": ((b"ifdef A", b"elif B"),),
        b"int c;": ((b"ifdef A", b"elif B", b"else"),),
        b"int d;": ((b"ifndef __ASSEMBLY__",),),
    }


@pytest.mark.parametrize("text", ["int f(\n#ifdef A\nint a)\n#else\nint b)\n#endif\n{ }", "} int a;", "#if A\nint a;"])
def test_a_text_whose_pieces_are_not_clear_has_none(text):
    assert pieces(text.encode()) is None


def test_a_source_that_cannot_be_searched_is_an_error(source, tmp_path):
    graph = IncludeGraph.scan(source, write(tmp_path / "build", {"x/y.h": ""}), "x86")
    copy = write(tmp_path / "copy", FILES)
    screen = Screen([copy], SOURCES, graph, Cache(tmp_path / "kept"))
    edit = {CORE: (FILES[CORE].encode(), FILES[CORE].replace("t->a + 2", "t->a").encode())}
    assert "unit/leaf.c" in (screen.look(edit).files or ())
    (copy / "unit/leaf.c").unlink()
    with pytest.raises(RebootlessError) as caught:
        screen.look(edit)
    assert caught.value.code == "scan_failed"
