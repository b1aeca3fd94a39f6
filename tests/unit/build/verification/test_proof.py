# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The independent check: finished modules of real objects are proven, and each change of one is refused."""

from __future__ import annotations

import dataclasses
import functools
import io
import pathlib
import random
import struct
import subprocess
import tempfile

import pytest
from elftools.elf import elffile

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.record import X86_64
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import decide
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import compare
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import Export
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement import fields
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.maker import make_replacement
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.parts import Chunk
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification import descriptor, tables
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.proof import prove
from ansible_collections.rebootless.splice.plugins.module_utils._build.verification.reader import Object
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.finished import SAYS, checked, finished
from ansible_collections.rebootless.splice.tests.support.objects import KERNEL, decision, object_file, unit_change
from ansible_collections.rebootless.splice.tests.support.places import FIXTURES, KMOD

EXPORTED = (
    *("_printk", "__fentry__", "__x86_return_thunk", "exported_data", "__SCT__exported", "pv_ops", "use"),
    *("exported_key", "__SCK__exported"),
)
EXPORTS = {name: Export(name, 1, "vmlinux", "EXPORT_SYMBOL", "") for name in EXPORTED}
for _name in ("their_key", "their_function"):
    EXPORTS[_name] = Export(_name, 1, "drivers/net/their-module", "EXPORT_SYMBOL", "")

GOOD = [
    *(
        "alternatives_nested",
        "alternative",
        "alternative_call",
        "bug_table",
        "changed_function",
        "clones",
        "empty_data",
        "ex_table",
        "hooks",
    ),
    *("functions_come_and_go", "identity", "jump_label", "likely_branch", "no_longer_init", "noreturn"),
    *("other_data", "own_constant", "paravirt", "runtime_constant", "shared_section", "static_call", "strings"),
    *("static_local_kept", "landing_mark", "sanitized"),
]


def made(*constructs, object_name="vmlinux"):
    """What is carried of fixtures, and what the check is told of them."""
    kernel = X86_64.kernel_of("6.12.107-1") if "runtime_constant" in constructs else KERNEL
    decisions = [decision(construct, object_name) for construct in constructs]
    units = [checked(construct, object_name) for construct in constructs]
    return make_replacement(decisions, kernel, EXPORTS), units


@functools.cache
def good(construct):
    """The bytes of a fixture's module; linking one takes longer than proving it a hundred times."""
    replacement, _units = made(construct)
    with tempfile.TemporaryDirectory() as directory:
        return finished(pathlib.Path(directory, "module"), replacement)


@pytest.mark.parametrize("construct", GOOD)
def test_what_was_compiled_is_proven(construct):
    prove(good(construct), SAYS, [checked(construct)], EXPORTED)


@pytest.mark.parametrize(
    ("constructs", "object_name"),
    [
        (("two_units_a", "two_units_b"), "vmlinux"),
        (("loadable",), "own_module"),
        (("module_init",), "loadable"),
        (("this_module",), "own_module"),
    ],
)
def test_several_units_and_loadable_modules_are_proven(tmp_path, constructs, object_name):
    replacement, units = made(*constructs, object_name=object_name)
    prove(finished(tmp_path / "module", replacement), SAYS, units, EXPORTED)


def refused(module, units):
    """What is wrong with a module; None if it is proven."""
    try:
        prove(module, SAYS, units, EXPORTED)
    except RebootlessError as error:
        assert error.code in ("module_not_proven", "bad_object", "bad_program"), error
        return error
    return None


class Mutant:
    """A finished module, of which one thing after the other is changed."""

    def __init__(self, module):
        self.good, self.object = module, Object("update.ko", module)
        elf = elffile.ELFFile(io.BytesIO(module))
        self.sections = [(s.name, dict(s.header)) for s in elf.iter_sections()]

    def at(self, section, offset):
        """Where a byte of a section is in the file."""
        return self.sections[section][1]["sh_offset"] + offset

    def with_bytes(self, where, data):
        """The changed module."""
        return self.good[:where] + data + self.good[where + len(data) :]

    def relocations(self):
        """``(section, where its row is in the file, offset, symbol, type, addend)`` of sections that are loaded."""
        for _name, header in self.sections:
            if header["sh_type"] == "SHT_RELA" and self.object.areas[header["sh_info"]].is_loaded:
                for at in range(header["sh_offset"], header["sh_offset"] + header["sh_size"], 24):
                    offset, info, addend = struct.unpack_from("<QQq", self.good, at)
                    yield self.object.areas[header["sh_info"]], at, offset, info >> 32, info & 0xFFFFFFFF, addend


# Of a module's own: its init and exit, and what is left of the assembler's and the linker's sections.
OWN = (".init.text", ".exit.text", ".return_sites", ".retpoline_sites")
MUTATED = [
    *("alternative", "alternative_call", "bug_table", "clones", "ex_table", "functions_come_and_go", "identity"),
    *("jump_label", "likely_branch", "other_data", "paravirt", "shared_section", "static_call", "runtime_constant"),
    *("hooks", "strings"),
]


