# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacement code: what is carried, what its fields point to, and that the assembler makes the same bytes of it."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil
import subprocess
import types
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.instructions import NOPS
from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.record import X86_64
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.assembler import Listing
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.module import (
    Identity,
    build_update_module,
    write_update_module,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.package import package_name
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.contents import COPY8, COPY64
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import (
    EXCHANGE,
    IDLE,
    Fate,
    decide,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.exports import Export
from ansible_collections.rebootless.splice.plugins.module_utils._build.objects.elf import ObjectFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.replacement.maker import make_replacement
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import (
    SECTION_COMPARED,
    SECTION_TEXT,
    SYMBOL_GLOBAL,
    SYMBOL_LOCAL,
    Program,
)
from ansible_collections.rebootless.splice.tests.support.objects import (
    FIXTURES,
    KERNEL,
    decision,
    object_file,
    unit_change,
)
from ansible_collections.rebootless.splice.tests.support.places import KMOD

IDENTITY = Identity("cve-2026-1.fix", "1.0", "ab" * 32, "0123456789abcdef")
EXPORTED: tuple[str, ...] = ("_printk", "__fentry__", "__x86_return_thunk", "exported_data", "__SCT__exported")
EXPORTED += tuple(f"__x86_indirect_thunk_{register}" for register in ("rax", "rcx", "rdx", "rdi", "rsi"))
EXPORTS = {name: Export(name, 1, "vmlinux", "EXPORT_SYMBOL", "") for name in EXPORTED}
EXPORTS["use"] = Export("use", 1, "vmlinux", "EXPORT_SYMBOL_GPL", "USERS")
EXPORTS["pv_ops"] = Export("pv_ops", 1, "vmlinux", "EXPORT_SYMBOL", "")


def made(*constructs, exports=None, kernel=KERNEL):
    decisions = [decision(construct) for construct in constructs]
    replacement = make_replacement(decisions, kernel, EXPORTS if exports is None else exports)
    return types.SimpleNamespace(decisions=decisions, builder=replacement.parts[0].builder, replacement=replacement)


def chunk(replacement, label):
    return next(c for c in replacement.chunks if c.label == label)


def targets(a_chunk):
    """What the fields of a chunk point to, in order: labels of chunks, names of symbols."""
    return [f.target if isinstance(f.target, str) else f.target.label for f in a_chunk.fields]


def entries(replacement, section):
    return [c for c in replacement.chunks if c.section == section]


def assembled(replacement, directory):
    """The objects that the assembler makes of the two files."""
    listing = Listing(replacement)
    objects = []
    for name, text in (("code", listing.code), ("tables", listing.tables)):
        source = directory / f"{name}.s"
        source.write_text(text + "\n", encoding="ascii")
        subprocess.run(["as", "--fatal-warnings", str(source), "-o", str(directory / f"{name}.o")], check=True)
        objects.append(ObjectFile(directory / f"{name}.o"))
    return objects


def test_only_the_changed_function_is_carried():
    found = made("changed_function").replacement
    assert [c.label for c in found.carried] == ["changed.rbl"]
    (row,) = found.functions
    exact = object_file("changed_function", "exact")
    size = next(s.size for s in exact.symbols if s.name == "changed")
    assert (row.name, row.size, row.jump_offset, row.chunk.label) == ("changed", size, 5, "changed.rbl")


def test_addresses_of_labels_lead_into_the_carried_code():
    """The running function has other instructions there, or the old ones; and goes on using its own table."""
    found = made("computed_goto")
    for name in ("moves", "stays"):
        (table,) = (c for c in found.replacement.chunks if c.label.startswith(f"labels_of_{name}"))
        assert len(table.fields) == 4 and set(targets(table)) == {f"{name}.rbl"}
        assert all(field.addend for field in table.fields)
        assert table.label in targets(chunk(found.replacement, f"{name}.rbl"))
    assert {fate.how for fate in found.decisions[0].data.values()} <= {IDLE}
    assert "labels_of" not in "".join(found.replacement.weak)


def test_what_runs_is_referred_to_where_it_runs():
    found = made("changed_function")
    ((where, field),) = found.replacement.fixups
    assert (where.label, field.target, field.addend) == ("changed.rbl", "callee", -4)
    assert "callee" in found.replacement.weak
    assert set(targets(where)) == {"__fentry__", "__x86_return_thunk", "callee"}


@pytest.mark.parametrize(
    "construct",
    [
        "alternative",
        "bug_table",
        "changed_function",
        "clones",
        "computed_goto",
        "ex_table",
        "functions_come_and_go",
        "identity",
        "jump_label",
        "other_data",
        "own_constant",
        "paravirt",
        "shared_section",
        "static_call",
        "strings",
    ],
)
def test_the_assembler_makes_the_compilers_bytes(tmp_path, construct):
    """Every carried byte and every relocation comes back, and strings have their contents."""
    found = made(construct)
    code, tables = assembled(found.replacement, tmp_path)
    symbols = {s.name: s for s in code.symbols if s.section is not None}
    for carried in found.replacement.carried:
        symbol = symbols[carried.label]
        section = symbol.section
        assert symbol.size == carried.size
        if section.nobits:
            continue
        data = bytearray(section.data[symbol.value : symbol.value + carried.size])
        fields = section.relocations_in(symbol.value, symbol.value + carried.size)
        assert [(r.offset - symbol.value, r.type) for r in fields] == [(f.offset, f.type) for f in carried.fields]
        for relocation, field in zip(fields, carried.fields, strict=True):
            assert data[field.offset : field.offset + field.size] == bytes(field.size)
            if isinstance(field.target, str):
                assert (relocation.symbol.name, relocation.addend) == (field.target, field.addend)
            elif field.target.kind == "literal":
                where = relocation.target_section
                start = relocation.symbol.value + field.target.size * 0 + relocation.addend - field.addend
                assert where.data[start : start + field.target.size] == field.target.data
        assert bytes(data) == carried.data
    assert sum(len(t.relocations) for t in tables.sections) == sum(
        len(c.fields) for c in entries(found.replacement, ".static_call_sites")
    )


def test_a_cold_part_comes_along_under_its_functions_name():
    found = made("clones").replacement
    assert [c.label for c in found.carried] == ["with_cold_part.rbl", "with_cold_part.rbl.cold"]
    assert [(row.name, row.chunk is not None) for row in found.functions] == [
        ("with_cold_part", True),
        ("with_cold_part.cold", False),
    ]
    literals = [c.data for c in found.chunks if c.kind == "literal"]
    assert literals == [b"negative, and told otherwise\0"]


def test_new_functions_and_their_data_are_carried():
    found = made("functions_come_and_go").replacement
    assert {c.label for c in found.carried} == {"entry.rbl", "new_helper.rbl", "new_state.rbl", "new_table.rbl"}
    assert targets(chunk(found, "entry.rbl"))[-1] == "new_helper.rbl"
    assert chunk(found, "new_state.rbl").nobits
    removed = [row for row in found.functions if row.chunk is None]
    assert [row.name for row in removed] == ["old_helper"]  # no task may sleep in it


def test_calls_go_to_the_replacement_and_addresses_stay():
    found = made("identity").replacement
    own: list[t.Any] = []
    old: list[t.Any] = []
    caller = chunk(found, "caller.rbl")
    for field in caller.fields:
        (old if isinstance(field.target, str) else own).append(field)
    called = {f.target.label for f in own}
    assert {"local_replaced.rbl", "replaced.rbl"} <= called
    addresses = {f.target for f in old if f.symbol is not None}
    assert addresses == {"replaced", "rbl_pre.fixtures_identity.local_replaced", "weak_replaced"}
    handlers = next(c for c in found.carried if c.label.startswith("handlers"))
    assert targets(handlers) == ["replaced", "rbl_pre.fixtures_identity.local_replaced"]
    assert all(f.symbol is not None for f in handlers.fields)


def test_a_weak_function_is_called_by_its_name():
    """Another unit's definition may be the one that runs."""
    found = made("identity")
    field = next(f for f in chunk(found.replacement, "caller.rbl").fields if f.target == "weak_replaced")
    assert field.symbol == found.builder.global_symbol("weak_replaced", "vmlinux")


def test_functions_of_a_shared_section_call_each_other():
    found = made("shared_section").replacement
    changed = chunk(found, "changed.rbl")
    assert changed.section == ".text.changed"
    assert "rbl_pre.fixtures_shared_section.small" in targets(changed)


def test_new_code_that_takes_no_probe_says_so_in_its_section():
    assert chunk(made("no_breakpoint").replacement, "is_new.rbl").section == ".noinstr.text"


@pytest.mark.parametrize(
    ("construct", "section", "count"),
    [
        ("alternative", ".altinstructions", 1),
        ("bug_table", "__bug_table", 1),
        ("changed_function", "__mcount_loc", 1),
        ("ex_table", "__ex_table", 1),
        ("jump_label", "__jump_table", 1),
        ("paravirt", ".parainstructions", 1),
        ("static_call", ".static_call_sites", 2),
    ],
)
def test_entries_of_carried_code_come_along_and_no_others(tmp_path, construct, section, count):
    found = made(construct).replacement
    assert len(entries(found, section)) == count
    code, tables = assembled(found, tmp_path)
    emitted = (tables if section == ".static_call_sites" else code).section_of(section)
    original = object_file(construct, "post").section_of(section)
    assert emitted.flags & 7 == original.flags & 7
    assert emitted.size == sum(c.size for c in entries(found, section))


def test_annotations_are_relative_to_sections(tmp_path):
    """objtool accepts nothing else."""
    code, _tables = assembled(made("bug_table").replacement, tmp_path)
    (relocation,) = code.section_of(".discard.reachable").relocations
    assert relocation.symbol.kind == "section"


def test_jumps_between_the_parts_of_a_function_are_relative_to_sections(tmp_path):
    """Jumps to a function's own symbol are tail calls to objtool."""
    code, _tables = assembled(made("clones").replacement, tmp_path)
    cold = code.section_of(".text.with_cold_part.cold")
    (jump,) = [r for r in code.section_of(".text.with_cold_part").relocations if r.target_section is cold]
    assert jump.symbol.kind == "section"


def test_a_new_message_site_is_carried_and_the_old_ones_are_kept():
    found = made("other_data").replacement
    sections = {c.section for c in found.carried if c.kind == "data"}
    assert sections == {"__dyndbg", ".data..percpu", ".rodata.__func__.0"}
    outside = [f.target.rpartition(".")[0] for c, f in found.fixups if ".descriptor" in f.target]
    assert len(set(outside)) == 1
    assert any("per_cpu" in f.target for c, f in found.fixups)


def test_exported_symbols_are_the_loaders():
    found = made("identity").replacement
    fields = [f for c in found.chunks for f in c.fields if f.target in ("_printk", "use", "__fentry__")]
    assert fields
    assert all(f.symbol is None for f in fields)
    assert found.namespaces == ["USERS"]
    assert not {"_printk", "use", "__fentry__"} & set(found.weak)


def test_static_calls_are_hidden_from_objtool():
    """A trampoline that objtool knows gets a second entry from it."""
    found = made("static_call").replacement
    assert {"__SCT__exported", "__SCT__hidden"} <= set(found.weak)
    keys = [c.fields[1].target for c in entries(found, ".static_call_sites")]
    assert keys == ["__SCK__exported", "__SCK__hidden"]
    assert ".static_call_sites" not in Listing(found).code


def test_calls_that_do_not_return_are_annotated(tmp_path):
    found = made("noreturn").replacement
    checked = chunk(found, "checked.rbl")
    dying = [f.offset + 4 for f in checked.fields if f.target == "die"]
    assert dying
    assert set(dying) <= set(checked.never_returns_at)
    assert not [f for f in checked.fields if f.target == "_printk" and f.offset + 4 in checked.never_returns_at]
    code, _tables = assembled(found, tmp_path)
    annotations = code.section_of(".discard.unreachable").relocations
    assert sorted(r.addend for r in annotations) == sorted(checked.never_returns_at)


def test_two_units_call_each_others_new_and_replaced_functions():
    found = made("two_units_a", "two_units_b").replacement
    assert {c.label for c in found.carried} == {
        "changed_in_a.rbl",
        "new_in_a.rbl",
        "changed_in_b.rbl",
        "shared_state.rbl",
    }
    fields = {
        f.target if isinstance(f.target, str) else f.target.label: f for f in chunk(found, "changed_in_b.rbl").fields
    }
    assert {"new_in_a.rbl", "changed_in_a.rbl", "changed_in_a", "exported_data", "hidden_data"} <= set(fields)
    assert fields["changed_in_a"].symbol is not None  # its address
    assert fields["hidden_data"].symbol is not None
    assert fields["exported_data"].symbol is None


def refusal(construct, **arguments):
    with pytest.raises(RebootlessError) as error:
        made(construct, **arguments)
    return error.value


def test_an_alternative_calls_what_only_the_helper_can_find_through_a_stub(tmp_path):
    """The kernel copies and moves the call when it loads the module, before the helper could write its distance."""
    found = made("alternative_call").replacement
    stub = chunk(found, "rbl_pre.fixtures_alternative_call.internal.rbl.stub")
    assert stub.data == b"\xe9\0\0\0\0"
    ((where, jump),) = [(c, f) for c, f in found.fixups if "internal" in str(f.target)]
    assert where is stub
    assert (jump.offset, jump.addend) == (1, -4)
    (call,) = [f for c in found.chunks if c.section == ".altinstr_replacement" for f in c.fields]
    assert (call.target, call.addend, call.symbol) == (stub, -4, None)
    code, _tables = assembled(found, tmp_path)
    assert code.section_of(".text.rbl_stubs").size == stub.size


def test_an_address_in_an_alternative_that_only_the_helper_could_resolve_is_refused():
    error = refusal("alternative_address")
    assert error.code == "unresolvable_field"
    assert error.details["function"] == ".altinstr_replacement"
    assert "internal" in error.sentence


def test_an_fentry_call_that_no_module_can_make_is_refused():
    exports = {name: export for name, export in EXPORTS.items() if name != "__fentry__"}
    assert refusal("changed_function", exports=exports).code == "unresolvable_field"


def test_constants_that_the_boot_wrote_are_written_by_the_helper(tmp_path):
    found = made("runtime_constant", kernel=X86_64.kernel_of("6.12.107-1"))
    program = Program(found.replacement.parts[0].program)
    written_by_helper = {
        (where.label, field.target, field.fixup_type, where.data[field.offset : field.offset + size])
        for where, field in found.replacement.fixups
        if (size := {COPY64: 8, COPY8: 1}.get(field.fixup_type))
    }
    dummy = (0x0123456789ABCDEF).to_bytes(8, "little")
    assert written_by_helper == {
        ("looks_up.rbl", "hash_table", COPY64, dummy),
        ("looks_up.rbl", "shown_shift", COPY8, b"\x0c"),
        ("is_user.rbl", "USER_PTR_MAX", COPY64, dummy),
        ("other_variable.rbl", "other_table", COPY64, dummy),
    }
    kinds = {
        f.target: program.symbols[f.symbol].kind for c, f in found.replacement.fixups if f.fixup_type in (COPY64, COPY8)
    }
    assert (kinds["USER_PTR_MAX"], kinds["shown_shift"], kinds["hash_table"]) == (
        SYMBOL_GLOBAL,
        SYMBOL_GLOBAL,
        SYMBOL_LOCAL,
    )
    assert any(c.section.startswith("runtime_") for c in found.replacement.chunks), "where they lie can be read later"
    write_update_module(tmp_path, IDENTITY, found.replacement, KMOD)
    assert ", RBL_COPY8, " in (tmp_path / "update.c").read_text()


def test_a_constant_that_no_boot_wrote_is_refused():
    with pytest.raises(RebootlessError) as refused:
        made("new_runtime_constant", kernel=X86_64.kernel_of("6.12.107-1"))
    assert (refused.value.code, refused.value.details["target"]) == ("unsupported_reference", "table")


def test_an_unknown_section_is_refused_by_name():
    error = refusal("unknown_section")
    assert (error.code, error.details["section"]) == ("unknown_special_section", "__mystery")


def test_living_code_that_uses_boot_code_is_refused():
    assert refusal("boot_code").code == "nothing_to_replace"


def test_an_exact_object_without_the_function_is_refused():
    change = dataclasses.replace(unit_change("changed_function"), pre=object_file("strings", "exact"))
    with pytest.raises(RebootlessError) as error:
        make_replacement([decide(change, KERNEL)], KERNEL, EXPORTS)
    assert (error.value.code, error.value.details["symbol"]) == ("pre_mismatch", "changed")


# ---- the update module's sources


def written(directory, construct="clones"):
    found = made(construct)
    write_update_module(directory / "module", IDENTITY, found.replacement, KMOD)
    return found, directory / "module"


def test_the_sources_are_the_same_every_time(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (_first, a), (_second, b) = written(tmp_path / "a"), written(tmp_path / "b")
    names = sorted(str(p.relative_to(a)) for p in a.rglob("*") if p.is_file())
    assert names == [
        "Kbuild", "match/vmlinux.bin", "rebootless.h", "relocs.h", "replacement.S", "tables.S", "update.c",
    ]  # fmt: skip
    assert all((a / name).read_bytes() == (b / name).read_bytes() for name in names)
    assert not any(str(tmp_path).encode() in (a / name).read_bytes() for name in names)


def test_the_descriptor_says_what_the_helper_needs(tmp_path):
    found, directory = written(tmp_path)
    source = (directory / "update.c").read_text()
    assert '.name = "cve-2026-1.fix"' in source
    assert "0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef" in source
    assert source.count('.name = "with_cold_part') == len(found.replacement.functions) == 2
    assert source.count("RBL_PC32, ") + source.count("RBL_ABS32S, ") == len(found.replacement.fixups)
    assert "obj-m := rbl_cve_2026_1_fix_abababab.o" in (directory / "Kbuild").read_text()


def test_a_namespace_is_imported(tmp_path):
    _found, directory = written(tmp_path, "identity")
    assert "MODULE_IMPORT_NS(USERS);" in (directory / "update.c").read_text()


def test_what_kbuild_says_is_in_the_error(tmp_path):
    found, directory = written(tmp_path)
    headers = tmp_path / "headers"
    headers.mkdir()
    (headers / "Makefile").write_text("modules:\n\t@echo the last words; exit 3\n")
    symvers = tmp_path / "Module.symvers"
    symvers.touch()
    with pytest.raises(RebootlessError) as error:
        build_update_module(directory, IDENTITY, found.replacement, headers, symvers)
    assert error.value.code == "module_build_failed"
    assert any("the last words" in line for line in error.value.details["output"])


def fake_kbuild(directory, replacement, edit=lambda text: text, say=""):
    """A headers directory whose makefile does what Kbuild would do to the code; ORC data without contents."""
    headers = directory / "headers"
    headers.mkdir()
    text = edit((directory / "module" / "replacement.S").read_text())
    sections = {c.section for c in replacement.carried if c.kind == "function"}
    orc = "".join(
        f'.section {s}\n.Lorc{i}:\n.section .orc_unwind_ip,"a"\n.long .Lorc{i} - .\n' for i, s in enumerate(sections)
    )
    (headers / "code.S").write_text(text + orc)
    (headers / "Makefile").write_text(
        f'modules:\n\t@echo "{say}" >&2\n\t@gcc -c {headers}/code.S -o $(M)/{IDENTITY.module}.ko\n'
    )
    return headers


def built(directory, found, **arguments):
    symvers = directory / "Module.symvers"
    symvers.touch()
    headers = fake_kbuild(directory, found.replacement, **arguments)
    return build_update_module(directory / "module", IDENTITY, found.replacement, headers, symvers)


def test_a_module_that_holds_the_replacement_is_accepted(tmp_path):
    found, directory = written(tmp_path)
    assert built(tmp_path, found) == directory / f"{IDENTITY.module}.ko"


@pytest.mark.parametrize("table", ["functions_0", "fixups_12", ".rbl.jump_entries.sunrpc"])
def test_tables_of_what_nobody_calls_may_name_what_has_no_landing_mark(tmp_path, table):
    """objtool of Linux 6.12 says so, if the kernel is for processors with indirect branch tracking."""
    found, directory = written(tmp_path)
    said = f"rbl_fix.o: warning: objtool: {table}+0x8: data relocation to !ENDBR: changed.rbl+0xf2"
    assert built(tmp_path, found, say=said) == directory / f"{IDENTITY.module}.ko"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"edit": lambda text: text.replace(".byte 0xe8", ".byte 0xe9", 1)}, "other bytes"),
        ({"edit": lambda text: text.replace(".reloc .Lchunk_0+1,", ".reloc .Lchunk_0+2,", 1)}, "other"),
        ({"edit": lambda text: text.replace("with_cold_part.rbl.cold:", "elsewhere:")}, "is not in it"),
        ({"say": "x.o: warning: objtool: unreachable instruction"}, "unreachable instruction"),
        ({"say": "x.o: warning: objtool: ops.rbl+0x8: data relocation to !ENDBR: changed.rbl+0x0"}, "ops.rbl"),
    ],
)
def test_a_module_that_differs_is_refused(tmp_path, arguments, words):
    found, _directory = written(tmp_path)
    with pytest.raises(RebootlessError) as error:
        built(tmp_path, found, **arguments)
    assert error.value.code == "module_differs"
    assert words in error.value.sentence


