# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches that reach units through files that they include, with a stock kernel's own source."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.narrower import Narrower
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.includes import IncludeGraph
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.compiler import (
    SECTION_FLAGS,
    Compiler,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import Overlay, PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import parse_patch
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.saved_command import dependency_file
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.update import Builder, UpdateSource
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.builds import COLLECTION, Edit

RELEASE = "6.1.0-50-cloud-amd64"
FIB = "net/ipv4/fib_lookup.h"
# An inline function that two of the three units use which include its header.
INLINE = Edit(FIB, "fa_state | FA_S_ACCESSED)", "fa_state | FA_S_ACCESSED | 2)")


@pytest.fixture(scope="module")
def tree(builds):
    return read_tree(builds.tree(RELEASE)["path"])


@pytest.fixture(scope="module")
def builder(tree, builds, tmp_path_factory):
    cache = builds.fresh_cache(RELEASE, tmp_path_factory.mktemp("headers") / "cache")
    return Builder(tree, COLLECTION / "kmod", cache, os.cpu_count() or 1, Phases())


@pytest.fixture
def build(builder, builds):
    def make(*edits, check=False):
        text = "".join(builds.patch(RELEASE, edit) for edit in edits)
        update = UpdateSource("headers", "1", (), (parse_patch("fix.patch", text.encode()),))
        return builder.foresee(update) if check else builder.build(update)

    return make


def test_equal_headers_in_the_place_of_the_originals_make_the_same_object(tree, tmp_path):
    """Every header that a unit reads is replaced by a copy; the unit is one that Kbuild spells through another one."""
    [pre] = Compiler(tree, 2).pre([tree.units.units["virt/kvm/eventfd.o"]])
    source = Path(tree.source)

    def compiled(name, files):
        overlay = Overlay(source, tmp_path / name, {path: (source / path).read_bytes() for path in files})
        for path in files:
            overlay.make_real(os.path.dirname(path))
        overlay.admit([pre.command])
        output = tmp_path / f"{name}.o"
        command = pre.command.compile(overlay.place, output, SECTION_FLAGS)
        subprocess.run(["sh", "-e", "-c", command], cwd=tree.build, check=True)
        read = dependency_file(output).read_text(encoding="utf-8")
        overlay.check(read)
        prefix = f"{overlay.place.there}/"
        return output, {os.path.normpath(word.removeprefix(prefix)) for word in read.split() if prefix in word}

    first, read = compiled("first", [])
    assert len(read) > 300
    second, _read = compiled("second", sorted(path for path in read if (source / path).is_file()))
    assert first.read_bytes() == second.read_bytes() == pre.sectioned.read_bytes()


def test_the_command_of_every_unit_is_known(tree, tmp_path):
    """One without counts as changed by every header, and is compiled for nothing."""
    units = list(tree.units.units.values())
    source = PatchedSource(Path(tree.source), tmp_path, [])
    commands = Narrower(tree, source, IncludeGraph({}), 2).commands(units)
    assert [unit.name for unit, command in zip(units, commands, strict=True) if command is None] == []


def test_a_header_changes_the_units_that_use_what_changes(build):
    done = build(INLINE)
    assert done.facts["units"] == ["net/ipv4/fib_semantics.o", "net/ipv4/fib_trie.o"]
    assert {row["name"]: row["change"] for row in done.facts["functions"]} == {
        "fib_select_path": "changed",
        "fib_table_lookup": "changed",
    }
    foreseen = build(Edit(FIB, INLINE.old, INLINE.new.replace("2", "4")), check=True)
    assert {"net/ipv4/route.o", *done.facts["units"]} <= set(foreseen.facts["units"])


def test_lines_that_move_in_a_header_change_nothing(build):
    """BUG_ON() and WARN_ON() put the number of their line into objects."""
    done = build(Edit("fs/ext4/ext4_extents.h", "#define EXT_INIT_MAX_LEN", "\n/* more */\n#define EXT_INIT_MAX_LEN"))
    assert not done.applicable
    assert [row["code"] for row in done.facts["not_applicable"]] == ["same_object"]


def test_a_source_that_others_include_changes_all_of_them(build):
    """drivers/md/raid1-10.c is a part of two modules, and no unit itself."""
    done = build(Edit("drivers/md/raid1-10.c", "\tint idx = 0;\n", "\tint idx = 0;\n\n\tif (!rp)\n\t\treturn;\n"))
    assert done.facts["units"] == ["drivers/md/raid1.o", "drivers/md/raid10.o"]
    assert {row["object"] for row in done.facts["functions"]} == {"raid1", "raid10"}


def test_a_header_that_nothing_built_includes_is_an_answer(build):
    done = build(Edit("net/bluetooth/smp.h", "#ifndef __SMP_H\n", "#ifndef __SMP_H\n#define X 1\n"))
    assert [row["code"] for row in done.facts["not_applicable"]] == ["not_built"]


def test_a_header_of_the_vdso_may_change_what_the_vdso_leaves_alone(build):
    """The vdso's sources include it, and few others."""
    old = "#include <uapi/linux/time.h>\n"
    done = build(Edit("arch/x86/include/asm/vgtod.h", old, f"{old}\nextern void clock_more(void);\n"))
    assert [row["code"] for row in done.facts["not_applicable"]] == ["same_object"]


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (Edit("arch/x86/include/asm/cpufeatures.h", "#define X86_FEATURE_FPU\t\t\t", "#define X86_FEATURE_FPU\t\t"),
         "generated_source_changes"),
        (Edit("arch/x86/include/asm/vdso/processor.h", "rep_nop();", "rep_nop();\n\trep_nop();"),
         "vdso_not_supported"),
        # A unit of the kernel, and a part of what prepares another kernel.
        (Edit("lib/crypto/sha256.c", "sctx->count += len;", "sctx->count += len + 1;"), "embedded_code_not_supported"),
    ],
)  # fmt: skip
def test_headers_of_what_cannot_be_exchanged_are_refused_by_name(build, edit, code):
    with pytest.raises(RebootlessError) as caught:
        build(edit)
    assert caught.value.code == code
