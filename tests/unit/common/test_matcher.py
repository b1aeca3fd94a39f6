# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matcher: what it accepts, what it refuses and says of it.  Every case runs sanitized and through libmatch.so."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.record import X86_64
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.matcher_library import build_library
from ansible_collections.rebootless.splice.plugins.module_utils._common import match_program as layout
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.matcher import Matcher
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.memory_file import memory_file
from ansible_collections.rebootless.splice.tests.support.matching import harness
from ansible_collections.rebootless.splice.tests.support.matching.harness import (
    ABS32,
    ABS32S,
    ABS64,
    FENTRY,
    INDIRECT_PC32,
    PC8,
    PC32,
    RELOCATION,
    Memory,
    Writer,
    field,
)
from ansible_collections.rebootless.splice.tests.support.matching.world import World

BASE, OTHER = 0xFFFFFFFF81000000, 0xFFFFFFFF81400000
NOP5 = bytes.fromhex("0f1f440000")
many = settings(max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    driver = harness.Sanitized(tmp_path_factory.mktemp("driver"))
    yield driver
    driver.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return Matcher(build_library(tmp_path_factory.mktemp("library") / "libmatch.so", harness.KMOD, X86_64))


@pytest.fixture(scope="module")
def match(sanitized, library):
    """Both builds of the matcher, which must agree."""

    def run(program, memory):
        result, other = sanitized.match(program, memory), library.match(program, memory)
        other.sentence = other.next_step = ""
        assert result == other
        return result

    return run


# ---- properties ----


@many
@given(st.integers(0, 2**32))
def test_every_allowed_content_is_accepted_and_all_is_learned(match, seed):
    world = World(seed)
    result = match(world.program, world.memory())
    assert result.code == "ok", result
    assert result.bases.items() <= world.bases.items()
    assert result.values.items() <= world.values.items()
    sections, symbols = layout.Program(world.program).sections, layout.Program(world.program).symbols
    assert all(index in result.bases for index, section in enumerate(sections) if section.compared)
    assert all(index in result.values for index, s in enumerate(symbols) if s.flags & layout.SYMBOL_NEEDED)


@many
@given(st.integers(0, 2**32), st.data())
def test_any_flipped_byte_outside_a_variable_place_is_refused_where_it_stands(match, seed, data):
    world = World(seed)
    memory = world.memory()
    address = data.draw(st.sampled_from(world.plain))
    flip(memory, address, data.draw(st.integers(1, 255)))
    result = match(world.program, memory)
    assert (result.code, result.address) == ("no_match", address)
    assert result.expected[0] != result.found[0] and len(result.expected) == len(result.found)
    assert result.place_kind is None


@many
@given(st.integers(0, 2**32), st.data())
def test_any_foreign_content_of_a_place_is_refused(match, seed, data):
    world = World(seed)
    memory = world.memory()
    address, length, kind, relocs, allowed = data.draw(st.sampled_from(world.spots))
    at = data.draw(st.integers(0, length - 1))
    flip(memory, address + at, data.draw(st.integers(1, 255)))
    running = memory.read(address, length)
    result = match(world.program, memory)
    if running in allowed:
        assert result.code == "ok"
        return
    assert result.code == ("entry_in_use" if kind == FENTRY and running[0] == 0xE8 else "no_match")
    assert address <= result.address <= address + at
    assert result.place_kind == kind


@many
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_hostile_programs_never_lead_outside(sanitized, seed, mutation):
    world = World(seed)
    rng = random.Random(mutation)
    for _unused in range(40):
        blob = bytearray(world.program)
        for _unused in range(rng.choice((1, 1, 2, 8))):
            mutate(blob, rng)
        result = sanitized.match(harness.seal(bytes(blob)), world.memory())
        assert result.code in harness.CODES


@many
@given(st.integers(0, 2**32), st.data())
def test_a_damaged_program_is_refused(match, library, seed, data):
    program = World(seed).program
    cut = data.draw(st.integers(0, len(program) - 1))
    flipped = bytearray(program)
    flipped[cut] ^= data.draw(st.integers(1, 255))
    for damaged in (program[:cut], program + b"\0", bytes(flipped)):
        with pytest.raises(RebootlessError) as refusal:
            library.check(damaged)
        assert refusal.value.code == "bad_program"
        assert refusal.value.next_step


def flip(memory, address, bits):
    for start, data in memory.regions.items():
        if start <= address < start + len(data):
            data[address - start] ^= bits


def mutate(blob, rng):
    """Overwrites one integer of a table or of the header with one that is likely to hurt."""
    at = rng.randrange(24, len(blob) // 2) & ~3 if rng.random() < 0.9 else rng.randrange(0, len(blob) - 4) & ~3
    interesting = (0, 1, 2, 3, 255, 256, 0xFFFF, len(blob), len(blob) - 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
    old = struct.unpack_from("<I", blob, at)[0]
    new = rng.choice((*interesting, old + 1, old - 1, old ^ 1 << rng.randrange(32), rng.randrange(2**32)))
    struct.pack_into("<I", blob, at, new & 0xFFFFFFFF)


# ---- candidates ----


def twins(flags):
    writer = Writer()
    writer.local(writer.section(".text", b"\x90" * 32), 0, "twin", layout.SYMBOL_KALLSYMS | flags)
    memory = Memory({BASE: b"\x90" * 32, OTHER: bytearray(b"\x90" * 32)}, {("twin", "vmlinux"): [BASE, OTHER]})
    return writer.serialize(), memory


def test_two_equal_copies_are_ambiguous(match):
    result = match(*twins(layout.SYMBOL_NEEDED))
    assert (result.code, result.candidates, result.survivors, result.section) == ("ambiguous_match", 2, 2, 0)
    assert result.symbol == 0


def test_which_of_equal_copies_it_is_matters_only_if_an_address_is_needed(match):
    program, memory = twins(0)
    result = match(program, memory)
    assert (result.code, result.bases, result.values) == ("ok", {}, {})
    memory.regions[OTHER][31] = 0xCC
    result = match(program, memory)
    assert (result.code, result.bases) == ("ok", {0: BASE})
    memory.regions[BASE] = memory.regions[OTHER]
    assert match(program, memory).code == "no_match"


def test_the_same_address_twice_is_no_ambiguity(match):
    writer = Writer()
    writer.local(writer.section(".text", b"\x90" * 32), 0, "f")
    result = match(writer.serialize(), Memory({BASE: b"\x90" * 32}, {("f", "vmlinux"): [BASE, BASE]}))
    assert (result.code, result.bases) == ("ok", {0: BASE})


def test_another_section_tells_equal_copies_apart(match):
    writer = Writer()
    twin = writer.section(".text.unlikely", b"\x90" * 32)
    inside = writer.local(twin, 8)
    writer.local(twin, 0, "twin")
    writer.local(1, 0, "caller")
    writer.section(".text", b"\xe8" + bytes(4) + b"\xcc", [(1, 4, RELOCATION, [(bytes(4), [(0, PC32, inside, -4)])])])
    code = b"\xe8" + field(PC32, OTHER + 8, -4, BASE + 0x1001) + b"\xcc"
    memory = Memory(
        {BASE: b"\x90" * 32, OTHER: b"\x90" * 32, BASE + 0x1000: code},
        {("twin", "vmlinux"): [BASE, OTHER], ("caller", "vmlinux"): [BASE + 0x1000]},
    )
    result = match(writer.serialize(), memory)
    assert (result.code, result.bases) == ("ok", {0: OTHER, 1: BASE + 0x1000})
    assert result.values[inside] == OTHER + 8
    memory.regions[OTHER] = b"\x90" * 31 + b"\xcc"
    result = match(writer.serialize(), memory)
    assert (result.code, result.address, result.candidates) == ("no_match", OTHER + 31, 1)


def test_a_section_without_names_is_found_through_another(match):
    writer = Writer()
    hidden = writer.section(".text.unlikely", b"\x90\x91\x92\x93")
    inside = writer.local(hidden, 2)
    writer.local(1, 0, "caller")
    writer.section(".text", b"\xe8" + bytes(4), [(1, 4, RELOCATION, [(bytes(4), [(0, PC32, inside, -4)])])])
    memory = Memory(
        {OTHER: b"\x90\x91\x92\x93", BASE: b"\xe8" + field(PC32, OTHER + 2, -4, BASE + 1)},
        {("caller", "vmlinux"): [BASE]},
    )
    assert match(writer.serialize(), memory).bases == {0: OTHER, 1: BASE}
    memory.table.clear()
    result = match(writer.serialize(), memory)
    assert (result.code, result.section) == ("symbol_not_found", 0)


def test_what_a_refused_candidate_taught_is_forgotten(match):
    """The first candidate teaches `g` a wrong address and `data` a wrong base before it fails at its last byte."""
    writer = Writer()
    g = writer.glob("g", layout.SYMBOL_NEEDED)
    data = writer.section(".data", size=64)
    inside = writer.local(data, 4, "")
    text = bytes(8) + b"\x01"
    writer.local(1, 0, "f")
    writer.section(
        ".text",
        text,
        [(at, 4, RELOCATION, [(bytes(4), [(0, PC32, *what)])]) for at, what in ((0, (g, -4)), (4, (inside, 0)))],
    )

    def code(base, value, data_base, last):
        return field(PC32, value, -4, base) + field(PC32, data_base + 4, 0, base + 4) + last

    wrong = code(BASE, 0xFFFFFFFF81111110, BASE + 0x9000, b"\x02")
    memory = Memory(
        {BASE: wrong, OTHER: code(OTHER, OTHER + 64, OTHER + 96, b"\x01")},
        {("f", "vmlinux"): [BASE, OTHER], ("g", "vmlinux"): [0xFFFFFFFF81111110, OTHER + 64]},
    )
    result = match(writer.serialize(), memory)
    assert (result.code, result.values[g], result.bases) == ("ok", OTHER + 64, {data: OTHER + 96, 1: OTHER})


def test_the_report_is_of_the_candidate_that_came_furthest(match):
    writer = Writer()
    text = bytes(range(1, 65))
    section = writer.section(".text", text)
    names = {"first": 0, "second": 20, "third": 40}
    for name, offset in names.items():
        writer.local(section, offset, name)
    near, far = bytearray(text), bytearray(text)
    near[3] ^= 1
    far[45] ^= 1
    addresses = [BASE, OTHER, BASE + 0x5000]
    table = {(name, "vmlinux"): [address + at for address in addresses] for name, at in names.items()}
    program = writer.serialize()
    result = match(program, Memory({BASE: near, OTHER: far, BASE + 0x5000: b""}, table))
    assert (result.code, result.address, result.offset, result.candidates) == ("no_match", OTHER + 45, 45, 3)
    assert (result.expected, result.found) == (text[45:61], bytes(far[45:61]))
    details = result.details(layout.Program(program))
    assert details == {
        "object": "vmlinux",
        "unit": "a.o",
        "section": ".text",
        "candidates": 3,
        "function": "third",
        "offset": 5,
        "section_offset": 45,
        "address": f"{OTHER + 45:#x}",
        "expected": text[45:61].hex(),
        "found": bytes(far[45:61]).hex(),
    }
    with pytest.raises(RebootlessError) as refusal:
        result.raise_refusal(layout.Program(program))
    assert (refusal.value.code, refusal.value.details) == ("no_match", details)


def test_names_that_lie_elsewhere_refuse_a_candidate(match):
    writer = Writer()
    section = writer.section(".text", b"\x90" * 32)
    writer.local(section, 0, "f")
    writer.local(section, 16, "g")
    table = {("f", "vmlinux"): [BASE], ("g", "vmlinux"): [BASE + 24, OTHER]}
    result = match(writer.serialize(), Memory({BASE: b"\x90" * 32}, table))
    assert (result.code, result.symbol, result.offset) == ("no_match", 1, 16)


def test_two_sections_never_match_the_same_bytes(match):
    """Both copies are wanted; one is corrupt, so that both sections fit the other one only."""
    writer = Writer()
    for unit in ("a.o", "b.o"):
        writer.local(writer.section(".text", b"\x90" * 32, unit=unit), 0, "twin")
    table = {("twin", "vmlinux"): [BASE, OTHER]}
    result = match(writer.serialize(), Memory({BASE: b"\x90" * 32, OTHER: b"\x90" * 31 + b"\xcc"}, table))
    assert (result.code, result.address) == ("no_match", OTHER + 31)


def test_unreadable_memory_is_told_apart(match):
    writer = Writer()
    writer.local(writer.section(".text", b"\x90" * 32), 0, "f")
    result = match(writer.serialize(), Memory({}, {("f", "vmlinux"): [BASE]}))
    assert (result.code, result.address, result.expected) == ("read_fault", BASE, b"")


# ---- places and fields ----


def one_place(contents, kind=RELOCATION, symbols=(), before=b"\x55", after=b"\xc3"):
    """A program of one section with one place; `symbols` create theirs first and return their index."""
    writer = Writer()
    made = [make(writer) for make in symbols]
    contents = [
        (data, [(at, type_, made[which], addend) for at, type_, which, addend in relocs]) for data, relocs in contents
    ]
    length = len(contents[0][0])
    section = writer.section(".text", before + bytes(length) + after, [(len(before), length, kind, contents)])
    writer.local(section, 0, "f")
    return writer.serialize()


def running(place, table=None, regions=None):
    return Memory({BASE: b"\x55" + place + b"\xc3", **(regions or {})}, {("f", "vmlinux"): [BASE], **(table or {})})


def test_a_traced_entry_is_named_so(match):
    program = one_place([(NOP5, [])], FENTRY)
    assert match(program, running(NOP5)).code == "ok"
    traced = match(program, running(b"\xe8\x01\x02\x03\x04"))
    assert (traced.code, traced.expected, traced.found) == ("entry_in_use", NOP5, b"\xe8\x01\x02\x03\x04")
    assert match(program, running(b"\xcc" + NOP5[1:])).code == "no_match"
    assert match(one_place([(NOP5, [])]), running(b"\xe8\x01\x02\x03\x04")).code == "no_match"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ABS64, OTHER),
        (PC32, OTHER),
        (ABS32, 0x1C040),
        (ABS32S, OTHER),
        (PC8, BASE + 40),
        (harness.PC64, 0x1C040),
        (PC32, 0x1C040),
    ],
)
def test_each_kind_of_field_teaches_its_symbol(match, kind, value):
    width = harness.WIDTH[kind]
    program = one_place([(bytes(width), [(0, kind, 0, 4)])], symbols=[lambda w: w.glob("g", layout.SYMBOL_NEEDED)])
    place = field(kind, value, 4, BASE + 1)
    table = {("g", "vmlinux"): [value + 0x100, value]}
    assert match(program, running(place, table)).values[0] == value
    assert match(program, running(place, {("g", "vmlinux"): [value + 0x100]})).code == "no_match"
    missing = match(program, running(place))
    assert (missing.code, missing.symbol) == ("symbol_not_found", 0)