def test_a_module_that_cannot_be_unwound_is_refused(tmp_path):
    found, directory = written(tmp_path)
    headers = fake_kbuild(tmp_path, found.replacement)
    (headers / "code.S").write_text((directory / "replacement.S").read_text())
    symvers = tmp_path / "Module.symvers"
    symvers.touch()
    with pytest.raises(RebootlessError, match="cannot be unwound"):
        build_update_module(directory, IDENTITY, found.replacement, headers, symvers)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Upper"},
        {"name": ""},
        {"name": "x" * 65},
        {"name": "-dash"},
        {"name": "build_id"},
        {"version": 'quo"te'},
        {"version": "1" * 65},
        {"digest": "ab"},
        {"build_id": "xyz"},
    ],
)
def test_identities_that_would_not_fit_into_c_are_refused(change):
    with pytest.raises(RebootlessError) as error:
        Identity(**{"name": "fix", "version": "1", "digest": "ab" * 32, "build_id": "00", **change})
    assert error.value.code == "bad_identity"
    assert error.value.next_step


def test_what_the_helper_module_takes_for_a_name_can_be_one():
    """Names and versions are as long as it lets them be, and the package's file has a name that file systems take."""
    limits = {
        what: int(re.findall(rf"#define RBL_{what.upper()}_MAX (\d+)", (KMOD / header).read_text())[0])
        for what, header in (("name", "rebootless.h"), ("version", "internal.h"))
    }
    longest = {what: "x" * limit for what, limit in limits.items()}
    Identity(digest="ab" * 32, build_id="00", **longest)
    assert len(package_name(longest["name"], longest["version"], "ab" * 20)) < 255
    for what in limits:
        with pytest.raises(RebootlessError):
            Identity(**{"digest": "ab" * 32, "build_id": "00", **longest, what: longest[what] + "x"})