@pytest.mark.parametrize("construct", MUTATED)
def test_no_byte_of_what_is_carried_may_be_another(construct):
    mutant, units = Mutant(good(construct)), [checked(construct)]
    places = {
        (mark.section, mark.value + at)
        for mark in mutant.object.marks
        if ".rbl" in mark.name and mark.section is not None and not mutant.object.areas[mark.section].nobits
        for at in range(mark.size)
    }
    places |= {(a.index, at) for a in mutant.object.areas if tables.is_table(a.name) for at in range(a.size)}
    chosen = random.Random(construct).sample(sorted(places), min(len(places), 30))
    for section, offset in chosen:
        where = mutant.at(section, offset)
        other = bytes([mutant.good[where] ^ 1 << (offset % 8)])
        name = mutant.object.areas[section].name
        assert refused(mutant.with_bytes(where, other), units), f"{name}+{offset:#x}"


@pytest.mark.parametrize("construct", MUTATED)
def test_no_relocation_may_lead_elsewhere(construct):
    """Another addend, another symbol, another type, another place, none at all: two of these for each."""
    mutant, units = Mutant(good(construct)), [checked(construct)]
    count = 0
    for area, at, offset, symbol, type_, addend in mutant.relocations():
        if area.name in OWN or area.name.startswith(".gnu"):
            continue
        mark = mutant.object.marks[symbol]
        others = [
            number
            for number, other in enumerate(mutant.object.marks)
            if (other.section, other.value) != (mark.section, mark.value) or (other.section is None and other.name)
            if other.name != mark.name and number
        ]
        rows = [
            (offset, symbol, type_, addend + random.Random(at).choice((-16, -4, -1, 1, 2, 3, 4, 8))),
            (offset, random.Random(at).choice(others), type_, addend),
            (offset, symbol, 0, addend),
            (offset + 1, symbol, type_, addend),
            (offset, symbol, {1: 24, 24: 1, 10: 11}.get(type_, 10), addend),
        ]
        for row in random.Random(f"{construct} {at}").sample(rows, 2):
            data = struct.pack("<QQq", row[0], row[1] << 32 | row[2], row[3])
            where = f"{area.name}+{offset:#x} to {mark.name}{addend:+d}: {row}"
            assert refused(mutant.with_bytes(at, data), units), where
            count += 1
    assert count > 10


# ---- faults of what makes modules


def without(section, number=0):
    """An entry of a table is dropped."""

    def change(replacement):
        entries = [chunk for chunk in replacement.chunks if chunk.section == section]
        replacement.chunks.remove(entries[number])
        for part in replacement.parts:
            part.fixups = [row for row in part.fixups if row[0] is not entries[number]]

    return change


def twice(section):
    """An entry is there twice."""

    def change(replacement):
        entry = next(chunk for chunk in replacement.chunks if chunk.section == section)
        replacement.chunks.append(dataclasses.replace(entry))

    return change


def swapped(section):
    """The first two entries are in another order."""

    def change(replacement):
        first, second = [n for n, chunk in enumerate(replacement.chunks) if chunk.section == section][:2]
        chunks = replacement.chunks
        chunks[first], chunks[second] = chunks[second], chunks[first]

    return change


def shortened(section, size):
    """Only the first bytes are carried of what has more."""

    def change(replacement):
        chunk = next(chunk for chunk in replacement.chunks if chunk.section == section)
        chunk.data, chunk.size = chunk.data[:size], size
        chunk.fields = [field for field in chunk.fields if field.offset + field.size <= size]

    return change


def late(label):
    """A field that the helper fills in is left to the module loader."""

    def change(replacement):
        for part in replacement.parts:
            part.fixups = [row for row in part.fixups if row[1].target != label]

    return change


def jumping_at(name, offset):
    """The jump to a function's replacement stands elsewhere in the running one."""

    def change(replacement):
        for part in replacement.parts:
            part.functions = [
                dataclasses.replace(row, jump_offset=offset) if row.name == name else row for row in part.functions
            ]

    return change


def forgotten(name):
    """A function is carried, and no jump leads to it."""

    def change(replacement):
        for part in replacement.parts:
            part.functions = [row for row in part.functions if row.name != name]

    return change


def named_as_the_updates_own(replacement):
    """What the helper fills in has the name of something that the update module has, too."""
    replacement.weak.append("__this_module")
    for chunk in replacement.chunks:
        for field in chunk.fields:
            if isinstance(field.target, str) and field.target.endswith(".__this_module"):
                field.target = "__this_module"


def copied(name):
    """Carried code uses a copy of a variable that runs."""

    def change(replacement):
        chunk, field = next(
            (chunk, field)
            for chunk in replacement.chunks
            for field in chunk.fields
            if isinstance(field.target, str) and f".{name}." in field.target
        )
        field.target = Chunk("copy", ".bss", 3, True, 4, b"", 4, "data", unit=chunk.unit, part=chunk.part)
        field.symbol = None
        replacement.chunks.append(field.target)
        for part in replacement.parts:
            part.fixups = [row for row in part.fixups if row[1] is not field]

    return change


