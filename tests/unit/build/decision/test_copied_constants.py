# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a copy of a constant, or its address, may be where an exchange does not reach."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.copied_constants import (
    COPIED_CONSTANTS,
    COPIED_STRUCTS,
    KEPT_STRUCTS,
    why_copied,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.pieces import Pieces
from ansible_collections.rebootless.splice.tests.support.objects import compile_text

CODE = """
#include "diff_kernel.h"
static const int t[16] __used = {{ 1, 2, 3 }};
struct static_key key;
asm(".pushsection .text.user,\\"ax\\"\\n.type user, @function\\nuser:\\n{body}\\n.size user, .-user\\n.popsection\\n");
"""
BODIES = {
    # Nothing but the contents leaves the function.
    "reads in place": ("mov t+4(%rip), %eax; ret", False),
    "reads through a register": ("lea t(%rip), %rax; mov 4(%rax), %eax; ret", False),
    "compares with its end": ("cmp $t+64, %rdi; sete %al; ret", False),
    "calls with the address in a saved register": ("lea t(%rip), %rbx; call use; mov (%rbx), %eax; ret", False),
    "clears the argument before the call": ("lea t(%rip), %rdi; xor %edi, %edi; call use; ret", False),
    "walks over it": (
        "lea t(%rip), %rbx; 1: mov (%rbx), %eax; add $4, %rbx; test %eax, %eax; jne 1b; ret",
        False,
    ),
    # The address does.
    "returns it": ("lea t(%rip), %rax; ret", True),
    "returns an address in it": ("lea t(%rip), %rbx; lea 8(%rbx,%rdi,4), %rax; ret", True),
    "passes it": ("lea t(%rip), %rdi; call use; ret", True),
    "passes it on": ("lea t(%rip), %rdi; jmp use", True),
    "moves it first": ("lea t(%rip), %rbx; mov %rbx, %rcx; mov %rcx, %rsi; call use; ret", True),
    "stores it": ("lea t(%rip), %rcx; mov %rcx, 8(%rdi); ret", True),
    "stores it as an immediate": ("movq $t, 8(%rdi); ret", True),
    "pushes it": ("lea t(%rip), %rbx; push %rbx; pop %rax; ret", True),
    "copies from it": ("lea t(%rip), %rsi; mov $4, %ecx; rep movsq; xor %esi, %esi; ret", True),
    "passes it on one of two ways": (
        "lea t(%rip), %rbx; test %edi, %edi; jne 1f; mov (%rbx), %eax; ret; 1: mov %rbx, %rdi; call use; ret",
        True,
    ),
    "jumps to an unknown place": ("lea t(%rip), %rbx; jmp *%rdi", True),
    "passes it where a static branch leads": (
        "lea t(%rip), %rbx; 1: nopl 0(%rax,%rax); ret; 2: mov %rbx, %rdi; call use; ret;"
        '.pushsection __jump_table,\\"aw\\"; .balign 8; .long 1b - ., 2b - .; .quad key - .; .popsection',
        True,
    ),
}


def why(text, directory, type_name="", name="t"):
    pieces = Pieces(compile_text(text, directory, "-ffunction-sections", "-fdata-sections"))
    return why_copied(pieces, pieces.by_name[name], type_name)


@pytest.mark.parametrize("way", BODIES)
def test_the_ways_of_an_address(tmp_path, way):
    body, gets_out = BODIES[way]
    expected = "user gives its address away, and who got it may have copied it" if gets_out else ""
    assert why(CODE.format(body=body), tmp_path) == expected


def test_what_others_can_see_may_be_copied(tmp_path):
    assert why("const int t[4] = { 1 };", tmp_path) == "other units may have copied it"
    text = "static const int t[4] = { 1 }; const int *const holder[] = { t };"
    assert why(text, tmp_path) == "holder has its address, and who got it from there may have copied it"


@pytest.mark.parametrize("type_name", sorted(COPIED_STRUCTS))
def test_structs_that_the_kernel_copies(tmp_path, type_name):
    found = why("static const int t[4] __attribute__((used)) = { 1 };", tmp_path, type_name)
    assert found.endswith(f"has a copy of the old one ({COPIED_STRUCTS[type_name]})")


def test_structs_whose_address_is_kept(tmp_path):
    """Their users keep the address, so that even a global one is seen anew; but single ones are copied."""
    assert why("const int t[4] = { 1 };", tmp_path, "file_operations") == ""
    assert {"file_operations", "nla_policy", "proto_ops"} <= KEPT_STRUCTS
    assert not KEPT_STRUCTS & set(COPIED_STRUCTS)
    for name, where in COPIED_CONSTANTS.items():
        found = why(f"const int {name}[4] = {{ 1 }};", tmp_path, "proto_ops", name)
        assert found == f"{where} has a copy of the old one"
