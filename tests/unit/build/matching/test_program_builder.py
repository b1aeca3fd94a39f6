# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Match programs made from real objects: what they hold, and what the matcher makes of them."""

from __future__ import annotations

import random

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.record import X86_64
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.matcher_library import build_library
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.program_builder import ProgramBuilder
from ansible_collections.rebootless.splice.plugins.module_utils._common import match_program as layout
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.matcher import Matcher
from ansible_collections.rebootless.splice.tests.support.matching.harness import KMOD
from ansible_collections.rebootless.splice.tests.support.matching.staged import FIXTURES, Stage, compiled

KERNEL, LATER = X86_64.kernel_of("6.1.176-1"), X86_64.kernel_of("6.12.107-1~deb12u1")
REFUSED = ("place_unknown_section.S", "place_too_many.S")
MATCHED = sorted(path.name for path in FIXTURES.glob("place*_*") if path.name not in REFUSED)


@pytest.fixture(scope="module")
def matcher(tmp_path_factory):
    return Matcher(build_library(tmp_path_factory.mktemp("library") / "libmatch.so", KMOD, X86_64))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """``built(name)``: the program of a fixture, parsed, and its builder."""
    directory, known = tmp_path_factory.mktemp("objects"), {}

    def build(name):
        if name not in known:
            builder = ProgramBuilder(LATER if name.startswith("place612_") else KERNEL)
            assert builder.add_unit("vmlinux", f"fixtures/{name}.o", compiled(directory, name)) == 0
            known[name] = layout.Program(builder.serialize()), builder
        return known[name]

    return build


@pytest.mark.parametrize("name", MATCHED)
def test_program_matches_every_kernel_that_it_allows(matcher, built, name):
    program, _builder = built(name)
    matcher.check(program.blob)
    for seed in (None, *range(8)):
        stage = Stage(program)
        result = matcher.match(program.blob, stage.memory(seed))
        assert result.ok, result.details(program)
        for index, section in enumerate(program.sections):
            if section.compared:
                assert result.bases[index] == stage.bases[index]


@pytest.mark.parametrize("name", MATCHED)
def test_any_flipped_bit_is_refused(matcher, built, name):
    program, _builder = built(name)
    stage, generator = Stage(program), random.Random(name)
    memory = stage.memory(seed=1)
    compared = [index for index, section in enumerate(program.sections) if section.compared]
    for index in compared:
        data = memory.regions[stage.bases[index]]
        for offset in range(len(data)):
            bit = 1 << generator.randrange(8)
            data[offset] ^= bit
            assert not matcher.match(program.blob, memory).ok, (program.sections[index].name, offset, bit)
            data[offset] ^= bit
    assert matcher.match(program.blob, memory).ok


def test_what_the_kernel_puts_into_a_modules_code_is_the_kernels(tmp_path):
    builder = ProgramBuilder(KERNEL, {"__SCT__hook": "other"}.get)
    builder.add_unit("one", "one.o", compiled(tmp_path, "place_static_call_module.S"))
    builder.add_unit("one", "two.o", compiled(tmp_path, "place_static_call_trampoline.S"))
    objects = {symbol.name: symbol.object for symbol in layout.Program(builder.serialize()).symbols}
    assert objects["x86_return_thunk"] == "vmlinux"
    assert (objects["__SCT__hook"], objects["__SCK__hook"]) == ("other", "other")
    assert objects["__SCK__null"] == "one"


@pytest.mark.parametrize("init", [False, True])
def test_a_modules_initialisation_is_compared_only_while_it_is_loaded(tmp_path, init):
    builder = ProgramBuilder(KERNEL)
    builder.add_unit("one", "one.o", compiled(tmp_path, "place_references.c"), init=init)
    sections = layout.Program(builder.serialize()).sections
    assert (".init.text" in {section.name for section in sections if section.compared}) == init


def test_sections_that_are_compared(built):
    program, _builder = built("place_references.c")
    compared = {section.name for section in program.sections if section.compared}
    assert compared == {".text", ".sched.text", ".rodata"}
    assert {section.name for section in program.sections} - compared == {".data", ".bss", ".init.text"}
    assert {(section.object, section.unit) for section in program.sections} == {
        ("vmlinux", "fixtures/place_references.c.o")
    }