def test_long_names_make_different_modules():
    modules = {Identity("n" * 63, "1", digest * 32, "00").module for digest in ("ab", "cd")}
    assert len(modules) == 2
    assert all(len(module) <= 55 for module in modules)


@pytest.mark.parametrize("made_of", ["clones", "loadable", "exchanged", "hooks"])
def test_the_sources_compile_without_a_kernel(tmp_path, made_of):
    """The tables fit the structures of ``rebootless.h``; the kernel's own build is tested with its headers."""
    found = {
        "clones": lambda: made("clones").replacement,
        "loadable": loadable,
        "exchanged": lambda: make_replacement([exchanging("exchanged", "operations")], KERNEL, EXPORTS),
        "hooks": lambda: made("hooks").replacement,
    }[made_of]()
    directory = tmp_path / "module"
    write_update_module(directory, IDENTITY, found, KMOD)
    stubs = tmp_path / "stubs" / "linux"
    stubs.mkdir(parents=True)
    for header in ("types.h", "module.h", "kernel.h"):
        shutil.copyfile(pathlib.Path(FIXTURES, "diff_module_stub.h"), stubs / header)
    subprocess.run(
        [
            "gcc",
            "-std=gnu11",
            "-Wall",
            "-Werror",
            "-D__KERNEL__",
            f"-I{stubs.parent}",
            "-c",
            "update.c",
            "-o",
            "update.o",
        ],
        cwd=directory,
        check=True,
    )
    symbols = {s.name: s for s in ObjectFile(directory / "update.o").symbols}
    assert symbols["rebootless_update"].binding == "global"
    assert symbols["rbl_program_0"].undefined