def test_uses_of_one_symbol_must_agree(match):
    def program(addends):
        relocs = [(8 * i, ABS64, 0, addend) for i, addend in enumerate(addends)]
        return one_place([(bytes(16), relocs)], symbols=[lambda w: w.glob("g")])

    table = {("g", "vmlinux"): [OTHER, OTHER + 8]}
    place = struct.pack("<QQ", OTHER, OTHER + 8)
    assert match(program((0, 8)), running(place, table)).code == "ok"
    result = match(program((0, 0)), running(place, table))
    assert (result.code, result.symbol, result.offset) == ("no_match", 0, 9)
    assert result.expected == OTHER.to_bytes(8, "little"), "the field that the known value asks for"


def test_a_literal_is_known_by_its_bytes(match):
    program = one_place(
        [(bytes(16), [(0, ABS64, 0, 0), (8, ABS64, 0, 2)])],
        symbols=[lambda w: w.literal(b"hello\0", layout.SYMBOL_NEEDED)],
    )
    here, there = {OTHER: b"hello\0"}, {OTHER + 64: b"hello\0"}
    result = match(program, running(struct.pack("<QQ", OTHER, OTHER + 2), regions=here))
    assert (result.code, result.values[0]) == ("ok", OTHER)
    two = match(program, running(struct.pack("<QQ", OTHER, OTHER + 66), regions={**here, **there}))
    assert (two.code, two.values[0]) == ("ok", OTHER), "equal constants may stand twice"
    wrong = match(program, running(struct.pack("<QQ", OTHER, OTHER + 66), regions={**here, OTHER + 64: b"jello\0"}))
    assert (wrong.code, wrong.symbol, wrong.offset) == ("no_match", 0, 9)
    assert match(program, running(struct.pack("<QQ", OTHER, OTHER + 66), regions=here)).code == "no_match"


