# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Safety findings: what exchanging code cannot bring about is found and named."""

from __future__ import annotations

import functools

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import unit as findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.custom_code import NEVER_HANDLED
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import (
    export_checksums,
    read_symvers,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import DebugTypes
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.handed_out import handed_out
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.objects import compile_fixture, decision


@functools.cache
def found(construct, object_name="vmlinux"):
    return findings.findings_of(decision(construct, object_name))


def sentences(rows, code):
    return sorted(row.sentence for row in rows if row.code == code)


@pytest.mark.parametrize(
    "construct",
    [
        "alternative",
        "bug_table",
        "changed_function",
        "clones",
        "constant",
        "clone_numbers",
        "cosmetic",
        "functions_come_and_go",
        "other_data",
        "own_constant",
        "merged_constant",
        "paravirt",
        "shared_section",
        "sites",
        "static_locals",
        "strings",
        "syscall",
    ],
)
def test_what_can_be_made_live_has_no_findings(construct):
    assert found(construct) == []


def test_data_that_exists_keeps_its_value_size_and_place():
    rows = found("data")
    assert {row.code for row in rows} == {"variable_changed", "data_resized", "data_moved", "data_removed"}
    assert sentences(rows, "data_resized") == ["The variable resized grows from 16 to 24 bytes."]
    assert sentences(rows, "variable_changed") == [
        "The initial value of the variable value changes (value: 1 -> 2); the running kernel keeps the old one."
    ]
    assert all(row.details["unit"] == "fixtures/data.o" for row in rows)


def test_a_static_locals_value_changes():
    (row,) = found("static_local_changed")
    assert row.code == "variable_changed"


def test_boot_code_has_run_and_built_in_code_has_no_exit():
    assert {(row.code, row.details["function"]) for row in found("boot_code")} == {
        ("init_code_changed", "start"),
        ("exit_code_changed", "stop"),
    }


def test_a_modules_exit_is_living_code():
    codes = {(row.code, row.details["function"]) for row in found("boot_code", "loadable")}
    assert codes == {("init_code_changed", "start")}


def test_a_loadable_modules_init_code_is_replaced_when_it_is_loaded():
    decided = decision("module_init", "loadable")
    rows = findings.findings_of(decided)
    assert [row.details["function"] for row in rows] == ["own_init", "new_step"]
    assert findings.refusals(decided) == []
    assert decided.init_functions == ["own_init"]
    (remark,) = findings.remarks(decided)
    assert remark.code == "init_has_run"
    assert remark.sentence == (
        "The function own_init runs only when the module loadable is loaded: a host that has loaded it refuses the "
        "update until it is unloaded."
    )


def test_the_kernels_own_init_code_stays_a_finding():
    decided = decision("module_init")
    rows = findings.findings_of(decided)
    assert len(rows) == 2 and findings.refusals(decided) == rows
    assert decided.init_functions == []


def test_init_code_that_is_none_any_more_is_not_in_memory():
    """What only replaced code uses is new to it; what others may use is missed there."""
    assert sentences(found("no_longer_init"), "init_code_changed") == [
        "The function becomes_init changes, but it runs only while the kernel or the module starts, and has run.",
        "The function was_init was init code, which is not in memory any more; other code would go on using it there.",
    ]


def test_layouts():
    assert sentences(found("layout"), "layout_changed") == [
        "struct inner grows from 4 to 8 bytes; objects of the old layout are alive.",
        "swapped_t was struct { long int first @0:0; long int second @64:0 } of 16 bytes and becomes "
        "struct { long int second @0:0; long int first @64:0 } of 16 bytes; objects of the old layout are alive.",
        "the member flag of struct bits was a bit-field of 1 bit and becomes a bit-field of 2 bits; "
        "objects of the old layout are alive.",
        "the member refs of struct retyped was unsigned int and becomes struct { int counter @0:0 } of 4 bytes; "
        "objects of the old layout are alive.",
    ]
    inner = next(row for row in found("layout") if row.details["type"] == "struct inner")
    assert inner.details["also_changed"] == ["struct outer"]


def test_constants_of_enumerations_that_existing_objects_hold():
    assert sentences(found("layout"), "constant_renumbered") == [
        "The constant FIRST_OLD was 0 and becomes 1; existing objects hold the old number.",
        "The constant STATE_GONE was 1 and becomes 2; existing objects hold the old number.",
    ]


def test_variables_that_become_something_else():
    assert sentences(found("layout"), "variable_retyped") == [
        "The variable lock was struct mutex and becomes struct semaphore; it keeps what it holds."
    ]


def test_exported_symbols():
    assert sentences(found("exports"), "exports_changed") == [
        "The symbol before is not exported any more; the running kernel's list of exported symbols cannot be changed.",
    ]


@pytest.fixture
def checksums(monkeypatch):
    """Other checksums for the given symbols of every pre object than of every post object."""

    def other(*names):
        def of(path):
            return {name: 1 if str(path).endswith(".pre.o") else 2 for name in names}

        monkeypatch.setattr(findings, "export_checksums", of)

    return other


def test_a_checksum_that_other_words_change_is_no_finding(checksums):
    checksums("renamed")
    assert findings.findings_of(decision("own_constant")) == []
    checksums("table_of")
    assert findings.findings_of(decision("own_constant")) == []


def test_a_checksum_of_another_prototype_or_type_is_a_finding(checksums):
    checksums("prototype")
    (row,) = findings.findings_of(decision("kept_function"))[-1:]
    assert row.code == "export_checksum_changed"
    assert "it was int (int) and becomes int (long int)" in row.sentence
    checksums("user")
    codes = [row.code for row in findings.findings_of(decision("layout"))]
    assert "export_checksum_changed" in codes and "layout_changed" in codes


def test_a_function_whose_address_was_handed_out_is_missed():
    rows = [row for row in found("kept_function") if row.code == "function_kept"]
    assert [(row.details["function"], row.details["by"]) for row in rows] == [
        ("old_callback", ["register_it"]),
        ("old_method", ["methods"]),
    ]


def test_new_functions_whose_address_is_handed_out():
    assert handed_out(decision("kept_function")) == ["new_callback", "new_method", "new_entry"]


def test_new_data_that_objects_may_point_to():
    here, elsewhere = decision("taken_here"), decision("taken_elsewhere")
    assert set(handed_out(here)) == {"new_call", "new_list", "new_operations", "new_work"}
    assert set(handed_out(here, [here, elsewhere])) == {
        *("new_call", "taken_elsewhere"),
        *("new_list", "new_operations", "new_work", "list_elsewhere"),
    }
    assert handed_out(elsewhere, [here, elsewhere]) == []


def test_jumps_that_cannot_be_written():
    assert {(row.code, row.details["function"]) for row in found("jump_room")} == {
        ("no_room_for_jump", "small"),
        ("entered_in_the_middle", "two_doors"),
    }  # not roomy and branch_first: a static branch begins under their jumps


def test_a_static_call_under_the_jump():
    (row,) = found("static_call")
    assert (row.code, row.details["under"]) == ("jump_over_rewritten_code", "a static call")


def test_functions_that_are_never_left_are_named_with_who_is_in_them():
    """A loadable module may have functions of such names, in which no such thread is."""
    assert sentences(found("never_left"), "never_left") == [
        "The function multi_cpu_stop changes, and the stopper threads of processors are in it whenever a switch could "
        "be made, so that every host would refuse it.",
        "The function start_secondary changes, and the idle threads of processors are in it whenever a switch could be "
        "made, so that every host would refuse it.",
    ]
    assert found("never_left", "a_module") == []
    assert "never_left" in NEVER_HANDLED


def test_findings_are_plain_data():
    (row,) = found("static_local_changed")
    assert row.as_dict() == {"code": row.code, "sentence": row.sentence, "details": row.details}


def test_an_object_without_debug_information_has_no_types(tmp_path):
    types = DebugTypes(compile_fixture("layout", tmp_path / "bare.o", "-g0"))
    assert (types.layouts, types.never_return) == ({}, set())


def test_damaged_debug_information_is_refused(tmp_path):
    path = compile_fixture("layout", tmp_path / "damaged.o")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RebootlessError) as error:
        DebugTypes(path)
    assert error.value.code == "bad_object"