def test_a_modules_exit_is_replaced_under_names_that_no_module_has_itself():
    found = make_replacement([decision("module", "loadable")], KERNEL, EXPORTS)
    assert [(c.label, c.part) for c in found.carried] == [
        ("functions.rbl", "loadable"),
        ("own_init.rbl", "loadable:init"),
        ("own_exit.rbl", "loadable"),
    ]
    own, init = found.parts
    assert [row.name for row in own.functions] == ["functions", "own_exit"]
    assert [row.name for row in init.functions] == ["own_init"]


# ---- loadable modules, data that is exchanged, custom code

MODULE_EXPORTS = {
    **EXPORTS,
    **{
        name: Export(name, 1, "drivers/net/their-module", "EXPORT_SYMBOL", "")
        for name in ("their_key", "their_function")
    },
    **{name: Export(name, 1, "vmlinux", "EXPORT_SYMBOL", "") for name in ("exported_key", "__SCK__exported")},
}


def loadable():
    return make_replacement([decision("loadable", "own_module")], KERNEL, MODULE_EXPORTS)


def symbol_names(part):
    """``(name, object)`` of the symbols by name, as the target will look them up."""
    program = Program(part.program)
    return {(s.name, s.object) for s in program.symbols if s.kind == SYMBOL_GLOBAL}