def test_a_long_literal_is_compared_to_its_end(match):
    data = random.Random(1).randbytes(9000)
    program = one_place([(bytes(8), [(0, ABS64, 0, 0)])], symbols=[lambda w: w.literal(data)])
    assert match(program, running(OTHER.to_bytes(8, "little"), regions={OTHER: data})).code == "ok"
    for at in (0, 4095, 4096, 8999):
        changed = bytearray(data)
        changed[at] ^= 1
        assert match(program, running(OTHER.to_bytes(8, "little"), regions={OTHER: changed})).code == "no_match"


def test_an_indirect_field_goes_through_the_pointer(match):
    contents = [(b"\xe8" + bytes(4), [(1, INDIRECT_PC32, 0, 16)]), (NOP5, [])]
    program = one_place(contents, symbols=[lambda w: w.glob("key")])
    call = b"\xe8" + field(PC32, BASE + 0x999, -4, BASE + 2)
    table = {("key", "vmlinux"): [OTHER]}
    assert match(program, running(call, table, {OTHER + 16: (BASE + 0x999).to_bytes(8, "little")})).code == "ok"
    assert match(program, running(NOP5, table)).code == "ok"
    assert match(program, running(call, table, {OTHER + 16: (BASE + 0x998).to_bytes(8, "little")})).code == "no_match"
    assert match(program, running(call, table)).code == "no_match"
    unknown = match(program, running(call, {}, {OTHER + 16: (BASE + 0x999).to_bytes(8, "little")}))
    assert (unknown.code, unknown.symbol) == ("symbol_not_found", 0)
    several = match(program, running(call, {("key", "vmlinux"): [OTHER, OTHER + 8]}))
    assert (several.code, several.symbol) == ("symbol_ambiguous", 0)


