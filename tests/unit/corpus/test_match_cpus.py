# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that a kernel is told that it is on: their features, the faults seeded there, and what has to be checked."""

from __future__ import annotations

import random
import typing as t
from types import SimpleNamespace

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.record import X86_64
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.matcher_library import build_library
from ansible_collections.rebootless.splice.plugins.module_utils._build.matching.program_builder import ProgramBuilder
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.dwarf_types import Layout, Member
from ansible_collections.rebootless.splice.plugins.module_utils._common import match_program as layout
from ansible_collections.rebootless.splice.plugins.module_utils._common.matcher import Matcher
from ansible_collections.rebootless.splice.tests.corpus import cpus, faults, kernel_facts
from ansible_collections.rebootless.splice.tests.corpus.booted import PAGE, START, KernelMemory
from ansible_collections.rebootless.splice.tests.corpus.match_cpus import refusal, unchecked
from ansible_collections.rebootless.splice.tests.support.matching.harness import KMOD
from ansible_collections.rebootless.splice.tests.support.matching.staged import Stage, compiled

HEADER = """
#define NCAPINTS\t\t22\t   /* N 32-bit words worth of info */
#define NBUGINTS\t\t2\t   /* N 32-bit bug flags */
#define X86_FEATURE_FPU\t\t( 0*32+ 0) /* "fpu" Onboard FPU */
#define X86_FEATURE_SMAP\t\t( 9*32+20) /* "smap" */
#define X86_FEATURE_INDIRECT_THUNK_ITS\t(21*32 + 6)\t/* Use thunk for indirect branches */
#define X86_FEATURE_ALWAYS\t\t( 3*32+21) /* Always-present feature */
#define X86_FEATURE_CALL_DEPTH\t\t(11*32+19) /* Call depth tracking */
#define X86_BUG(x)\t\t\t(NCAPINTS*32 + (x))
#define X86_BUG_F00F\t\t\tX86_BUG(0) /* "f00f" Intel F00F */
#define X86_BUG_ITS\t\t\tX86_BUG( 1*32+ 5) /* "its" */
"""
NAMES = kernel_facts.feature_names(HEADER)


def test_features_are_read_from_the_kernels_header():
    assert NAMES.words == 24
    assert NAMES.numbers == {
        "FPU": 0,
        "SMAP": 9 * 32 + 20,
        "INDIRECT_THUNK_ITS": 21 * 32 + 6,
        "ALWAYS": 3 * 32 + 21,
        "CALL_DEPTH": 11 * 32 + 19,
        "BUG_F00F": 22 * 32,
        "BUG_ITS": 23 * 32 + 5,
    }


def test_vector_of_features_is_that_of_the_kernel():
    vector = NAMES.vector({"SMAP", "BUG_ITS"})
    assert len(vector) == 96
    assert (vector[38], vector[92]) == (1 << 4, 1 << 5)
    assert sum(vector) == (1 << 4) + (1 << 5)
    assert NAMES.names(vector) == {"SMAP", "BUG_ITS"}
    with pytest.raises(LookupError, match="SMAPP"):
        NAMES.vector({"SMAPP"})


def test_machine_with_a_feature_that_the_kernel_does_not_know_is_refused():
    later = frozenset({"CALL_DEPTH", "SHSTK"})
    assert cpus.Cpu("one", frozenset({"SMAP"}), later).in_kernel(NAMES) == {"SMAP", "CALL_DEPTH"}
    with pytest.raises(LookupError, match="two: this kernel knows no SMAPP"):
        cpus.Cpu("two", frozenset({"SMAP", "SMAPP"})).in_kernel(NAMES)


def test_machines_are_different_ones_and_those_of_real_life():
    assert len(cpus.BY_NAME) == len(cpus.CPUS)
    machines = [(cpu.features, cpu.later, cpu.return_thunk, *cpu.calls.items(), cpu.count) for cpu in cpus.CPUS]
    assert len(set(machines)) == len(machines)
    for cpu in cpus.CPUS:
        assert {"ALWAYS", "CX8", "NX"} <= cpu.features
        # set_return_thunk() in arch/x86/kernel/cpu/bugs.c stands beside setup_force_cap(X86_FEATURE_RETHUNK).
        assert bool(cpu.return_thunk) == ("RETHUNK" in cpu.features), cpu.name
        assert ("its" in cpu.return_thunk) == ("INDIRECT_THUNK_ITS" in cpu.features), cpu.name
        assert ("XENPV" in cpu.features) == bool(cpu.copies), cpu.name


def test_random_machine_is_made_by_its_seed():
    one, other = (cpus.random_cpu(seed, NAMES) for seed in ("1.1", "1.2"))
    assert one == cpus.random_cpu("1.1", NAMES)
    assert one != other
    for number in range(20):
        features = cpus.random_cpu(f"2.{number}", NAMES).features
        assert "ALWAYS" in features
        assert "CALL_DEPTH" not in features


