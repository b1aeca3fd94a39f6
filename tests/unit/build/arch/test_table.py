# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which architecture a tree or an object is for; one that is not known is refused by its name."""

from __future__ import annotations

import struct

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.table import ARCHITECTURES, architecture
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.objects import compile_fixture

EM_AARCH64 = 183


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_found_by_the_name_that_uname_gives_it(name):
    assert architecture(name).name == name


def test_an_unknown_architecture_is_refused_by_name():
    with pytest.raises(RebootlessError) as refused:
        architecture("riscv64")
    assert refused.value.code == "unsupported_architecture"
    assert "riscv64" in refused.value.sentence and "x86_64" in refused.value.next_step


def test_an_object_for_an_unknown_architecture_is_refused_by_name(tmp_path):
    path = compile_fixture("data", tmp_path / "data.o")
    assert ObjectFile(path).arch is ARCHITECTURES["x86_64"]
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, 18, EM_AARCH64)  # e_machine
    path.write_bytes(content)
    with pytest.raises(RebootlessError) as refused:
        ObjectFile(path)
    assert refused.value.code == "bad_object"
    assert "EM_AARCH64" in refused.value.sentence


def test_a_jump_leaves_what_stands_behind_it_alone():
    """What static branches are compiled to, where the kernel starts with a nop (take_out_branch)."""
    arch = ARCHITECTURES["x86_64"]
    assert arch.nop_for_jump(bytes.fromhex("eb05c3")) == bytes.fromhex("6690")
    assert arch.nop_for_jump(bytes.fromhex("e900000000c3")) == bytes.fromhex("0f1f440000")
    assert arch.nop_for_jump(bytes.fromhex("c3")) == b""


def test_fields_that_are_operands_in_memory_are_told_from_addresses():
    code = bytes.fromhex(
        "488b0500000000"  # mov 0(%rip),%rax: reads there
        "488d0500000000"  # lea 0(%rip),%rax: the address itself
        "48c7c000000000"  # mov $0,%rax: the address itself
        "c7050000000001000000"  # movl $1,0(%rip): the first field is the operand's address, the second a value
    )
    assert ARCHITECTURES["x86_64"].memory_operand_fields(code) == {3, 23}
