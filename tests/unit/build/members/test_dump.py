# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions as gcc prints them."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.members import facts
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.dump import Function, read_dump
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.facts import Fact
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.rows import rows_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.values import Member
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

TEXT = r"""
struct inner { int a; int b; };
struct foo { unsigned long flags; int state; struct inner in[4]; union { struct { int deep; }; long other; }; };
extern void set_bit(long, unsigned long *), take(struct foo *, int (*)(struct foo *, long)), *kmalloc(unsigned long);
static int twice(int (*call)(struct foo *, long), struct foo *p) { return call(p, 1) + call(p, 2); }
int assembler(struct foo *p)
{
  asm volatile("nop\n\tnop; # (\"%0\")\n" : "+m" (p->state) : : "memory");
  p->state = 3;
  return twice(0, p);
}
int scopes(struct foo *p, int k)
{
  if (k) { struct inner *x = &p->in[1]; x->a = 4; return x->b; }
  { struct foo *x = p; x->in[k].b = 5; return x->deep == 6; }
}
int volatiles(struct foo *p)
{
  *(volatile int *)&p->state = 7;
  switch (*(volatile int *)&p->state) { case 8: return 1; case 9 ... 11: return 2; }
  p->flags = (p->flags & ~0xfUL) | 0x20;
  p->flags &= ~0x40UL;
  p->state = k_of(p) ? 12 : 13;
  return 0;
}
"""


@pytest.fixture(scope="module")
def functions(tmp_path_factory) -> dict[str, Function]:
    directory = tmp_path_factory.mktemp("dump")
    source, output = directory / "text.c", directory / "dump"
    source.write_text(TEXT.replace("k_of(p)", "p->in[2].a"), encoding="utf-8")
    options = ["-O2", "-g0", "-flto", f"-fdump-tree-ssa-gimple={output}", "-S", "-o", "/dev/null"]
    subprocess.run(["gcc", *options, str(source)], check=True, cwd=directory)
    return read_dump(pathlib.Path(output).read_text(encoding="utf-8"))


def facts_of(functions: dict[str, Function], name: str) -> set[tuple[str, str, object]]:
    rows = rows_of(functions, lambda *_bits: [])[name]
    return {(row.fact.what, row.fact.member.path, row.fact.number) for row in rows if row.fact.number is not None}


def test_names_parameters_and_types(functions):
    assert set(functions) == {"twice", "assembler", "scopes", "volatiles"}
    assert functions["twice"].parameters == ("call", "p")
    assert functions["scopes"].parameter("k_3(D)") == 1 and functions["scopes"].parameter("k_3") is None
    assert functions["assembler"].type_of("p_1(D)") == "struct foo *"


@pytest.mark.parametrize("text", ["int __GIMPLE (ssa)\nf (int x)\n", ";; Function f (f, funcdef_no=0)\n"])
def test_a_form_that_is_not_known_is_refused(text):
    with pytest.raises(RebootlessError) as caught:
        read_dump(text)
    assert caught.value.code == "dump_not_read"


def test_a_unit_without_functions_has_none():
    assert read_dump("") == {}


def test_assembler_code_with_ends_of_lines_is_one_statement(functions):
    code = [s for s in functions["assembler"].statements if s.startswith("__asm__")]
    assert len(code) == 1
    assert (facts.STORE, "state", 3) in facts_of(functions, "assembler")


def test_variables_of_one_name_in_two_scopes_are_not_mixed_up(functions):
    assert functions["scopes"].type_of("x_5") == ""
    assert not any(fact[2] == 4 for fact in facts_of(functions, "scopes"))


def test_volatile_accesses_switches_and_whole_words(functions):
    assert facts_of(functions, "volatiles") >= {
        (facts.STORE, "state", 7),
        (facts.EQUAL, "state", 8),
        (facts.CLEAR, "flags", 0xF),
        (facts.SET, "flags", 0x20),
        (facts.CLEAR, "flags", 0x40),
        (facts.STORE, "state", 12),
        (facts.STORE, "state", 13),
        (facts.EQUAL, "in[2].a", 0),
    }
    rows = rows_of(functions, lambda *_bits: [])["volatiles"]
    assert Fact(facts.STORE, Member("struct foo", "state"), 7) in {row.fact for row in rows if row.living}


def test_many_meetings_of_ways_are_looked_at_once_each():
    """The number of ways through 80 meetings of two is beyond counting."""
    meetings = [f"  o_{n} = __PHI (__BB2: o_{n - 1}, __BB3: o_{n - 2}, __BB4: o_{n + 1});" for n in range(3, 83)]
    lines = [
        "void __GIMPLE (ssa)\nmany (struct foo * o)\n{\n  __BB(2):",
        "  o_1 = kmalloc (8);\n  o_2 = o_1;",
        *meetings,
        "  o_82->state = 3;\n  _200 = o_82->flags;\n  _201 = _200 & 4ul;\n  o_1->in[1].a = 5;\n  return;\n}\n",
    ]
    rows = rows_of(read_dump("\n".join(lines)), lambda *_bits: [])["many"]
    found = {(row.fact.what, row.fact.member.path, row.fact.number) for row in rows}
    assert {(facts.STORE, "state", 3), (facts.TEST, "flags", 4), (facts.MADE, "in[1].a", 5)} <= found
