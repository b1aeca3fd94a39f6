# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Custom code: found in the object, excuses what it handles and nothing else, and is compiled where it belongs."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.line_numbers import Line
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import PatchedFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision import claims
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import decide
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange, compare
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import custom_code
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import unit as findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.objects import (
    KERNEL,
    SECTIONED,
    compile_fixture,
    decision,
    object_file,
    unit_change,
)
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION, CUSTOM

KMOD = pathlib.Path("/collection/kmod")


def test_what_is_handled_is_no_reason_to_refuse():
    decided = decision("custom_code")
    rows = findings.findings_of(decided)
    assert [(row.code, row.thing) for row in rows] == [("variable_changed", "limit")]
    assert custom_code.excuse(decided.change, rows) == findings.refusals(decided) == []


def test_a_claim_without_a_finding_is_refused(tmp_path):
    post = ObjectFile(compile_fixture("custom_code", tmp_path / "post.o", *SECTIONED, "-DPOST", "-DTOO_MUCH"))
    pre = object_file("custom_code", "pre")
    change = UnitChange("vmlinux", "fixtures/custom_code.o", object_file("custom_code", "exact"), compare(pre, post))
    with pytest.raises(RebootlessError) as error:
        custom_code.excuse(change, findings.findings_of(decide(change, KERNEL)))
    assert error.value.code == "handles_nothing" and "nobody" in error.value.sentence


def test_what_no_code_can_take_care_of_cannot_be_claimed():
    change = unit_change("custom_code")
    rows = [findings.Finding("data_resized", "", {"data": "limit"})]
    with pytest.raises(RebootlessError) as error:
        custom_code.excuse(change, rows)
    assert error.value.code == "handles_nothing"


def test_without_custom_code_findings_stay():
    decided = decision("static_local_changed")
    rows = findings.findings_of(decided)
    assert custom_code.excuse(decided.change, rows) == findings.refusals(decided) == rows != []


def test_stages_are_told_in_order():
    assert claims.stages(object_file("custom_code", "post")) == ["apply", "reverse"]
    assert claims.stages(object_file("custom_code", "pre")) == []


def test_stages_are_those_of_the_helper():
    header = (COLLECTION / "kmod" / "rebootless.h").read_text(encoding="utf-8")
    _before, found, rest = header.partition("enum rbl_hook_stage {")
    assert found
    words = [word.strip() for word in rest.partition("}")[0].split(",")]
    assert words[:10] == [f"RBL_{stage.upper()}" for stage in claims.STAGES]


def test_custom_code_itself_is_carried_and_changes_nothing_else():
    difference = unit_change("custom_code").difference
    assert {(f.change, f.name) for f in difference.functions} == {("new", "raise_limit"), ("new", "lower_limit")}
    assert {(d.change, d.name) for d in difference.data} == {("changed", "limit"), ("new", "old_limit")}


def test_it_is_compiled_at_the_end_of_its_source():
    code = custom_code.CustomCode("fix.c", "net/a.c", b"#include <rebootless_custom.h>\nint x;\n")
    patched = PatchedFile("net/a.c", (Line("int y;", 1),), ())
    other = PatchedFile("net/b.c", (Line("int z;", 1),), ())
    a, b = custom_code.attach([patched, other], [code], KMOD)
    assert a.text().decode().splitlines() == [
        *("int y;", '#line 1 "custom/fix.c"', f'#include "{KMOD}/rebootless_custom.h"', "int x;", ""),
    ]
    assert b.text() == b"int z;\n"


def test_it_needs_a_source_that_the_patches_change():
    code = custom_code.CustomCode("fix.c", "net/c.c", b"")
    with pytest.raises(RebootlessError) as error:
        custom_code.attach([PatchedFile("net/a.c", (), ())], [code], KMOD)
    assert error.value.code == "custom_code_without_source"


def test_reading_custom_code(tmp_path):
    (tmp_path / "fix.c").write_text("int x;\n", encoding="utf-8")
    code = custom_code.read_custom(tmp_path / "fix.c", "net/a.c")
    assert (code.name, code.source, code.content) == ("fix.c", "net/a.c", b"int x;\n")
    for path, source, expected in (
        (tmp_path / "missing.c", "net/a.c", "custom_code_not_readable"),
        (tmp_path / "fix.c", "net/a.S", "bad_custom_code"),
    ):
        with pytest.raises(RebootlessError) as error:
            custom_code.read_custom(path, source)
        assert error.value.code == expected


@pytest.mark.parametrize("path", sorted(CUSTOM.rglob("*.c")), ids=lambda path: path.relative_to(CUSTOM).parts[0])
def test_the_corpus_custom_code_is_read(path):
    source = "/".join(path.relative_to(CUSTOM).parts[1:])
    assert custom_code.read_custom(path, source).content.count(b"#include <rebootless_custom.h>") == 1