@pytest.mark.parametrize(("kind", "width"), [(harness.COPY64, 8), (harness.COPY8, 1)])
def test_a_copied_field_holds_what_stands_at_its_symbol(match, kind, width):
    contents = [(b"\x0c" * width, []), (bytes(width), [(0, kind, 0, 8)])]
    program = one_place(contents, symbols=[lambda w: w.glob("variable")])
    table, value = {("variable", "vmlinux"): [OTHER]}, bytes(range(1, 9))
    assert match(program, running(value[:width], table, {OTHER + 8: value})).code == "ok"
    assert match(program, running(b"\x0c" * width, table)).code == "ok"
    for bit in range(8 * width):
        changed = (int.from_bytes(value[:width], "little") ^ 1 << bit).to_bytes(width, "little")
        assert match(program, running(changed, table, {OTHER + 8: value})).code == "no_match"
    assert match(program, running(value[:width], table)).code == "no_match", "nothing can be read there"
    assert match(program, running(value[:width], {}, {OTHER + 8: value})).code == "symbol_not_found"


def test_a_place_with_several_contents_teaches_nothing(match):
    contents = [(b"\xe8" + bytes(4), [(1, PC32, 0, -4)]), (NOP5, [])]
    program = one_place(contents, symbols=[lambda w: w.glob("g")])
    call = b"\xe8" + field(PC32, OTHER, -4, BASE + 2)
    assert match(program, running(call, {("g", "vmlinux"): [OTHER]})).code == "ok"
    several = match(program, running(call, {("g", "vmlinux"): [OTHER, OTHER + 8]}))
    assert (several.code, several.symbol) == ("symbol_ambiguous", 0)
    assert match(program, running(NOP5, {("g", "vmlinux"): [OTHER, OTHER + 8]})).code == "ok"