def test_checksums_stand_beside_the_object(tmp_path):
    (tmp_path / ".unit.o.cmd").write_text("cmd_unit.o := gcc\n\n#SYMVER unix_peer_get 0x39ff271a\n", encoding="utf-8")
    assert export_checksums(tmp_path / "unit.o") == {"unix_peer_get": 0x39FF271A}
    assert export_checksums(tmp_path / "other.o") == {}


def test_symvers_are_read(tmp_path):
    path = tmp_path / "Module.symvers"
    path.write_text(
        "0x12345678\tfoo\tvmlinux\tEXPORT_SYMBOL_GPL\tNAMES\n0x00000001\tbar\tfs/ext4/ext4\tEXPORT_SYMBOL\n"
    )
    exports = read_symvers(path)
    assert (exports["foo"].crc, exports["foo"].module, exports["foo"].namespace) == (0x12345678, "vmlinux", "NAMES")
    assert (exports["bar"].module, exports["bar"].namespace) == ("fs/ext4/ext4", "")


@pytest.mark.parametrize("text", ["nonsense\n", "0xzz\tfoo\tvmlinux\tEXPORT_SYMBOL\t\n"])
def test_other_files_are_no_symvers(tmp_path, text):
    path = tmp_path / "Module.symvers"
    path.write_text(text)
    with pytest.raises(RebootlessError) as error:
        read_symvers(path)
    assert error.value.code == "bad_symvers"


def test_what_runs_only_when_something_is_set_up_is_remarked():
    rows = findings.remarks(decision("existing_objects"))
    assert {row.details["function"]: row.details["where"] for row in rows} == {
        "map_it": "platform_driver.probe of drivers",
        "my_fill_super": "file_system_type.mount of my_type",
    }
    assert sorted(row.sentence for row in rows)[0] == (
        "The function map_it runs only when a device is bound to its driver (platform_driver.probe of drivers): "
        "devices that are bound stay as they are until they are bound anew."
    )


def test_what_only_boot_code_calls_has_run():
    assert sentences(found("existing_objects"), "init_code_changed") == [
        "The function for_boot changes, but only boot calls it, which runs while the kernel starts, and has run.",
        "The function late is new, but only late_entry calls it, which runs while the kernel starts, and has run.",
    ]
    assert found("existing_objects", "a_module") == []
    rows = findings.remarks(decision("existing_objects", "a_module"))
    assert "for_boot" in {row.details["function"] for row in rows}