FAULTS = [
    ("alternative", without(".altinstructions"), ".altinstructions"),
    ("alternative", twice(".altinstructions"), ".altinstructions"),
    ("alternative", shortened(".altinstr_replacement", 1), "bytes"),
    ("alternatives_nested", swapped(".altinstructions"), "something else"),
    ("bug_table", without("__bug_table"), "__bug_table"),
    ("bug_table", twice("__bug_table"), "__bug_table"),
    ("changed_function", without("__mcount_loc"), "__mcount_loc"),
    ("changed_function", late("callee"), "does not export"),
    ("ex_table", without("__ex_table"), "__ex_table"),
    ("functions_come_and_go", forgotten("entry"), "return_sites"),
    ("identity", forgotten("replaced"), "goes on running"),
    ("jump_label", without("__jump_table"), "__jump_table"),
    ("landing_mark", jumping_at("put_off", 0), "another place"),
    ("landing_mark", jumping_at("put_off", 4), "another place"),
    ("landing_mark", jumping_at("drain", 4), "another place"),
    ("paravirt", without(".parainstructions"), ".parainstructions"),
    ("static_call", without(".static_call_sites"), ".static_call_sites"),
    ("this_module", named_as_the_updates_own, "leads into the module itself"),
    ("static_local_kept", copied("count"), "another count than the one that runs"),
    ("strings", shortened(".rodata.literals", 3), "string"),
]


@pytest.mark.parametrize(("construct", "fault", "words"), FAULTS)
def test_a_fault_of_the_maker_is_refused(tmp_path, construct, fault, words):
    replacement, units = made(construct, object_name="own_module" if construct == "this_module" else "vmlinux")
    fault(replacement)
    error = refused(finished(tmp_path / "module", replacement), units)
    assert error is not None
    assert words in error.sentence
    assert error.next_step


def test_no_pointer_may_lead_to_a_running_function_without_a_landing_mark(tmp_path, monkeypatch):
    """With indirect branch tracking that would stop the kernel; here the maker does not look."""
    monkeypatch.setattr(fields, "has_new_landing_mark", lambda pre, post: False)
    replacement, units = made("landing_mark")
    error = refused(finished(tmp_path / "module", replacement), units)
    assert error is not None
    assert "a pointer leads to the running drain, which begins with no landing mark" in error.sentence


def test_no_pointer_may_lead_to_a_carried_function_without_a_landing_mark(tmp_path):
    """As if the compiler had forgotten one."""
    path = tmp_path / "post.o"
    with open(object_file("landing_mark", "post").path, "rb") as stream:
        data, elf = bytearray(stream.read()), elffile.ELFFile(stream)
        at = elf.get_section_by_name(".text.drain")["sh_offset"]
    assert data[at : at + 4] == bytes.fromhex("f30f1efa")
    data[at : at + 4] = bytes.fromhex("0f1f4000")  # nopl 0(%rax)
    path.write_bytes(data)
    change = unit_change("landing_mark")
    changed = dataclasses.replace(change, difference=compare(object_file("landing_mark", "pre"), ObjectFile(path)))
    replacement = make_replacement([decide(changed, KERNEL)], KERNEL, EXPORTS)
    unit = dataclasses.replace(checked("landing_mark"), post=path)
    error = refused(finished(tmp_path / "module", replacement), [unit])
    assert error is not None
    assert "drain, which begins with no landing mark" in error.sentence


def test_a_refusal_says_where(tmp_path):
    replacement, units = made("clones")
    chunk = next(chunk for chunk in replacement.chunks if chunk.label == "with_cold_part.rbl")
    chunk.data = chunk.data[:7] + bytes([chunk.data[7] ^ 1]) + chunk.data[8:]
    details = refused(finished(tmp_path / "module", replacement), units).details
    assert (details["unit"], details["function"]) == ("fixtures/clones.o", "with_cold_part")
    assert (details["section"], details["offset"]) == (".text.with_cold_part", 7)
    assert details["expected"] != details["found"]


def test_structures_are_those_of_the_header(tmp_path):
    """The check reads the descriptor by its own knowledge of ``rebootless.h``."""
    stubs = tmp_path / "linux"
    stubs.mkdir()
    for header in ("types.h", "module.h"):
        (stubs / header).write_text((FIXTURES / "diff_module_stub.h").read_text())
    names = ("rbl_update", "rbl_object", "rbl_function", "rbl_datum", "rbl_fixup", "rbl_hook")
    rows = "".join(f'printf("%zu\\n", sizeof(struct {name}));' for name in names)
    source = tmp_path / "sizes.c"
    source.write_text(f'#include <stdio.h>\n#include "rebootless.h"\nint main(void) {{ {rows} return 0; }}\n')
    subprocess.run(["gcc", f"-I{tmp_path}", f"-I{KMOD}", source, "-o", tmp_path / "sizes"], check=True)
    sizes = [int(word) for word in subprocess.check_output([tmp_path / "sizes"]).split()]
    assert sizes == [row.size for row in descriptor.STRUCTURES]
