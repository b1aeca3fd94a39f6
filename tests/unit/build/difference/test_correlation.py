# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which piece of one compilation is which piece of the other, beyond what names tell."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.correlation import Correlation
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Pieces, counterless
from ansible_collections.rebootless.splice.tests.support.objects import SECTIONED, compile_text, object_file


def correlate(construct):
    return Correlation(Pieces(object_file(construct, "pre")), Pieces(object_file(construct, "post")))


def data_of(pieces, function):
    """The numbered data that a function uses, in the order of its code."""
    targets = [r.piece for r in pieces.references(pieces.by_name[function]) if r.piece is not None]
    return list(dict.fromkeys(p for p in targets if p.kind == "data" and counterless(p.name)))


COUNTERS = """
int first(int x) { static int count; return count += x; }
int second(int x) { static int count; return count -= x; }
int third(int x) { static int count = 5; if (x) { static int count = 6; return count++; } return count--; }
"""


@pytest.fixture
def renumbered(tmp_path):
    """Static locals ``count.<N>`` of the same functions, with other numbers: other functions come before and behind."""
    more = "int {}(int x) {{ static int count; return count ^= x; }}"
    texts = {"pre": COUNTERS, "post": f"{more.format('before')}{COUNTERS}{more.format('behind')}"}
    sides = []
    for side, text in texts.items():
        (tmp_path / side).mkdir()
        sides.append(Pieces(compile_text(text, tmp_path / side, *SECTIONED)))
    return Correlation(*sides)


@pytest.mark.parametrize("function", ["first", "second", "third"])
def test_static_locals_are_paired_by_the_code_that_uses_them(renumbered, function):
    ours, theirs = data_of(renumbered.pre, function), data_of(renumbered.post, function)
    assert ours and [renumbered.post_of(piece) for piece in ours] == theirs
    assert [renumbered.pre_of(piece) for piece in theirs] == ours
    assert all(a.name != b.name for a, b in zip(ours, theirs, strict=True)), "other numbers, or names alone would do"


ONE_MORE = """
int function(int x)
{
#ifdef POST
\tif (x > 9) { static int count = 7; return count += x; }
#endif
\tif (x > 3) { static int count = 5; return count -= x; }
\tstatic int count = 6;
\treturn count *= x;
}
"""


def test_of_several_in_one_function_the_place_of_their_use_tells(tmp_path):
    """Two of one name become three: neither names nor numbers nor order tell which one is new."""
    sides = []
    for side, flags in (("pre", ()), ("post", ("-DPOST",))):
        (tmp_path / side).mkdir()
        sides.append(Pieces(compile_text(ONE_MORE, tmp_path / side, *SECTIONED, *flags)))
    found = Correlation(*sides)
    pre, post = ({p.data[0]: p for p in data_of(pieces, "function")} for pieces in sides)
    assert {value: found.post_of(piece) for value, piece in pre.items()} == {5: post[5], 6: post[6]}
    assert found.unpaired(found.post) == [post[7]]


def test_what_is_new_has_no_counterpart():
    found = correlate("static_locals")
    assert {p.name for p in found.unpaired(found.post) if p.kind == "function"} == {"added"}
    assert [p for p in found.unpaired(found.post) if p.kind == "data"] == data_of(found.post, "added")
    assert found.unpaired(found.pre) == []


def test_clones_with_other_numbers_are_paired(tmp_path):
    """gcc numbers clones as it makes them: ``second.constprop.0`` may be ``second.constprop.7`` now."""
    pre, post = object_file("clone_numbers", "pre"), tmp_path / "post.o"
    rename = "--redefine-sym=second.constprop.0=second.constprop.7"
    subprocess.run(["objcopy", rename, object_file("clone_numbers", "post").path, post], check=True)
    found = Correlation(Pieces(pre), Pieces(ObjectFile(post)))
    ours, theirs = found.pre.by_name["second.constprop.0"], found.post.by_name["second.constprop.7"]
    assert found.post_of(ours) is theirs and found.pre_of(theirs) is ours


def test_a_static_local_of_another_function_is_no_counterpart():
    """``state`` of ``goes`` is not ``state`` of ``comes``; ``calls`` of an inlined function is one in both."""
    found = correlate("other_owner")
    unpaired = [{counterless(p.name) for p in found.unpaired(side)} for side in (found.pre, found.post)]
    assert "state" in unpaired[0] and "state" in unpaired[1]
    assert all("calls" not in names for names in unpaired)


def test_state_of_messages_is_paired_by_the_functions_that_use_it():
    found = correlate("sites")
    for name in ("stays", "next"):
        (ours,), (theirs,) = (
            [p for p in data_of(pieces, name) if counterless(p.name) == "next_id"] for pieces in (found.pre, found.post)
        )
        assert found.post_of(ours) is theirs


def test_names_settle_functions_and_kinds_are_kept_apart():
    found = correlate("functions_come_and_go")
    assert found.post_of(found.pre.by_name["entry"]) is found.post.by_name["entry"]
    assert found.post_of(found.pre.by_name["old_helper"]) is None
    assert found.pre_of(found.post.by_name["new_helper"]) is None
    for piece in found.pre.all:
        other = found.post_of(piece)
        assert other is None or (other.kind == piece.kind and found.pre_of(other) is piece)


def test_a_pair_can_be_parted():
    found = correlate("exchange")
    pre, post = found.pre.by_name["grows"], found.post.by_name["grows"]
    assert found.post_of(pre) is post
    found.part(pre, post)
    assert found.post_of(pre) is None and found.pre_of(post) is None
    assert pre in found.unpaired(found.pre) and post in found.unpaired(found.post)
