# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A patch to a header is refused for embedded code if that comes out otherwise, and only then."""

from __future__ import annotations

import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected import embedded
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.narrower import Narrower
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.includes import IncludeGraph
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import (
    apply_patches,
    read_patch,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.kbuild import Kbuild
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import UnitMap
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

HEADER = """\
#ifdef SCRIPT
#define START 0x1000
#else
#define USED 3
static inline int unused(int x) { return x + 7; }
static inline int used(int x) { return x + USED; }
#endif
"""
VDSO, PURGATORY = "arch/x86/entry/vdso", "arch/x86/purgatory"
SOURCES = {
    f"{VDSO}/clock.c": '#include "h.h"\nint clock(int x) { return used(x); }\n',
    f"{VDSO}/vma.c": '#include "h.h"\nint vma(int x) { return used(x); }\n',
    f"{VDSO}/layout.lds.S": '#include "h.h"\n/* the beginning */\nSECTIONS { . = START; }\n',
    f"{VDSO}/vdso.lds.S": '#include "arch/x86/entry/vdso/layout.lds.S"\n',
    f"{VDSO}/not-built.S": '#include "h.h"\n',
    "lib/sha.c": '#include "h.h"\n#ifdef PURGATORY\nint sha(int x) { return unused(x); }\n#endif\n',
}
COMPILE, SCRIPT = "-O2 -c", "-E -P -C -DSCRIPT"
MADE = [
    (f"{VDSO}/clock.o", f"{VDSO}/clock.c", COMPILE),
    (f"{VDSO}/vma.o", f"{VDSO}/vma.c", COMPILE),
    (f"{VDSO}/vdso.lds", f"{VDSO}/vdso.lds.S", SCRIPT),
    (f"{PURGATORY}/sha.o", "lib/sha.c", f"-DPURGATORY {COMPILE}"),
]
UNITS = UnitMap.from_scan([f"vmlinux {VDSO}/vma.o {PURGATORY}/kexec-purgatory.o"], {})
REACHED = [path for path in SOURCES if path.startswith("arch/")]


class Tree(KernelTree):
    """A tree whose units are given."""

    units = UNITS


@pytest.fixture
def tree(tmp_path, monkeypatch):
    source, build = tmp_path / "source", tmp_path / "build"
    for path, text in {**SOURCES, "h.h": HEADER}.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    build.mkdir()

    def make_units(self, targets):
        assert targets == [f"{VDSO}/vma.o", f"{PURGATORY}/kexec-purgatory.o"]
        for target, path, options in MADE:
            make(source, build, target, path, options)

    monkeypatch.setattr(Kbuild, "make_units", make_units)
    names = ("release", "build_id", "version", "origin", "headers", "config", "vmlinuz", "modules")
    rest: dict[str, t.Any] = dict.fromkeys((*names, "compiler", "compiler_version", "identity"), "")
    return Tree(path=str(tmp_path / "tree"), arch="x86_64", source=str(source), build=str(build), variables={}, **rest)


def make(source, build, target, path, options):
    """As Kbuild does it: the file, and the one that says how it was made."""
    (build / target).parent.mkdir(parents=True, exist_ok=True)
    command = f"gcc -Wp,-MMD,{build}/deps -I{source} {options} -o {target} {source}/{path}"
    subprocess.run(["sh", "-e", "-c", command], cwd=build, check=True)
    read = (build / "deps").read_text().partition(":")[2]
    name = Path(target).name
    text = f"cmd_{target} := {command}\n\nsource_{target} := {source}/{path}\n\ndeps_{target} := \\\n{read}\n"
    (build / target).with_name(f".{name}.cmd").write_text(text)


def check(tree, tmp_path, new, reached=REACHED, path="h.h"):
    """What comes of a patch that makes ``new`` of the header, or of the file ``path``."""
    (tmp_path / "a").write_text({**SOURCES, "h.h": HEADER}[path])
    (tmp_path / "b").write_text(new)
    command = ["diff", "-u", "--label", f"a/{path}", "--label", f"b/{path}", "a", "b"]
    diff = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).stdout
    (tmp_path / "fix.patch").write_bytes(diff)
    files = apply_patches([read_patch(str(tmp_path / "fix.patch"))], Path(tree.source))
    patched = PatchedSource(Path(tree.source), Path(tempfile.mkdtemp(dir=tmp_path), "patched"), files)
    narrower = Narrower(tree, patched, IncludeGraph({}), 2)
    embedded.check(tree, narrower, reached, files, 2)


def refused(tree, tmp_path, new, reached=REACHED):
    with pytest.raises(RebootlessError) as caught:
        check(tree, tmp_path, new, reached)
    assert caught.value.details["file"] in caught.value.sentence
    return caught.value.code, caught.value.details["file"]


def replaced(old, new):
    assert old in HEADER
    return HEADER.replace(old, new)


@pytest.mark.parametrize(
    "new",
    [
        replaced("#endif", "int declared(void);\nstatic inline int more(void) { return 1; }\n#endif"),
        replaced("#define START 0x1000", "/* comment */\n\n#define START    0x1000\n#define OTHER 1"),
        replaced("x + USED", "USED + x"),
    ],
    ids=["unused", "text of a script", "same code"],
)
def test_what_embedded_code_does_not_use_is_no_reason(tree, tmp_path, new):
    check(tree, tmp_path, new)


