# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What new code asks of objects that were made before it, from what gcc understands of the code."""

from __future__ import annotations

import functools
import re

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange, compare
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.bit_fields import bit_fields_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.living_objects import (
    LivingObjects,
    living_objects,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.judgement import judge_changes
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.facts import Member
from ansible_collections.rebootless.splice.plugins.module_utils._build.members.unit import read_members
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.objects import (
    FIXTURES,
    KERNEL,
    SECTIONED,
    compile_fixture,
    dump,
    unit_change,
)

FINDINGS = {
    ("state_missing", "struct refused.flags"): "refused_use asks for the flag 0x10 in struct refused.flags, which only "
    "the new refused_open sets there: objects that exist have it not, and refused_use fails for them.",
    ("state_missing", "struct doubted.flags"): "doubted_use asks for the flag 0x10 in struct doubted.flags, which only "
    "the new doubted_open sets there: objects that exist have it not, and doubted_use fails for them.",
    ("state_missing", "struct doubted.state"): "doubted_ask asks whether struct doubted.state is 3, which only the new "
    "doubted_open stores there: objects that exist have it not, and doubted_ask fails for them.",
    (
        "state_missing",
        "struct by_name.bits",
    ): "by_name_use asks for the flag 0x80 in struct by_name.bits, which only the "
    "new by_name_open sets there: objects that exist have it not, and by_name_use fails for them.",
    ("state_missing", "struct bit_field.checked"): "bit_field_use asks for the flag 1 in struct bit_field.checked, "
    "which only the new bit_field_open sets there: objects that exist have it not, and bit_field_use fails for them.",
    ("state_missing", "struct listed.all"): "listed_use calls list_add with struct listed.all, which only the new "
    "listed_open initialises: in objects that exist nothing has.",
    ("state_missing", "struct locked.lock"): "locked_use calls mutex_lock with struct locked.lock, which only the new "
    "locked_open initialises: in objects that exist nothing has.",
    ("state_missing", "struct counted.count"): "counted_put calls refcount_dec_and_test with struct counted.count, "
    "which only the new counted_open initialises: in objects that exist nothing has.",
    ("state_missing", "struct pointed.other"): "pointed_use reads struct pointed.other, which only the new "
    "pointed_open sets: in objects that exist it is what they were made with, and pointed_use counts on it.",
    ("state_missing", "struct claimed.flags"): "claimed_use asks for the flag 0x10 in struct claimed.flags, which only "
    "the new claimed_open sets there: objects that exist have it not, and claimed_use fails for them.",
    ("state_missing", "struct grown.flags"): "grown_use asks for the flag 0x10 in struct grown.flags, which only the "
    "new grown_open sets there: objects that exist have it not, and grown_use fails for them.",
    ("meaning_changed", "struct indexing.place"): "indexing_store stores (unsigned int + 1) in struct indexing.place, "
    "where it was unsigned int, and indexing_read reads it otherwise; objects that exist hold what the old code "
    "stored.",
    ("constant_renumbered", "struct renumbered.flags"): "In struct renumbered.flags, 2 takes the place of 1 "
    "(renumbered_open, renumbered_use); existing objects hold the old number.",
    ("state_missing", "struct accessed.flags"): (
        "accessed_is and accessed_use ask for the flag 0x10 in struct accessed.flags, which only the new "
        "accessed_mark sets there: objects that exist have it not, and accessed_use fails for them."
    ),
    ("state_missing", "struct assigned.flags"): (
        "assigned_use asks for the flag 0x10 in struct assigned.flags, which only the new assigned_open sets there:"
        " objects that exist have it not, and assigned_use fails for them."
    ),
    ("state_missing", "struct both.flags"): (
        "both_use asks for the flag 4 in struct both.flags, which only the new both_open sets there: objects that "
        "exist have it not, and both_use fails for them."
    ),
    ("state_missing", "struct bounded.state"): (
        "bounded_use asks whether struct bounded.state is <= 3, as all is that the old code stored there; only the new"
        " bounded_open stores others, and bounded_use fails for them."
    ),
    ("state_missing", "struct compared.age"): (
        "compared_use reads struct compared.age, which only the new compared_open sets: in objects that exist it is"
        " what they were made with, and compared_use counts on it."
    ),
    ("state_missing", "struct in_counter.flags"): (
        "in_counter_use asks for the flag 4 in struct in_counter.flags, which only the new in_counter_open sets "
        "there: objects that exist have it not, and in_counter_use fails for them."
    ),
    ("state_missing", "struct inner.flags"): (
        "inner_use asks for the flag 0x10 in struct inner.flags, which only the new outer_open sets there: objects "
        "that exist have it not, and inner_use fails for them."
    ),
    ("state_missing", "struct jumping.flags"): (
        "jumping_use asks for the flag 0x10 in struct jumping.flags, which only the new jumping_open sets there: "
        "objects that exist have it not, and jumping_use fails for them."
    ),
    ("state_missing", "struct limited.size"): (
        "limited_use reads struct limited.size, which only the new limited_open sets: in objects that exist it is "
        "what they were made with, and limited_use counts on it."
    ),
    ("state_missing", "struct no_object.flags"): (
        "no_object_use asks for the flag 0x10 in struct no_object.flags, which only the new no_object_open sets "
        "there: objects that exist have it not, and no_object_use fails for them."
    ),
    ("state_missing", "struct one_of.flags"): (
        "one_of_use asks for the flag 0x10 in struct one_of.flags, which only the new one_of_open sets there: "
        "objects that exist have it not, and one_of_use fails for them."
    ),
    ("state_missing", "struct switched.state"): (
        "switched_use asks whether struct switched.state is 7, which only the new switched_open stores there: "
        "objects that exist have it not, and switched_use fails for them."
    ),
    ("state_missing", "struct twice_named.flags"): (
        "twice_use asks for the flag 0x10 in struct twice_named.flags, which only the new twice_open sets there: "
        "objects that exist have it not, and twice_use fails for them."
    ),
    ("state_missing", "typed_t.flags"): (
        "typed_use asks for the flag 0x10 in typed_t.flags, which only the new typed_open sets there: objects that "
        "exist have it not, and typed_use fails for them."
    ),
    ("state_missing", "struct held.users"): (
        "held_close gives back in struct held.users (refcount_*) what only the new held_open takes: for objects "
        "that exist nothing was taken."
    ),
    **{
        ("state_missing", what): f"tallied_close counts {what} down, which only the new tallied_open counts up: for "
        "objects that exist it was not."
        for what in (
            *("the variable all_tallied", "the variable tallied_by", "the variable taken_short"),
            *("struct tallied.users", "struct tallied.bytes"),
        )
    },
    ("state_missing", "the variable open_raised"): (
        "raised_close gives back references to the variable open_raised (atomic_*) what only the new raised_open "
        "takes: for objects that exist nothing was taken."
    ),
    ("state_missing", "struct raised"): (
        "raised_close gives back references to struct raised (raised_*) once more than before, and the new raised_open "
        "starts the count with 2 instead of 1: objects that exist began with 1."
    ),
    ("state_missing", "struct linked.node"): (
        "linked_close gives back in struct linked.node (list_*) what only the new linked_open takes: for objects "
        "that exist nothing was taken."
    ),
    ("state_missing", "struct refused"): (
        "holding_close gives back references to struct refused (thing_*) what only the new holding_open takes: for "
        "objects that exist nothing was taken."
    ),
    ("state_missing", "struct global.flags"): (
        "global_use asks for the flag 0x10 in struct global.flags, which only the new global_open sets there: "
        "objects that exist have it not, and global_use fails for them."
    ),
    ("state_missing", "struct masked.all"): (
        "masked_all asks for the flag 0x10 in struct masked.all, which only the new masked_open sets there: objects"
        " that exist have it not, and masked_all fails for them."
    ),
    ("state_missing", "struct masked.flags"): (
        "masked_flags asks for the flag 0x10 in struct masked.flags, which only the new masked_open sets there: "
        "objects that exist have it not, and masked_flags fails for them."
    ),
    ("state_missing", "struct masked.more"): (
        "masked_more asks for the flag 0x10 in struct masked.more, which only the new masked_open sets there: "
        "objects that exist have it not, and masked_more fails for them."
    ),
    ("state_missing", "struct masked.some"): (
        "masked_some asks for the flag 0x10 in struct masked.some, which only the new masked_open sets there: "
        "objects that exist have it not, and masked_some fails for them."
    ),
    ("state_missing", "struct masked.state"): (
        "masked_state asks whether struct masked.state is 7, which only the new masked_open stores there: objects "
        "that exist have it not, and masked_state fails for them."
    ),
}
REMARKS = {
    ("state_missing", "struct grown.mark"): "grown_ask asks for the flag 1 in struct grown.mark, which only the new "
    "grown_mark sets there: objects that exist have it not.",
    ("state_missing", "struct claimed.kept"): "claimed_ask asks whether struct claimed.kept is 7, which only the new "
    "claimed_open stores there: objects that exist have it not.",
    ("state_missing", "struct by_number.bits"): "by_number_use asks for the flag 0x20 in struct by_number.bits, which "
    "only the new by_number_open sets there: objects that exist have it not.",
    ("state_missing", "struct stated.state"): "stated_use asks whether struct stated.state is 7, which only the new "
    "stated_open stores there: objects that exist have it not.",
    ("state_missing", "struct counted.hits"): "counted_hits calls atomic_read with struct counted.hits, which only the "
    "new counted_open initialises: in objects that exist nothing has.",
    ("state_missing", "struct pointed.perhaps"): "pointed_ask reads struct pointed.perhaps, which only the new "
    "pointed_open sets: in objects that exist it is what they were made with.",
    ("meaning_changed", "struct encoded.place"): "encoded_store stores (unsigned int + 1) in struct encoded.place, "
    "where it was unsigned int, and encoded_read reads it otherwise; objects that exist hold what the old code stored.",
    ("existing_objects", "struct made.inner->flags"): "made_open sets struct made.inner->flags of objects that are "
    "made from now on; those that exist keep what they have.",
    ("existing_objects", "struct own.flags"): "own_call sets struct own.flags of objects that are made from now "
    "on; those that exist keep what they have.",
    ("state_missing", "struct beforehand.flags"): (
        "beforehand_use asks for the flag 4 in struct beforehand.flags, which only the new beforehand_open sets "
        "there: objects that exist have it not."
    ),
    ("state_missing", "struct either.flags"): (
        "either_use asks for the flag 4 in struct either.flags, which only the new either_open sets there: objects "
        "that exist have it not."
    ),
    ("state_missing", "struct one_more.state"): (
        "one_more_use and one_more_switch ask whether struct one_more.state is 2, which only the new one_more_open "
        "stores there: objects that exist have it not."
    ),
    ("state_missing", "struct own_accessed.flags"): (
        "own_has and own_make ask for the flag 4 in struct own_accessed.flags, which only the new own_set sets "
        "there: objects that exist have it not."
    ),
    ("state_missing", "struct assembled.count"): (
        "assembled_add and assembled_sum read struct assembled.count, which only the new assembled_add sets: in objects"
        " that exist it is what they were made with."
    ),
}


@functools.cache
def change() -> UnitChange:
    return unit_change("living_objects")


@functools.cache
def found() -> LivingObjects:
    text = (FIXTURES / "diff_living_objects.c").read_text(encoding="utf-8")
    bit_fields, words = bit_fields_of(change().difference.types[1]), set(re.findall(r"[A-Za-z_]\w*", text))
    members = read_members(dump("living_objects"), dump("living_objects", "-DPOST"), bit_fields, words)
    return living_objects([change()], {change().unit: members})


def sentences(rows) -> dict[tuple[str, str], str]:
    return {(row.code, row.thing): row.sentence for of_one in rows.values() for row in of_one}


def test_each_kind_is_found_and_nothing_else():
    """What is right, such as ``struct balanced`` in the fixture, is in neither."""
    living = found()
    assert sentences(living.findings) == FINDINGS
    assert sentences(living.remarks) == REMARKS


def test_a_row_names_functions_and_values():
    (rows,) = found().findings.values()
    details = next(row.details for row in rows if row.details["member"] == "struct refused.flags")
    assert (details["functions"], details["values"]) == (["refused_use", "refused_open"], ["0x10"])


def test_the_patch_taken_back_asks_for_nothing_that_only_it_brought():
    """A reversed diff takes flags, locks and pointers out; objects that have them are none the worse."""
    text = {name: dump("living_objects", *flags) for name, flags in (("old", ["-DPOST"]), ("new", []))}
    back = read_members(text["old"], text["new"], bit_fields_of(change().difference.types[0]), ())
    living = living_objects([change()], {change().unit: back})
    assert {row.code for rows in living.findings.values() for row in rows} == {"constant_renumbered"}
    assert {row.code for rows in living.remarks.values() for row in rows} == {"meaning_changed"}


def test_an_unchanged_unit_has_no_members_to_compare():
    text = dump("living_objects")
    same = read_members(text, text, bit_fields_of(change().difference.types[0]), ())
    assert (same.before, same.after) == ({}, {})


def test_a_function_of_a_header_that_is_called_for_the_first_time_is_old_code():
    text = dump("living_objects"), dump("living_objects", "-DPOST")
    known = read_members(*text, bit_fields_of(change().difference.types[1]), {"refused_open"})
    assert "INIT_LIST_HEAD" in known.before and "INIT_LIST_HEAD" not in known.after


def test_a_finding_stops_the_build_and_a_remark_does_not():
    with pytest.raises(RebootlessError) as caught:
        judge_changes([change()], KERNEL, str, lambda *symbol: False, found())
    rows = {(row["code"], row["details"].get("member")) for row in caught.value.details["findings"]}
    assert set(FINDINGS) <= rows and not set(REMARKS) & rows
    assert {(row.code, row.thing) for row in found().told(change())} == set(REMARKS)


def test_bit_fields_are_told_apart_by_their_place():
    types = change().difference.types[1]
    of = bit_fields_of(types)
    assert of(Member("struct bit_field", ""), 32, 3) == [("old", 1), ("checked", 1)]
    assert of(Member("struct bit_field", ""), 32, 0xFC) == [("rest", 0x3F)]
    assert of(Member("struct unheard_of", ""), 0, 1) == []


def test_custom_code_can_claim_a_finding_and_a_remark_and_what_it_does_is_its_own_affair(tmp_path):
    post = compile_fixture("living_objects", tmp_path / "post.o", *SECTIONED, "-DPOST", "-DCLAIMED")
    pre = change().difference.correlation.pre.object
    claiming = UnitChange("vmlinux", change().unit, change().pre, compare(pre, ObjectFile(post)))
    text = (FIXTURES / "diff_living_objects.c").read_text(encoding="utf-8")
    own, custom = (set(re.findall(r"[A-Za-z_]\w*", part)) for part in text.split("#ifdef CLAIMED"))
    dumps = dump("living_objects"), dump("living_objects", "-DPOST", "-DCLAIMED")
    members = read_members(*dumps, bit_fields_of(claiming.difference.types[1]), own, custom - own)
    living = living_objects([claiming], {claiming.unit: members})
    assert sentences(living.findings) == FINDINGS
    with pytest.raises(RebootlessError) as caught:
        judge_changes([claiming], KERNEL, str, lambda *symbol: False, living)
    rows = {(row["code"], row["details"].get("member")) for row in caught.value.details["findings"]}
    assert set(FINDINGS) - rows == {("state_missing", "struct claimed.flags")}
    told = {(row.code, row.thing) for row in living.told(claiming)}
    assert set(REMARKS) - told == {("state_missing", "struct claimed.kept")}
