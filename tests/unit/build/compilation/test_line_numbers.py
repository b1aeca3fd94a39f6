# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""#line directives: unchanged code keeps its __LINE__, and the directives stand where they may."""

from __future__ import annotations

import functools
import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.line_numbers import Line, renumber

# Every statement MARK(n) stands in line n of the unpatched source.
SOURCE = """\
#define MARK(n) { n, __LINE__ },
#define LONG(a) \\
\ta \\
\ta
#ifdef UNKNOWN
MARK(6)
#else
MARK(8)
#endif
/* a comment
 * that goes on: don't (
 */
MARK(13)
#define CALL(...) __VA_ARGS__
CALL(
"text ( \\
 goes on",
0)
MARK(19)
#if 1 /* opens here
  and closes here */
MARK(22)
#if 0
MARK(24)
#endif
MARK(26)
#endif // that ( is all \\
MARK(0)
MARK(29)
LONG(
MARK(31)
)
MARK(33)
""".splitlines()


def preprocess(lines, *flags):
    done = subprocess.run(
        ["gcc", "-E", "-P", "-x", "c", *flags, "-"],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def marks(text):
    return {int(a): int(b) for a, b in re.findall(r"\{ (\d+), (\d+) \}", text)}


@functools.cache
def original_marks(flags=()):
    return marks(preprocess(SOURCE, *flags))


def patched(insertions, deletions=()):
    lines = []
    for number, text in enumerate(SOURCE, 1):
        lines += [Line("", None)] * insertions.count(number)
        if number not in deletions:
            lines.append(Line(text, number))
    return lines


# Where a whole line may be put in without changing what the source means.
PLACES = [1, 2, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 33]
# Inside parentheses no directive may stand: what follows a change there keeps the changed number until they close.
INSIDE_CALLS = {31: range(31, 32), 16: (), 18: ()}


@pytest.mark.parametrize("flags", [(), ("-DUNKNOWN",)])
@settings(max_examples=20, deadline=None)
@given(insertions=st.lists(st.sampled_from(PLACES), max_size=4))
def test_unchanged_lines_keep_their_numbers(flags, insertions):
    before, after = original_marks(flags), marks(preprocess(renumber(patched(insertions)), *flags))
    assert before.keys() == after.keys()
    excused = {line for place in insertions for line in INSIDE_CALLS.get(place, ())}
    for mark in before.keys() - excused:
        assert after[mark] == before[mark], (mark, insertions)


def test_the_meaning_stays_the_same_wherever_lines_are_put_in():
    for place in PLACES:
        with_directives = preprocess(renumber(patched([place])))
        without = preprocess([line.text for line in patched([place])])
        assert marks(with_directives).keys() == marks(without).keys()
        assert re.sub(r"\d+", "", with_directives) == re.sub(r"\d+", "", without)


def test_deleted_lines_count_too():
    output = renumber(patched([], deletions=(13,)))
    assert "#line 14" in output
    assert marks(preprocess(output)) == {k: v for k, v in original_marks().items() if k != 13}


def test_an_unpatched_source_has_no_directive():
    assert renumber([Line(text, number) for number, text in enumerate(SOURCE, 1)]) == SOURCE


def test_no_directive_inside_comments_continuations_or_calls():
    for insertions in ([10], [2], [15], [30]):
        output = renumber(patched(insertions))
        for index, line in enumerate(output):
            if line.startswith("#line"):
                before = output[index - 1]
                assert not before.endswith("\\")
                assert before not in ("/* a comment", " * that goes on: don't (", "CALL(", "LONG(", "0,")


def test_branches_with_other_parentheses_do_not_confuse():
    text = ["#ifdef A", "if (f(", "#else", "if (g(", "#endif", "x))", "MARK"]
    lines = [Line("new", None), *(Line(line, number) for number, line in enumerate(text, 1))]
    output = renumber(lines)
    assert output[1] == "#line 1"
    assert "#line 7" not in output
    changed = [*lines[:4], Line("if (h(", None), *lines[5:]]
    assert renumber(changed)[-1] == "MARK"


def test_assembler_comments_may_hold_a_lone_parenthesis():
    text = ["# see foo(", "	nop", "MARK"]
    lines = [Line(text[0], 1), Line("	new", None), *(Line(t, n) for n, t in enumerate(text[1:], 2))]
    assert renumber(lines, assembler=True) == ["# see foo(", "	new", "#line 2", "	nop", "MARK"]