@pytest.mark.parametrize(
    ("new", "code", "file"),
    [
        (replaced("USED 3", "USED 4"), "vdso_not_supported", f"{VDSO}/clock.c"),
        (replaced("0x1000", "0x2000"), "vdso_not_supported", f"{VDSO}/vdso.lds.S"),
        (replaced("x + 7", "x + 8"), "embedded_code_not_supported", "lib/sha.c"),
        (replaced("x + USED", "nowhere"), "vdso_not_supported", f"{VDSO}/clock.c"),
    ],
    ids=["code", "script", "source from elsewhere", "does not compile"],
)
def test_embedded_code_that_comes_out_otherwise_is_refused_by_name(tree, tmp_path, new, code, file):
    assert refused(tree, tmp_path, new) == (code, file)


def test_what_is_a_unit_of_the_kernel_is_not_embedded(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.MADE", MADE[1:2])
    check(tree, tmp_path, replaced("USED 3", "USED 4"))


def test_the_unpatched_code_has_to_compile_as_well(tree, tmp_path):
    check(tree, tmp_path, replaced("#endif", "int declared(void);\n#endif"))
    Path(tree.source, VDSO, "clock.c").write_text('#include "h.h"\nint clock(int x) { return used(x) + nowhere; }\n')
    assert refused(tree, tmp_path, replaced("USED 3", "USED 4"))[1] == f"{VDSO}/clock.c"


def test_code_without_a_command_is_refused(tree, tmp_path):
    new = replaced("#endif", "int declared(void);\n#endif")
    check(tree, tmp_path, new)
    Path(tree.build, VDSO, "not-built.o").touch()
    assert refused(tree, tmp_path, new) == ("vdso_not_supported", f"{VDSO}/not-built.S")


def test_code_that_kbuild_cannot_make_is_refused_with_the_reason(tree, tmp_path, monkeypatch):
    def fail(self, targets):
        raise RebootlessError("pre_failed", "The tool vdso2c is missing.", "Install it.")

    monkeypatch.setattr(Kbuild, "make_units", fail)
    with pytest.raises(RebootlessError) as caught:
        check(tree, tmp_path, replaced("#endif", "int declared(void);\n#endif"))
    assert (caught.value.code, caught.value.details["file"]) == ("vdso_not_supported", REACHED[0])
    assert "vdso2c is missing" in caught.value.sentence


def test_nothing_is_made_for_a_patch_that_no_embedded_source_includes(tree, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(Kbuild, "make_units", lambda self, targets: made.append(targets))
    check(tree, tmp_path, replaced("USED 3", "USED 4"), reached=[])
    assert not made
    check(tree, tmp_path, replaced("#endif", "int declared(void);\n#endif"))
    assert made


def test_sources_are_told_from_what_lies_beside_them(tree):
    paths = [f"{VDSO}/a.c", f"{VDSO}/b.lds.S", f"{VDSO}/extable.h", "arch/x86/entry/entry_64.S", f"{PURGATORY}/p.c"]
    assert embedded.sources_among(tree, paths) == [f"{VDSO}/a.c", f"{VDSO}/b.lds.S", f"{PURGATORY}/p.c"]


def test_a_source_that_lies_elsewhere_is_known_by_the_rule_for_it(tree):
    directory = Path(tree.source, PURGATORY)
    directory.mkdir(parents=True)
    (directory / "Makefile").write_text(
        "$(obj)/sha.o: $(srctree)/lib/sha.c FORCE\n\t$(call if_changed_rule,cc_o_c)\n"
        "FLAGS += -I$(srctree)/lib/other.c\n"
    )
    paths = ["lib/sha.c", "lib/sha.h", "lib/other.c", f"{PURGATORY}/p.c"]
    assert embedded.sources_among(tree, paths) == ["lib/sha.c", f"{PURGATORY}/p.c"]


def test_a_source_of_embedded_code_that_is_patched_itself_is_refused(tree, tmp_path):
    new = SOURCES["lib/sha.c"].replace("return unused(x)", "return -unused(x)")
    with pytest.raises(RebootlessError) as caught:
        check(tree, tmp_path, new, ["lib/sha.c"], "lib/sha.c")
    assert (caught.value.code, caught.value.details["file"]) == ("embedded_code_not_supported", "lib/sha.c")
    assert caught.value.sentence.startswith("The patch changes lib/sha.c; that is a part of")


def test_what_embedded_code_leaves_out_of_such_a_source_is_no_reason(tree, tmp_path):
    new = f"{SOURCES['lib/sha.c']}#ifndef PURGATORY\nint elsewhere;\n#endif\n"
    check(tree, tmp_path, new, ["lib/sha.c"], "lib/sha.c")
    with pytest.raises(RebootlessError) as caught:
        check(tree, tmp_path, new.replace("#ifndef", "#ifdef"), ["lib/sha.c"], "lib/sha.c")
    assert caught.value.code == "embedded_code_not_supported"