def test_each_object_has_a_part_and_a_program_of_its_own(tmp_path):
    decisions = [decision("loadable", "own_module"), decision("changed_function")]
    found = make_replacement(decisions, KERNEL, MODULE_EXPORTS)
    assert [part.object_name for part in found.parts] == ["vmlinux", "own_module"]
    assert [[row.name for row in part.functions] for part in found.parts] == [["changed"], ["uses_keys"]]
    units = [{section.unit for section in Program(part.program).sections} - {""} for part in found.parts]
    assert units == [{"fixtures/changed_function.o"}, {"fixtures/loadable.o"}]
    assert all(chunk.part == part.name for part in found.parts for chunk, field in part.fixups)
    assert sum(len(part.fixups) for part in found.parts) == len(found.fixups) > 0
    write_update_module(tmp_path, IDENTITY, found, KMOD)
    assert sorted(p.name for p in (tmp_path / "match").iterdir()) == ["own_module.bin", "vmlinux.bin"]
    source = (tmp_path / "update.c").read_text()
    assert source.index('.name = "vmlinux"') < source.index('.name = "own_module"')


def with_init_replaced():
    decided = decision("module_init", "loadable")
    return decided, make_replacement([decided], KERNEL, EXPORTS)


def test_a_modules_init_code_has_a_part_of_its_own(tmp_path):
    decided, found = with_init_replaced()
    assert decided.init_functions == ["own_init"]
    normal, init = found.parts
    assert (normal.name, init.name) == ("loadable", "loadable:init")
    assert [[row.name for row in part.functions] for part in found.parts] == [["functions"], ["own_init"]]
    carried = {chunk.label: chunk.part for chunk in found.carried}
    assert carried == {
        "functions.rbl": "loadable",
        "own_init.rbl": "loadable:init",
        "new_step.rbl": "loadable:init",
    }
    compared = [
        {s.name for s in Program(part.program).sections if s.flags & SECTION_COMPARED and s.flags & SECTION_TEXT}
        for part in found.parts
    ]
    assert compared == [{".text"}, {".text", ".init.text"}]
    fields = {(chunk.label, str(field.target)) for chunk, field in init.fixups}
    assert ("new_step.rbl", "rbl_pre.fixtures_module_init.step") in fields, "init code that stays as it is"
    assert ("own_init.rbl", "rbl_pre.fixtures_module_init.times") in fields, "init data"
    write_update_module(tmp_path, IDENTITY, found, KMOD)
    assert sorted(p.name for p in (tmp_path / "match").iterdir()) == ["loadable.bin", "loadable.init.bin"]
    assert (tmp_path / "update.c").read_text().count(".flags = RBL_OBJECT_INIT,") == 1