def test_needed_symbols_must_be_known(match):
    def program(make):
        return one_place([(b"\x90", [])], symbols=[make])

    needed = layout.SYMBOL_NEEDED
    result = match(program(lambda w: w.glob("g", needed)), running(b"\x90", {("g", "vmlinux"): [OTHER]}))
    assert (result.code, result.values[0]) == ("ok", OTHER)
    result = match(program(lambda w: w.glob("g", needed)), running(b"\x90"))
    assert (result.code, result.symbol, result.section) == ("symbol_not_found", 0, None)
    result = match(program(lambda w: w.glob("g", needed)), running(b"\x90", {("g", "vmlinux"): [1, 2]}))
    assert (result.code, result.symbol) == ("symbol_ambiguous", 0)
    result = match(program(lambda w: w.literal(b"abc", needed)), running(b"\x90"))
    assert (result.code, result.symbol) == ("symbol_not_found", 0)


def test_a_data_section_is_placed_by_its_names(match):
    writer = Writer()
    data = writer.section(".data", size=64, unit="b.o")
    wanted = writer.local(data, 0x20, "count.42", layout.SYMBOL_NEEDED | layout.SYMBOL_KALLSYMS)
    writer.local(data, 0x30, "only_here")
    writer.local(writer.section(".text", b"\x90"), 0, "f")
    table = {("count.42", "vmlinux"): [OTHER + 0x20, BASE + 0x820], ("f", "vmlinux"): [BASE]}
    program = writer.serialize()
    assert match(program, Memory({BASE: b"\x90"}, table)).code == "symbol_ambiguous"
    table["only_here", "vmlinux"] = [OTHER + 0x30]
    result = match(program, Memory({BASE: b"\x90"}, table))
    assert (result.code, result.values[wanted], result.bases[data]) == ("ok", OTHER + 0x20, OTHER)


