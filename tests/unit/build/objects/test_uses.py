# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which code uses a piece, and whether it calls it, reads it in place, or hands its address out."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Pieces
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.uses import (
    is_branch,
    reads_in_place,
    takers,
    uses,
)
from ansible_collections.rebootless.splice.tests.support.objects import compile_text

CODE = """
#include "diff_kernel.h"
static int table[16] = { 1, 2, 3 };
static noinline int called(int x) { return x * 3; }
static int caught(int x) { return x * 5; }
struct static_key key;
struct { int (*call)(int); } methods = { called };
asm(".pushsection .text.by_hand,\\"ax\\"\\n.type by_hand, @function\\nby_hand:\\n"
    "call called\\njmp called\\njne called\\n"
    "lea called(%rip), %rax\\nmov $called, %rdi\\npushq $called\\n"
    "mov table+4(%rip), %eax\\nlea table(%rip), %rdx\\nmov $table, %rsi\\nmov table(,%rdi,4), %ecx\\n"
    "ret\\n.size by_hand, .-by_hand\\n.popsection\\n");
int calls(int x) { return called(x) + 1; }
void hands_out(void) { use(called); }
int reads(int x) { return table[x & 15]; }
int guarded(int x)
{
\tasm volatile("1: nop\\n" EX_TABLE("1b", "caught", "1"));
\treturn static_branch(&key, 0) ? x : table[x & 7];
}
void *keep[] __used = { (void *)caught };
"""


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    return Pieces(compile_text(CODE, tmp_path_factory.mktemp("uses"), "-ffunction-sections", "-fdata-sections"))


def fields(pieces, user, target):
    """The user's own references to ``target``, by offset."""
    piece = pieces.by_name[user]
    return piece, [r for r in pieces.references(piece) if r.target is pieces.by_name[target]]


def test_uses_name_code_and_data(pieces):
    users = [user.name for user, _r in uses(pieces, pieces.by_name["called"])]
    assert sorted(users) == [*["by_hand"] * 6, "calls", "hands_out", "methods"]
    assert {user.name for user, _r in uses(pieces, pieces.by_name["table"])} == {"by_hand", "reads", "guarded"}


def test_the_code_that_a_special_entry_describes_is_its_user(pieces):
    """The static branch's key stands in ``__jump_table``, the handler of the exception in ``__ex_table``."""
    assert [user.name for user, _r in uses(pieces, pieces.by_name["key"])] == ["guarded"]
    assert sorted(user.name for user, _r in uses(pieces, pieces.by_name["caught"])) == ["guarded", "keep"]


def test_calls_and_jumps_are_branches_and_addresses_are_none(pieces):
    piece, found = fields(pieces, "by_hand", "called")
    assert [is_branch(piece, r) for r in found] == [True, True, True, False, False, False]
    piece, found = fields(pieces, "methods", "called")
    assert [is_branch(piece, r) for r in found] == [False]


def test_operands_in_memory_are_read_in_place(pieces):
    """Not ``lea``, nor an immediate: these make an address."""
    piece, found = fields(pieces, "by_hand", "table")
    assert [reads_in_place(piece, r) for r in found] == [True, False, False, True]
    piece, found = fields(pieces, "reads", "table")
    assert [reads_in_place(piece, r) for r in found] == [True]


def test_takers_store_or_compute_the_address(pieces):
    assert [p.name for p in takers(pieces, pieces.by_name["called"])] == ["by_hand", "hands_out", "methods"]


def test_tables_about_code_hand_nothing_out(pieces):
    """``guarded`` has ``caught`` in its entry of ``__ex_table``, which the kernel alone reads."""
    assert [p.name for p in takers(pieces, pieces.by_name["caught"])] == ["keep"]
    assert takers(pieces, pieces.by_name["guarded"]) == []