def test_what_was_init_code_is_carried_and_not_looked_for():
    found = make_replacement([decision("no_longer_init")], KERNEL, EXPORTS)
    assert [row.name for row in found.functions] == ["caller"]
    assert targets(chunk(found, "caller.rbl")) == ["__fentry__", "was_init.rbl", "own.rbl", "__x86_return_thunk"]


def test_what_a_module_does_not_define_is_looked_up_where_it_is():
    found = loadable()
    (part,) = found.parts
    names = symbol_names(part)
    assert {("another_units", "own_module"), ("their_function", "their_module"), ("their_key", "their_module")} <= names
    assert ("_printk", "vmlinux") in names
    assert not [name for name, where in names if not where]
    assert "_printk" not in {f.target for c, f in found.fixups}


def test_what_a_patch_exports_to_modules_is_found_where_it_is():
    """A new function of the kernel is carried, an old one that is exported now is looked up in it."""
    decisions = [decision("newly_exported"), decision("uses_new_exports", "own_module")]
    found = make_replacement(decisions, KERNEL, MODULE_EXPORTS)
    fields = {f.target if isinstance(f.target, str) else f.target.label: f for f in chunk(found, "user.rbl").fields}
    assert fields["new_export.rbl"].target.part == "vmlinux"
    symbols = Program(found.parts[1].program).symbols
    where = {name: symbols[fields[name].symbol].object for name in ("old_function", "not_exported")}
    assert where == {"old_function": "vmlinux", "not_exported": "own_module"}