def test_symbols_of_a_unit(built):
    program, _builder = built("place_references.c")
    by_name = {symbol.name: symbol for symbol in program.symbols if symbol.name}
    local = {name for name, symbol in by_name.items() if symbol.kind == layout.SYMBOL_LOCAL}
    assert {"hidden", "visible", "once", "hidden_data", "visible_data", "zeroed", "table"} <= local
    assert all(by_name[name].flags == layout.SYMBOL_KALLSYMS for name in local)
    assert all(by_name[name].object == "vmlinux" for name in by_name)
    # Another unit's definition may have taken the place of a weak one.
    assert {by_name[name].kind for name in ("outside", "outside_data", "overridable")} == {layout.SYMBOL_GLOBAL}
    assert by_name["visible"].size > 0


def test_module_units_may_refer_to_any_module(tmp_path):
    builder = ProgramBuilder(KERNEL)
    builder.add_unit("some_module", "drivers/some.o", compiled(tmp_path, "place_references.c"))
    program = layout.Program(builder.serialize())
    objects = {symbol.name: symbol.object for symbol in program.symbols if symbol.name}
    assert objects["outside"] == "" and objects["visible"] == "some_module"
    assert {section.object for section in program.sections} == {"some_module"}


def test_update_symbols_are_stable_and_single(tmp_path):
    builder = ProgramBuilder(KERNEL)
    first = builder.global_symbol("printk", "vmlinux")
    pre = compiled(tmp_path, "place_references.c")
    unit = builder.add_unit("vmlinux", "a.o", pre)
    assert builder.global_symbol("printk", "vmlinux") == first
    assert builder.global_symbol("printk") != first
    where = next((s.section.name, s.value, s.name, s.size) for s in pre.symbols if s.name == "hidden_data")
    data = builder.local_symbol(unit, *where)
    assert builder.local_symbol(unit, *where) == data
    other = builder.add_unit("vmlinux", "b.o", pre)
    assert builder.local_symbol(other, *where) != data
    builder.need(first)
    builder.need(data)
    symbols = layout.Program(builder.serialize()).symbols
    assert symbols[first].name == "printk" and symbols[first].flags == layout.SYMBOL_NEEDED
    assert symbols[data].flags == layout.SYMBOL_NEEDED | layout.SYMBOL_KALLSYMS


def test_local_symbol_of_a_section_that_code_does_not_use(tmp_path, matcher):
    """The update needs data of which only other data knew: the symbol table tells where it is."""
    builder = ProgramBuilder(KERNEL)
    unit = builder.add_unit("vmlinux", "a.o", compiled(tmp_path, "place_lock.S"))
    with pytest.raises(RebootlessError) as refused:
        builder.local_symbol(unit, ".data.absent", 0, "nothing")
    assert refused.value.code == "unknown_reference" and refused.value.details["section"] == ".data.absent"
    unit = builder.add_unit("vmlinux", "b.o", compiled(tmp_path, "place_literals.c"))
    symbol = builder.local_symbol(unit, ".data", 8, "unused_data", 4)
    builder.need(symbol)
    program = layout.Program(builder.serialize())
    assert not any(reloc.symbol == symbol for reloc in program.relocs)
    stage = Stage(program)
    assert matcher.match(program.blob, stage.memory()).values[symbol] == stage.values[symbol]


def test_equal_rows_are_stored_once(built):
    program, _builder = built("place_references.c")
    calls = [
        p for p in program.places if program.contents_of(p) and p.kind == layout.PLACE_KINDS.index("ftrace entry site")
    ]
    assert len(calls) == 3
    assert len({place.first_content for place in calls}) == 1
    names = [symbol.name for symbol in program.symbols if symbol.name]
    assert len(names) == len(set(names))


def test_table_of_the_symbol_table_itself_is_only_asked_to_agree(tmp_path, matcher):
    """kallsyms leaves its own tables out: their addresses come from the code, and have to be the same in all of it."""
    builder = ProgramBuilder(KERNEL)
    builder.add_unit("vmlinux", "kernel/kallsyms.o", compiled(tmp_path, "place_missing_symbol.S"))
    program = layout.Program(builder.serialize())
    assert "kallsyms_names" not in {symbol.name for symbol in program.symbols}
    stage = Stage(program)
    memory = stage.memory()
    assert matcher.match(program.blob, memory).ok
    text = memory.regions[stage.bases[0]]
    text[3] ^= 1  # the first of two references
    result = matcher.match(program.blob, memory)
    assert not result.ok and program.sections[result.section].name == ".text"