# ---- the library ----


def test_the_library_is_the_same_each_time_and_needs_no_other(tmp_path):
    first, second = (build_library(tmp_path / name, harness.KMOD, X86_64).read_bytes() for name in ("a.so", "b.so"))
    assert first == second
    assert b"libc.so" not in first
    assert str(harness.KMOD).encode() not in first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.so", "b.so"]


def test_the_library_loads_from_memory(tmp_path):
    content = build_library(tmp_path / "libmatch.so", harness.KMOD, X86_64).read_bytes()
    with memory_file(content, "libmatch") as path:
        matcher = Matcher(path)
    world = World(7)
    assert matcher.match(world.program, world.memory()).ok


def test_a_library_that_cannot_be_built_says_so(tmp_path):
    for kmod, output in ((tmp_path, tmp_path / "x.so"), (harness.KMOD, tmp_path / "nowhere" / "x.so")):
        with pytest.raises(RebootlessError) as refusal:
            build_library(output, kmod, X86_64)
        assert refusal.value.code == "library_failed"
        assert refusal.value.details["output"]
    with pytest.raises(RebootlessError) as refusal:
        build_library(tmp_path / "x.so", harness.KMOD, X86_64, compiler="no-such-compiler")
    assert refusal.value.code == "library_failed"
    assert not list(tmp_path.iterdir())


def test_a_library_that_cannot_be_loaded_says_so(tmp_path):
    (tmp_path / "libmatch.so").write_bytes(b"\x7fELF of something else")
    with pytest.raises(RebootlessError) as refusal:
        Matcher(tmp_path / "libmatch.so")
    assert refusal.value.code == "library_unusable"


def test_what_the_target_raises_passes_through(library):
    class Broken(Memory):
        def read(self, address, length):
            raise RebootlessError("not_root", "Reading needs root.")

    world = World(3)
    with pytest.raises(RebootlessError) as refusal:
        library.match(world.program, Broken({}, world.table))
    assert refusal.value.code == "not_root"


def test_names_are_asked_for_in_one_go(library):
    world = World(5)
    memory = world.memory()
    library.match(world.program, memory)
    assert memory.asked == set(world.table)


def test_every_code_has_a_name_a_sentence_and_a_next_step(library):
    for number, name in enumerate(harness.CODES):
        found, sentence, next_step = library.explain(number)
        assert found == name
        assert sentence.endswith(".") and next_step.endswith(".")
    assert library.explain(len(harness.CODES)) == ("unknown", "", "")