def test_new_code_that_only_another_object_calls_has_a_part_that_replaces_nothing():
    """What it is compiled from is proved there; what it uses may be the module loader's to fill in."""
    decisions = [decision("newly_exported"), decision("uses_new_exports", "own_module")]
    kernel, module = make_replacement(decisions, KERNEL, MODULE_EXPORTS).parts
    assert (kernel.object_name, kernel.functions, kernel.data, kernel.is_effective) == ("vmlinux", [], [], False)
    assert module.is_effective
    compared = {s.name for s in Program(kernel.program).sections if s.compared}
    assert ".text" in compared
    assert kernel.fixups == []


def test_a_module_gets_no_new_dependency():
    """The module with the symbol need not be loaded; one that another unit or the module itself needs is."""
    decided = decision("new_dependency", "own_module")
    with pytest.raises(RebootlessError) as error:
        make_replacement([decided], KERNEL, MODULE_EXPORTS)
    details = error.value.details
    assert (error.value.code, details["target"], details["module"]) == (
        "missing_dependency", "their_function", "their_module",
    )  # fmt: skip
    found = make_replacement([decided], KERNEL, MODULE_EXPORTS, {"own_module": {"their_module"}}.__getitem__)
    assert ("their_function", "their_module") in symbol_names(found.parts[0])


