# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the jump to a replacement goes, how much room it has, and what else stands there."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.matching import jumps
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.places import Places
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Pieces
from ansible_collections.rebootless.splice.tests.support.objects import KERNEL, compile_text, object_file

TRACED = "int function(int x) { return x + 1; }"
UNTRACED = "__attribute__((no_instrument_function)) int function(int x) { return x + 1; }"


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        (TRACED, (), 5),
        (UNTRACED, (), 0),
        (TRACED, ("-fcf-protection=branch",), 9),
        (UNTRACED, ("-fcf-protection=branch",), 4),
    ],
    ids=["behind fentry", "at the entry", "behind endbr64 and fentry", "behind endbr64"],
)
def test_the_offset_of_the_jump(tmp_path, text, flags, expected):
    pre = compile_text(text, tmp_path, *flags)
    piece = Pieces(pre).by_name["function"]
    assert jumps.jump_offset(pre, piece.section, piece.start) == expected


def test_another_functions_fentry_site_is_not_its_own(tmp_path):
    pre = compile_text(f"{UNTRACED} int other(int x) {{ return x + 2; }}", tmp_path)
    pieces = Pieces(pre)
    assert [
        jumps.jump_offset(pre, pieces.by_name[n].section, pieces.by_name[n].start) for n in ("function", "other")
    ] == [0, 5]


def jump_room(name):
    pre = object_file("jump_room", "exact")
    piece = Pieces(pre).by_name[name]
    return piece.section, piece.start, jumps.jump_offset(pre, piece.section, piece.start)


def test_the_room_ends_at_the_next_symbol():
    """``small`` is one byte before ``neighbour``; the last function has its section's end."""
    assert jumps.room_for_jump(*jump_room("small")) == 1
    section, start, offset = jump_room("neighbour")
    assert jumps.room_for_jump(section, start, offset) == section.size - start == 6
    section, start, offset = jump_room("two_doors")
    assert jumps.room_for_jump(section, start, offset) >= 16, "padding between functions counts"


def test_code_that_enters_behind_the_entry():
    pieces = Pieces(object_file("jump_room", "exact"))
    assert jumps.side_entrance(pieces, pieces.by_name["two_doors"]) == "comes_in"
    assert [jumps.side_entrance(pieces, pieces.by_name[name]) for name in ("comes_in", "roomy", "small")] == [None] * 3


def under(pre, name):
    piece = Pieces(pre).by_name[name]
    places = jumps.LatePlaces(Places(pre, KERNEL))
    return places.under_jump(piece.section, piece.start + jumps.jump_offset(pre, piece.section, piece.start))


STATIC = '#include "diff_kernel.h"\nstruct static_key key;\n'
JUMP = '.pushsection __jump_table,"aw"; .balign 8; .long 1b - ., 3f - .; .quad key - .; .popsection;'


def by_hand(body):
    """A function of these instructions, without an fentry site."""
    text = (".pushsection .text; .type f, @function; f: " + body + " 3: ret; .size f, .-f; .popsection").replace(
        '"', '\\"'
    )
    return f'{STATIC}asm("{text}");'


NOP5 = ".byte 0x0f, 0x1f, 0x44, 0, 0;"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("mov %rdi, %rax; nop; nop;", None),
        (f"1: {NOP5} {JUMP}", None),  # the helper module has the kernel switch a stand-in
        (f"mov %rdi, %rax; 1: {NOP5} {JUMP}", None),
        (f"mov %rdi, %rax; nop; nop; 1: {NOP5} {JUMP}", None),  # behind the jump
        (
            f"1: .byte 0x66, 0x90; {JUMP} 1: .byte 0x66, 0x90; {JUMP} nop; nop;",
            "a static branch",
        ),
        (
            '671: lock; incl (%rdi); nop; nop; .pushsection .smp_locks,"a"; .balign 4; .long 671b - .; .popsection;',
            None,
        ),
    ],
    ids=["nothing", "one branch", "a branch that begins in it", "a branch behind it", "two branches", "a lock"],
)
def test_what_the_kernel_would_find_overwritten(tmp_path, body, expected):
    assert under(compile_text(by_hand(body), tmp_path), "f") == expected


def test_a_static_call_under_the_jump():
    assert under(object_file("static_call", "exact"), "caller") == "a static call"


def test_an_fentry_site_itself_is_rewritten_later():
    """A jump at the entry of a traced function, where ftrace writes, would be found there."""
    pre = object_file("changed_function", "exact")
    piece = Pieces(pre).by_name["changed"]
    places = jumps.LatePlaces(Places(pre, KERNEL))
    assert places.under_jump(piece.section, piece.start) == "an fentry site"
    assert places.under_jump(piece.section, piece.start + pre.arch.tracing_call_size) is None
