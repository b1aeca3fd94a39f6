# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kbuild's saved command, run for a copy of the source, gives the same object."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.saved_command import (
    command_file,
    read_saved,
    read_versions,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.units import Unit
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

UNIT = Unit("net/a.o", "net/a.o", ("vmlinux",))
SOURCE = """\
#include "local.h"
#include "../other.h"
const char *file = __FILE__;
int f(int x) { return x + LOCAL + OTHER; }
"""


@pytest.fixture
def tree(tmp_path):
    """A source and a build directory in which Kbuild's command has been run."""
    source, build = tmp_path / "source", tmp_path / "build"
    (source / "net").mkdir(parents=True)
    (build / "net").mkdir(parents=True)
    (source / "net" / "a.c").write_text(SOURCE)
    (source / "net" / "local.h").write_text("#define LOCAL 3\n")
    (source / "other.h").write_text("#define OTHER 4\n")
    command = (
        f"gcc -Wp,-MMD,net/.a.o.d -fmacro-prefix-map={source}/= -O2 -g -DNAME='\"a b\"' -DHASH='$(pound)x $$y' "
        f"-c -o net/a.o {source}/net/a.c   ; objcopy --add-section=.tool=net/.a.o.d net/a.o"
    )
    shell = command.replace("$(pound)", "#").replace("$$", "$")
    subprocess.run(["sh", "-e", "-c", shell], cwd=build, check=True)
    (build / "net" / ".a.o.cmd").write_text(
        f"savedcmd_net/a.o := {command}\n\nsource_net/a.o := {source}/net/a.c\n\n"
        "deps_net/a.o := \\\n\n#SYMVER f 0x1234\n"
    )
    return source, build


def test_a_copy_compiles_to_the_same_object(tree, tmp_path):
    source, build = tree
    saved = read_saved(build, UNIT)
    assert (saved.target, saved.source, saved.versions) == ("net/a.o", f"{source}/net/a.c", ("#SYMVER f 0x1234",))
    copy, output = tmp_path / "a copy" / "a.c", tmp_path / "out put.o"
    copy.parent.mkdir()
    copy.write_text(SOURCE)
    before = (build / "net" / "a.o").read_bytes()
    subprocess.run(["sh", "-e", "-c", saved.for_copy(copy, output)], cwd=build, check=True)
    for tool_output in (output, build / "net" / "a.o"):
        subprocess.run(["objcopy", "--remove-section=.tool", tool_output], check=True)
    assert output.read_bytes() == (build / "net" / "a.o").read_bytes()
    assert b"net/a.c" in output.read_bytes()
    assert str(copy.parent).encode() not in output.read_bytes()
    assert before.startswith(b"\x7fELF")


def test_added_flags_count(tree, tmp_path):
    source, build = tree
    copy, output = tmp_path / "a.c", tmp_path / "out.o"
    copy.write_text(SOURCE)
    command = read_saved(build, UNIT).for_copy(copy, output, ("-ffunction-sections",))
    subprocess.run(["sh", "-e", "-c", command], cwd=build, check=True)
    assert b".text.f" in output.read_bytes()


def test_the_command_for_checksums_only_preprocesses(tree, tmp_path):
    source, build = tree
    command = read_saved(build, UNIT).versions_of_copy(tmp_path / "a.c")
    assert command.startswith("gcc -E -D__GENKSYMS__ ")
    assert command.endswith(f"{tmp_path}/a.c | scripts/genksyms/genksyms -r /dev/null")
    assert " -c " not in command
    assert "objcopy" not in command
    assert "-MMD" not in command


def test_versions_beside_an_object(tmp_path):
    assert read_versions(tmp_path / "a.o") == ()
    command_file(tmp_path / "a.o").write_text("cmd := x\n#SYMVER a 0x1\n#SYMVER b 0x2\n")
    assert read_versions(tmp_path / "a.o") == ("#SYMVER a 0x1", "#SYMVER b 0x2")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cmd_net/a.o := ld -r -o net/a.o x.o\n\nsource_net/a.o := x.c\n",
        "cmd_net/a.o := gcc -c -o net/a.o x.c\n",
        "cmd_net/a.o := gcc -c -o net/b.o x.c\n\nsource_net/a.o := x.c\n",
    ],
)
def test_commands_that_are_not_understood(tmp_path, text):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / ".a.o.cmd").write_text(text)
    with pytest.raises(RebootlessError) as caught:
        read_saved(tmp_path, UNIT)
    assert caught.value.code == "unknown_command"


def test_a_unit_without_a_command(tmp_path):
    with pytest.raises(RebootlessError) as caught:
        read_saved(tmp_path, UNIT)
    assert caught.value.code == "unknown_command"