def test_static_branches_with_keys_in_modules_wait_for_the_module(tmp_path):
    """The kernel's own table has them with a key that never changes: theirs may not be there yet."""
    found = loadable()
    table, array = entries(found, "__jump_table"), entries(found, ".rbl.jump_entries.own_module")
    keys = [next(f for f in entry.fields if f.offset == 8) for entry in table]
    assert [key.target for key in keys] == ["rbl_false_key", "rbl_false_key", "exported_key"]
    assert [key.addend for key in keys] == [1, 0, 0]
    assert not any(f.symbol for entry in table for f in entry.fields)
    late = [next(f for f in entry.fields if f.offset == 8) for entry in array]
    assert [key.target for key in late] == ["own_key", "their_key"]
    assert [key.addend for key in late] == [1, 0]
    assert all(key.symbol is not None for key in late)
    assert [entry.fields[:2] for entry in array] == [entry.fields[:2] for entry in table[:2]]
    code, tables = assembled(found, tmp_path)
    assert tables.section_of(".rbl.jump_entries.own_module").size == 32
    assert tables.section_of(".rbl.jump_entries.own_module").align == 8
    assert code.section_of("__jump_table").align == 8
    assert code.section_of(".rbl.jump_entries.own_module") is None


def test_a_branch_that_objtool_takes_out_when_it_links_is_a_nop_already(tmp_path):
    found = made("likely_branch").replacement
    carried = chunk(found, "likely.rbl")
    (entry,) = entries(found, "__jump_table")
    start = next(f for f in entry.fields if f.offset == 0).addend
    post = object_file("likely_branch", "post").section_of(".text.likely").data
    size = {0xEB: 2, 0xE9: 5}[post[start]]
    assert carried.data[start : start + size] == NOPS[size]
    assert carried.data[:start] == post[:start] and not [f for f in carried.fields if start <= f.offset < start + size]
    assert next(f for f in entry.fields if f.offset == 8).addend & 3 == 3, "the kernel's own bits stay"


def test_static_calls_with_keys_in_modules_go_on_calling_the_trampoline():
    found = loadable()
    (site,) = entries(found, ".static_call_sites")
    assert site.fields[1].target == "__SCK__exported"
    calls = [f for f in chunk(found, "uses_keys.rbl").fields if f.target == "__SCT__own"]
    assert [call.symbol is not None for call in calls] == [True]


def exchanging(construct, *names):
    """The fixture's decision, if of its data what has these names is exchanged."""
    decided = decision(construct)
    data = {datum: Fate(EXCHANGE if datum.name in names else IDLE) for datum in decided.data}
    return dataclasses.replace(decided, data=data)


def test_constant_data_is_exchanged_where_it_runs():
    found = make_replacement([exchanging("exchanged", "operations")], KERNEL, EXPORTS)
    (part,) = found.parts
    (row,) = part.data
    assert (row.name, row.size, row.chunk.section) == ("operations", 24, ".rodata.operations")
    program = Program(part.program)
    symbol = program.symbols[row.symbol]
    section = program.sections[symbol.section]
    assert section.compared
    assert not section.flags & SECTION_TEXT
    assert targets(row.chunk) == ["new_operation.rbl", "old_operation"]


def test_new_functions_that_objects_may_call_keep_the_update_loaded(tmp_path):
    found = make_replacement([exchanging("exchanged", "operations")], KERNEL, EXPORTS)
    assert found.parts[0].handed_out == ["new_operation"]
    write_update_module(tmp_path, IDENTITY, found, KMOD)
    assert ".flags = RBL_OBJECT_KEPT /* new_operation */," in (tmp_path / "update.c").read_text()
    assert made("functions_come_and_go").replacement.parts[0].handed_out == []


def test_of_a_kernel_with_kasan_neither_the_tables_nor_their_constructors_are_carried():
    found = made("sanitized").replacement
    assert {chunk.label for chunk in found.chunks if chunk.kind != "literal"} >= {"watched.rbl", "few.0.rbl"}
    assert not [chunk.section for chunk in found.chunks if re.search("LASAN|_array|startup|exit", chunk.section)]
    (part,) = found.parts
    assert part.handed_out == [], "the frame of a function describes itself with a string, on the stack"
    program = Program(part.program)
    assert {section.name for section in program.sections if section.flags & SECTION_TEXT} == {".text"}


def test_data_that_the_match_does_not_prove_is_not_exchanged():
    datum = next(
        d for d in decision("data").data if d.pre is not None and d.post is not None and d.lifetime == "writable"
    )
    with pytest.raises(RebootlessError) as error:
        make_replacement([exchanging("data", datum.name)], KERNEL, EXPORTS)
    assert (error.value.code, error.value.details["data"]) == ("datum_not_matched", datum.name)


def test_hooks_of_custom_code_are_carried(tmp_path):
    found = make_replacement([decision("hooks")], KERNEL, EXPORTS)
    (part,) = found.parts
    assert [(row.stage, row.chunk.label) for row in part.hooks] == [(0, "prepare.rbl"), (6, "check.rbl")]
    write_update_module(tmp_path, IDENTITY, found, KMOD)
    assert "check.rbl */" in (tmp_path / "update.c").read_text()
