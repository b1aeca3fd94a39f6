# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that no source holds, since macros make them: who uses them has to be found nevertheless; gcc says who does."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.includes import IncludeGraph
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.pasted_names import Makers, Site
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.screen import Screen
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache

# What the unit is about -> the function that changes, and how the unit comes to call it.
CASES = {
    "deep": ("g1_g2_g3_g4_g5_deep", "L5(deep)"),
    "split": ("one_s_two_s_three", "SPLIT(one, two_s_three)"),
    "pair": ("sh_pair", "PAIR(sh_, much_longer_, pair)"),
    "through": ("th_rough", "THROUGH(th_, rough)"),
    "alias": ("al_ias", "GLUE(al_, ias)"),
    "passed": ("pas_sed", "CALL_2(CAT, pas_, sed)"),
    "number": ("v3", "EXPANDED(v, NUMBER)"),
    "computed": ("samesame", "COMPUTED(nothing)"),
    "picked": ("pi_cked", "PICK(2)(pi_, cked)"),
    "variadic": ("va_riadic", "REST(va_, riadic)"),
    "counted": ("counted_7", "NESTED(counted)"),
    "part": ("mm_pp_art", "OUTER_PART(PART(art))"),
    "sized": ("addl", "SIZED(add)"),
    "empty": ("xend", "EMPTY(, end)"),
    "handed": ("hh_oo_ver", "HANDED(OWN(ver))"),
    "alone": ("alone", "alone"),
}
MACROS = """\
#define L1(x) g1_##x
#define L2(x) L1(g2_##x)
#define L3(x) L2(g3_##x)
#define L4(x) L3(g4_##x)
#define L5(x) L4(g5_##x)
#define SPLIT(a, b) a##_s_##b
#define PAIR(a, b, n) a##n() + b##n
#define THROUGH(p, q) PAIR(p, known_, q)
#define CAT(a, b) a##b
#define GLUE CAT
#define CALL_2(m, a, b) m(a, b)
#define EXPANDED(a, b) CAT(a, b)
#define NUMBER 3
#define ALWAYS(x) same
#define COMPUTED(x) EXPANDED(ALWAYS(x), ALWAYS(x))
#define JOIN_2(a, b) a##b
#define PICK(n) JOIN_##n
#define REST(a, ...) a##__VA_ARGS__
#define SEVEN 7
#define SIZED(a, ...) a##l##__VA_ARGS__
#define EMPTY(a, b) a##x##b
#define HAND(x) hh_##x
#define HANDED(x) HAND(x)
#define NESTED(x) EXPANDED(EXPANDED(x, _), SEVEN)
static inline int much_longer_pair(void) { return 0; }
static inline int known_rough(void) { return 0; }
"""
FILES = {
    f"unit/{name}.c": f'#include "core.h"\nint f(void) {{ return {use}(); }}\n' for name, (_made, use) in CASES.items()
}
FILES["unit/handed.c"] = "#define OWN(x) oo_##x\n" + FILES["unit/handed.c"]
# A source that another one includes makes a part of a name.
FILES["unit/part.c"] = "#define PART(x) pp_##x\n"
FILES["unit/whole.c"] = """\
#include "core.h"
#include "part.c"
#define INNER_PART(x) mm_##x
#define OUTER_PART(x) INNER_PART(x)
int f(void) { return OUTER_PART(PART(art))(); }
"""
UNITS = {name: f"unit/{'whole' if name == 'part' else name}.c" for name in CASES}


def header(returned):
    return MACROS + "".join(
        f"static inline int {function}(void) {{ return {returned.get(name, 1)}; }}\n"
        for name, (function, _use) in CASES.items()
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("pastes")
    for path, text in {**FILES, "include/core.h": header({})}.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    (root / "build" / "x").mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def screen(source, tmp_path_factory):
    graph = IncludeGraph.scan(source, source / "build", "x86")
    kept = Cache(tmp_path_factory.mktemp("kept"))

    def look(returned):
        changes = {"include/core.h": (header({}).encode(), header(returned).encode())}
        screened = Screen([source], sorted(UNITS.values()), graph, kept).look(changes)
        assert screened.files is not None
        return graph.reached_from(screened.files) & set(UNITS.values())

    return look


@pytest.mark.parametrize("name", CASES)
def test_who_uses_a_name_that_macros_make_is_found(screen, source, name):
    def preprocessed(text):
        command = ["gcc", "-E", "-P", "-I../include", "-imacros", "/dev/null", UNITS[name].removeprefix("unit/")]
        (source / "include/core.h").write_text(text)
        return subprocess.run(command, cwd=source / "unit", check=True, capture_output=True, text=True).stdout

    text = preprocessed(header({}))
    assert text.partition("int f(void)")[2].count(f"{CASES[name][0]}()") == 1
    assert UNITS[name] in screen({name: 2})


def test_not_everything_is_said_to_use_a_name(screen):
    """Where nothing can be said of what a macro makes it counts; the others do not."""
    assert screen({"alone": 2}) == {UNITS["alone"], UNITS["passed"], UNITS["computed"], UNITS["picked"]}


def test_what_a_source_makes_for_itself_is_not_given_to_others():
    made = [Site("a.c", b"M", rb"m_(\w*)"), Site("b.c", b"N", rb"n_(\w*)"), Site("c.h", b"O", rb"o_(\w*)")]
    makers = Makers(made, {b"x"}, {"c.h"})
    assert makers.of(b"m_x") == [made[0]]
    assert makers.of(b"m_n_x") == []
    assert makers.of(b"m_o_x") == [made[0]]
    assert makers.of(b"o_o_o_o_o_x") == [made[2]]
    assert makers.of(b"m_y") == []
    assert makers.of(b"o_m_x") == [Site("a.c", b"", rb"o_(\w*)")]