def test_slots_of_pv_ops_and_members_of_unions_are_found():
    pointer = "function *"
    layouts = {
        "struct pv_irq_ops": Layout("", 16, (Member("save_fl", pointer, 0, 0), Member("halt", pointer, 64, 0))),
        "struct paravirt_patch_template": Layout("", 32, (Member("irq", "struct pv_irq_ops", 128, 0),)),
    }
    assert kernel_facts.pv_slots(layouts) == {"irq": 16, "irq.save_fl": 16, "irq.halt": 24}
    union = Member(
        "", "union { unsigned int [24] x86_capability @0:0; long unsigned int other @0:0 } of 96 bytes", 320, 0
    )
    processor = Layout("struct cpuinfo_x86", 200, (Member("x86", "unsigned char", 0, 0), union))
    assert kernel_facts.offset_of(processor, "x86_capability") == 40
    with pytest.raises(LookupError, match="x86_cap"):
        kernel_facts.offset_of(processor, "x86_cap")


def test_memory_has_the_image_and_pages_beside_it():
    page = 0xFFFFFFFFC0000000
    memory = KernelMemory(b"abcd", {"x": [START]}, {page: bytes(PAGE - 1) + b"z"})
    assert memory.read(START + 1, 3) == b"bcd"
    assert memory.read(START + 1, 4) is None
    assert memory.read(page + PAGE - 2, 2) == b"\0z"
    assert memory.read(page + PAGE - 1, 2) is None
    assert memory.read(page + PAGE, 1) is None


@pytest.fixture(scope="module")
def matcher(tmp_path_factory):
    return Matcher(str(build_library(tmp_path_factory.mktemp("library") / "libmatch.so", KMOD, X86_64)))


@pytest.fixture
def matched(matcher, tmp_path, request):
    builder = ProgramBuilder(X86_64.kernel_of("6.1.176-1"))
    builder.add_unit("vmlinux", f"fixtures/{request.param}.o", compiled(tmp_path, request.param))
    program = layout.Program(builder.serialize())
    memory = Stage(program).memory(seed=1)
    result = matcher.match(program.blob, memory)
    assert result.ok
    return faults.Matched(program, memory, result.bases)


ALTERED = pytest.mark.parametrize("matched", ["place_return.S", "place_alternative.S"], indirect=True)


@ALTERED
def test_seeded_faults_are_refused(matcher, matched):
    seeded = [*faults.outside_places(matched, random.Random(1), 20), *faults.in_places(matched, random.Random(1), 50)]
    assert len(seeded) == 70
    for what, target in seeded:
        assert not matcher.match(matched.program.blob, target).ok, what


@ALTERED
def test_faults_in_places_are_what_no_content_begins_with(matched):
    allowed = {
        base + place.offset: faults.first_bytes(matched.program, place)
        for base, section in matched.sections
        for place in matched.program.places_of(section)
    }
    for what, fault in faults.in_places(matched, random.Random(2), 50):
        assert isinstance(fault, faults.Flipped)
        (byte,) = fault.read(fault.address, 1) or b""
        assert byte not in allowed[fault.address], what
        assert matched.byte(fault.address) in allowed[fault.address]


@pytest.mark.parametrize(("points_to", "seeded"), [(0xFFFFFFFF81000100, 0), (0xFFFFFFFF81000200, 1)])
def test_another_return_thunk_is_a_fault_unless_returns_are_as_compiled(points_to, seeded):
    section = layout.ProgramSection("vmlinux", "unit", ".text", layout.SECTION_COMPARED, 5, 0, 0, 1)
    program: t.Any = SimpleNamespace(
        sections=[section], places_of=lambda _section: [layout.ProgramPlace(0, 5, faults.RETURN, 0, 3)]
    )
    table = {"x86_return_thunk": [START + 8], "__x86_return_thunk": [0xFFFFFFFF81000100]}
    memory = KernelMemory(bytes([faults.JMP32]) + bytes(7) + points_to.to_bytes(8, "little"), table)
    assert len([*faults.of_return_thunk(faults.Matched(program, memory, {0: START}))]) == seeded


def test_watched_target_remembers_what_is_read_behind_an_address():
    page = 0xFFFFFFFFC0000000
    watched = faults.Watched(KernelMemory(b"abcd", {}, {page: bytes(PAGE)}), page)
    assert watched.read(START, 2) == b"ab"
    assert watched.read(page + 8, 3) == bytes(3)
    assert watched.read_from == {(page + 8, 3)}


@pytest.mark.parametrize(
    ("counted", "thunks", "missing"),
    [
        (
            (),
            False,
            {"built-in units matched", "faults: byte flipped", "faults: place flipped", "faults: return thunk"},
        ),
        (
            ("built-in units matched", "faults: byte flipped", "faults: place flipped", "faults: return thunk"),
            False,
            set(),
        ),
        (
            ("built-in units matched", "faults: byte flipped", "faults: place flipped"),
            True,
            {"faults: return thunk", "faults: thunk flipped"},
        ),
    ],
)
def test_machine_on_which_nothing_was_checked_is_a_failure(counted, thunks, missing):
    cpu = cpus.BY_NAME["Cascade Lake, ITS"]
    assert set(unchecked(cpu, thunks, dict.fromkeys(counted, 1), 1)) == missing


def test_without_faults_units_have_to_match_all_the_same():
    assert unchecked(cpus.BY_NAME["Zen 2, SRSO"], False, {}, 0) == ["built-in units matched"]


@pytest.mark.parametrize(
    ("words", "code"), [("Mitigation: Stuffing", "call_depth_tracking"), ("Mitigation: IBRS", ""), ("", "")]
)
def test_preflight_is_asked_what_it_says_of_a_machine(words, code):
    assert refusal({"retbleed": words, "mds": "Not affected"}) == code
