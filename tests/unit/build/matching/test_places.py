# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which contents the kernel can have put where: each mechanism, as the kernel's source has it."""

from __future__ import annotations

import itertools
import struct

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86 import kinds
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.instructions import (
    add_nops,
    optimize_nops,
    optimize_nops_6_12,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.record import X86_64
from ansible_collections.rebootless.splice.plugins.module_utils._build.code import contents
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.sections import Section
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.places import Places
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.matching.staged import compiled

KERNEL = X86_64.kernel_of("6.1.176-1")
KERNEL_6_12 = X86_64.kernel_of("6.12.107+deb12-cloud-amd64")
TYPES = {
    contents.PC32: "to",
    contents.PC8: "near",
    contents.ABS64: "abs64",
    contents.ABS32S: "abs",
    contents.INDIRECT_PC32: "via",
    contents.COPY64: "copy",
    contents.COPY8: "byte",
}
RETURNS = ["e9<to __x86_return_thunk-4>", "c3cccccccc", "e9<via x86_return_thunk+0>"]


def shown(content):
    """A content as text: hex digits, and its fields as ``<type target+addend>``."""
    text, position = "", 0
    for field in content.fields:
        target = field.target
        if isinstance(target, Section):
            target = target.name
        elif isinstance(target, contents.Literal):
            target = repr(target.data)[1:]
        text += content.data[position : field.offset].hex() + f"<{TYPES[field.type]} {target}{field.addend:+}>"
        position = field.end
    return text + content.data[position:].hex()


def places(directory, name, section=".text"):
    """``[(offset, kind, contents as text)]`` of a fixture's section."""
    pre = compiled(directory, name)
    kernel = KERNEL_6_12 if name.startswith("place612_") else KERNEL
    found = Places(pre, kernel).of(pre.section_of(section))
    assert all(len(content) == place.length for place in found for content in place.contents)
    return [(place.offset, place.kind, [shown(content) for content in place.contents]) for place in found]


def test_fentry_site_holds_its_call_or_a_nop_and_nothing_else(tmp_path):
    (place, *rest) = places(tmp_path, "place_fentry.c")
    assert place == (0, kinds.FENTRY, ["e8<to __fentry__-4>", "0f1f440000"])


def test_return_site(tmp_path):
    assert places(tmp_path, "place_return.S") == [(2, kinds.RETURN, RETURNS)]


def test_retpoline_sites_in_every_mitigation_mode(tmp_path):
    def forms(call, thunk, plain, lfence, jump):
        """As compiled, spectre_v2=off, lfence if it fits, and a thunk of the ITS mitigation."""
        codes = [f"{call}<to __x86_indirect_thunk_{thunk}-4>", plain, lfence, f"{call}<to '{jump}\\xcc'-4>"]
        return [code for code in codes if code]

    found = places(tmp_path, "place_retpoline.S")
    assert {kind for offset, kind, codes in found} == {kinds.RETPOLINE}
    assert [codes for offset, kind, codes in found] == [
        forms("e8", "rax", "ffd00f1f00", "0faee8ffd0", "\\xff\\xe0"),
        forms("e9", "rdx", "ffe2cc6690", "0faee8ffe2", "\\xff\\xe2"),
        forms("2ee8", "r11", "41ffd30f1f00", "0faee841ffd3", "A\\xff\\xe3"),
        forms("2ee9", "r8", "41ffe0cc6690", "0faee841ffe0", "A\\xff\\xe0"),
        forms("0f85", "r10", "740441ffe2cc", "", "A\\xff\\xe2"),
        forms("e8", "r9", "41ffd16690", "", "A\\xff\\xe1"),
    ]


def test_static_call_sites(tmp_path):
    assert places(tmp_path, "place_static_call.S") == [
        (
            0,
            kinds.STATIC_CALL,
            ["e8<to __SCT__hook-4>", "e8<via __SCK__hook+0>", "0f1f440000", "2e2e2e31c0"],
        ),
        (5, kinds.STATIC_CALL, ["e9<to __SCT__hook-4>", "e9<via __SCK__hook+0>", *RETURNS[1:]]),
        (
            10,
            kinds.STATIC_CALL,
            [
                "0f84<to __SCT__hook-4>",
                "0f84<via __SCK__hook+0>",
                "0f84<to __static_call_return-4>",
                "0f84<to __x86_return_thunk-4>",
            ],
        ),
    ]


def test_static_call_site_of_a_module_that_does_not_see_the_key(tmp_path):
    ((offset, kind, codes),) = places(tmp_path, "place_static_call_module.S")
    assert codes[:2] == ["e8<to __SCT__hook-4>", "e8<via __SCK__hook+0>"]


def test_static_call_trampolines(tmp_path):
    assert places(tmp_path, "place_static_call_trampoline.S", ".static_call.text") == [
        (0, kinds.STATIC_CALL, ["e9<to .text-4>", "e9<via __SCK__set+0>", *RETURNS[1:]]),
        (8, kinds.MIXED, ["e9<to __x86_return_thunk-4>", *RETURNS[1:], "e9<via __SCK__null+0>"]),
    ]


def test_static_branches(tmp_path):
    found = places(tmp_path, "place_static_branch.S")
    assert {kind for offset, kind, codes in found} == {kinds.STATIC_BRANCH}
    assert [(offset, codes) for offset, kind, codes in found] == [
        (0, ["6690", "eb0f"]),
        (2, ["0f1f440000", "e9f9ffffff"]),
        (7, ["0f1f440000", "e9<to .text.unlikely-3>"]),
        (12, ["e9<to .text.unlikely-3>", "0f1f440000"]),
    ]


def test_alternatives(tmp_path):
    found = places(tmp_path, "place_alternative.S")
    assert {kind for offset, kind, codes in found} == {kinds.ALTERNATIVE}
    slowly, quickly = "e8<to copy_slowly-4>", "e8<to copy_quickly-4>"
    nops, nop5 = "90" * 5, "0f1f440000"
    assert [codes for offset, kind, codes in found] == [
        ["0fae3890", "660fae30"],
        ["90" * 9, "0faee8660f1f440000", "0f1f84000000000090"],
        [slowly, quickly],
        [slowly, quickly, "0faee86690"],
        [nops, "eb130f1f00", nop5],
        [nops, "e9<to .text.unlikely-4>", "eb<near .text.unlikely-1>0f1f00", nop5],
        [nops, "e9<to .text-4>", nop5],
        [slowly, "f3a40f1f00", quickly],
    ]


def test_thunk_call_in_an_alternative_is_rewritten_before_it_is_copied(tmp_path):
    ((offset, kind, codes),) = places(tmp_path, "place_retpoline_in_alternative.S")
    assert sorted(codes) == sorted(
        [
            "ffd0909090",
            "ffd00f1f00",
            "e8<to __x86_indirect_thunk_rax-4>",
            "0faee8ffd0",
            "e8<to '\\xff\\xe0\\xcc'-4>",
        ]
    )


def test_static_cpu_has_sites(tmp_path):
    """After the boot either side; before it the jump to code that is known by its first bytes only."""
    ((offset, kind, codes),) = places(tmp_path, "place_static_cpu_has.S")
    assert codes == ["e9<to '\\xf6\\x05'-4>", "0f1f440000", "eb040f1f00"]


def test_paravirt_sites(tmp_path):
    call, nops = ["e8<via pv_ops+80>90", "e8<to paravirt_BUG-4>90"], "660f1f440000"
    original = "ff15<to pv_ops+76>"
    assert places(tmp_path, "place_paravirt.S") == [(0, kinds.PARAVIRT, [original, *call, nops])]
    ((offset, kind, codes),) = places(tmp_path, "place_paravirt_alternative.S")
    assert (offset, kind) == (0, kinds.MIXED)
    assert sorted(codes) == sorted([original, *call, nops, "fa0f1f440000"])


def test_lock_prefixes(tmp_path):
    assert places(tmp_path, "place_lock.S") == [(0, kinds.LOCK, ["f0", "3e"]), (3, kinds.LOCK, ["f0", "3e"])]


def test_fields_outside_all_mechanisms_are_places_of_their_own(tmp_path):
    pre = compiled(tmp_path, "place_references.c")
    for section in pre.sections:
        if section.is_text:
            covered = [(p.offset, p.offset + p.length) for p in Places(pre, KERNEL).of(section)]
            assert all(end <= start for (_low, end), (start, _high) in itertools.pairwise(covered))
            for relocation in section.relocations:
                end = relocation.offset + relocation.size
                assert any(low <= relocation.offset and end <= high for low, high in covered)


def test_literals_are_what_a_reference_means(tmp_path):
    targets = {
        code for offset, kind, codes in places(tmp_path, "place_literals.c") for code in codes if code.startswith("<")
    }
    assert {"<abs 'a string\\x00'+0>", "<abs 'one more string\\x00'+4>"} <= targets
    wide = "wide\0".encode("utf-32-le")
    assert f"<abs {str(wide)[1:]}+0>" in targets
    assert f"<to {str(struct.pack('<d', 1.5))[1:]}-4>" in targets  # found from the end of its instruction
    assert [codes for offset, kind, codes in places(tmp_path, "place_literals.c", ".rodata")] == [
        ["<abs64 'first name\\x00'+0>"],
        ["<abs64 'second name\\x00'+0>"],
    ]


def test_branches_that_no_table_names_yet(tmp_path):
    found = places(tmp_path, "place612_branches.S")
    assert [(offset, kind, codes[0]) for offset, kind, codes in found] == [
        (0, kinds.ENDBR, "f30f1efa"),
        (4, kinds.RETPOLINE, "e8<to __x86_indirect_thunk_rax-4>"),
        (9, kinds.RETPOLINE, "2ee8<to __x86_indirect_thunk_r11-4>"),
        (17, kinds.RETPOLINE, "e9<to __x86_indirect_thunk_rdx-4>"),
        (22, kinds.STATIC_CALL, "e8<to __SCT__hook-4>"),
        (27, kinds.STATIC_CALL, "e9<to __SCT__hook-4>"),
        (32, kinds.STATIC_CALL, "0f84<to __SCT__hook-4>"),
        (43, kinds.RETURN, RETURNS[0]),
    ]
    codes = {offset: codes for offset, kind, codes in found}
    assert codes[0] == ["f30f1efa", "660f1f00"]
    assert codes[22] == ["e8<to __SCT__hook-4>", "e8<via __SCK__hook+0>", "0f1f440000", "2e2e2e31c0"]
    assert codes[27] == ["e9<to __SCT__hook-4>", "e9<via __SCK__hook+0>", *RETURNS[1:]]
    assert codes[43] == RETURNS
    # objtool leaves calls in replacements alone
    found = [kind for offset, kind, codes in places(tmp_path, "place612_branches.S", ".altinstr_replacement")]
    assert found == [kinds.RELOCATION] * 2


def test_alternatives_of_6_12(tmp_path):
    found = places(tmp_path, "place612_alternative.S")
    assert {kind for offset, kind, codes in found} == {kinds.ALTERNATIVE}
    slowly, quickly = "e8<to copy_slowly-4>", "e8<to copy_quickly-4>"
    nops, nop5, nop2 = "90" * 5, "0f1f440000", "6690"
    assert [codes for offset, kind, codes in found] == [
        ["0fae3890", "660fae30"],
        ["90" * 14, "0faee866662e0f1f840000000000", "eb0c" + "cc" * 12],
        ["ff15<to pv_ops+76>", "9c580f1f4000", "e8<via pv_ops+80>90", "e8<to BUG_func-4>90", "660f1f440000"],
        [slowly + "9090", "0faee8eb016690", quickly + nop2, slowly + nop2],
        [nops, "eb10cccccc", nop5],
        [nops, "e9<to .text.unlikely-4>", "eb<near .text.unlikely-1>cccccc", nop5],
        ["488b05<to here-4>", "0f1f8000000000"],
    ]


def test_constants_that_the_boot_writes(tmp_path):
    dummy = "efcdab8967452301"
    assert [(offset, codes) for offset, kind, codes in places(tmp_path, "place612_runtime.S")] == [
        (2, [dummy, "<copy .data+8>"]),
        (12, ["0c", "<byte .data+0>"]),
        (15, [dummy, "<copy USER_PTR_MAX+0>"]),
    ]


def test_special_section_that_nobody_knows_is_named(tmp_path):
    with pytest.raises(RebootlessError) as refused:
        places(tmp_path, "place_unknown_section.S")
    assert refused.value.code == "unknown_special_section"
    assert ".mystery_sites" in refused.value.sentence and refused.value.next_step


def test_place_with_too_many_contents_is_named(tmp_path):
    with pytest.raises(RebootlessError) as refused:
        places(tmp_path, "place_too_many.S")
    assert refused.value.code == "too_many_contents"
    assert refused.value.details["section"] == ".text" and refused.value.details["offset"] == 0


@pytest.mark.parametrize(
    "name, table", [("place_return.S", ".return_sites"), ("place_retpoline.S", ".retpoline_sites")]
)
def test_code_that_is_not_what_its_table_says_is_refused(tmp_path, name, table):
    pre = compiled(tmp_path, name)
    for relocation in pre.section_of(table).relocations:
        relocation.addend += 1
    with pytest.raises(RebootlessError) as refused:
        Places(pre, KERNEL)
    assert refused.value.code == "unknown_rewrite"


def test_kernel_whose_rules_are_unknown_is_refused():
    with pytest.raises(RebootlessError) as refused:
        X86_64.kernel_of("5.10.0-30-amd64")
    assert refused.value.code == "unsupported_kernel"
    assert "5.10" in refused.value.sentence


@pytest.mark.parametrize(
    "length, expected",
    [
        (0, ""),
        (1, "90"),
        (5, "0f1f440000"),
        (8, "0f1f840000000000"),
        (9, "0f1f84000000000090"),
        (17, "0f1f8400000000000f1f84000000000090"),
    ],
)
def test_nops_that_fill(length, expected):
    assert add_nops(length).hex() == expected


@pytest.mark.parametrize(
    "code, expected",
    [
        ("90", "90"),
        ("6690669090", "0f1f440000"),  # long ones, too, but not the last
        ("c30f1f4000", "c30f1f4000"),
        ("f3909090", "f3906690"),  # a pause is none
        ("90" * 11, "66662e0f1f840000000000"),
        ("90" * 13 + "c3", "eb0b" + "cc" * 11 + "c3"),
        ("90" * 200, "e9c3000000" + "cc" * 195),
    ],
)
def test_optimized_nops_of_6_12(code, expected):
    assert optimize_nops_6_12(contents.Content(bytes.fromhex(code))).data.hex() == expected


@pytest.mark.parametrize(
    "code, expected",
    [
        ("90", "90"),
        ("9090", "6690"),
        ("b89090909090", "b89090909090"),  # nops that are an operand
        ("0faee8909090c39090", "0faee80f1f00c36690"),
        ("6690669090", "6690669090"),  # long nops stay, and a lone one
    ],
)
def test_optimized_nops(code, expected):
    assert optimize_nops(contents.Content(bytes.fromhex(code))).data.hex() == expected


def test_instruction_that_cannot_be_decoded_is_no_guess():
    with pytest.raises(ValueError, match="0f04"):
        optimize_nops(contents.Content(bytes.fromhex("0f04")))
