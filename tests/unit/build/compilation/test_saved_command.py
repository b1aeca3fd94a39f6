# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kbuild's saved command, run for a copy of the source, gives the same object."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.saved_command import (
    Roots,
    SavedCommand,
    command_file,
    dependency_file,
    read_made,
    read_recipes,
    read_saved,
    read_versions,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import Unit
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


def shell(command, directory):
    return subprocess.run(["sh", "-e", "-c", command], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def place(tree, tmp_path):
    """The source, moved to another place."""
    source, _build = tree
    there = tmp_path / "other" / "place"
    shutil.copytree(source, there)
    return Roots(str(source), str(there))


def test_a_source_in_another_place_compiles_to_the_same_object(tree, place, tmp_path):
    source, build = tree
    saved = read_saved(build, UNIT)
    assert (saved.target, saved.source, saved.versions) == ("net/a.o", f"{source}/net/a.c", ("#SYMVER f 0x1234",))
    output = tmp_path / "out put.o"
    shell(saved.compile(place, output), build)
    assert place.there in dependency_file(output).read_text()
    for tool_output in (output, build / "net" / "a.o"):
        assert b".tool" in tool_output.read_bytes()
        shell(f"objcopy --remove-section=.tool '{tool_output}'", build)
    assert output.read_bytes() == (build / "net" / "a.o").read_bytes()
    assert b"net/a.c" in output.read_bytes()
    assert place.there.encode() not in output.read_bytes()


def test_files_in_the_other_place_count(tree, place, tmp_path):
    _source, build = tree
    for name, text in (("net/local.h", "#define LOCAL 5\n"), ("other.h", "#define OTHER 600\n")):
        Path(place.there, name).write_text(text)
    text = shell(read_saved(build, UNIT).preprocess(place), build).stdout.decode()
    assert "x + 5 + 600" in text
    assert 'file = "net/a.c"' in text
    assert "#" not in text


def test_a_source_whose_path_only_begins_alike_stays(tree):
    source, _build = tree
    words = [f"-I{source}/include", f"-I{source}-other/include", f"-DX='{source}'", f"-fmacro-prefix-map={source}/="]
    assert Roots(str(source), "/there").moved(["gcc", *words]) == [
        *("gcc", f"-fdebug-prefix-map=/there={source}", "-I/there/include", f"-I{source}-other/include"),
        *("-DX='/there'", "-fmacro-prefix-map=/there/="),
    ]


def test_added_flags_count(tree, place, tmp_path):
    _source, build = tree
    output = tmp_path / "out.o"
    command = read_saved(build, UNIT)
    shell(command.compile(place, output, ("-ffunction-sections",)), build)
    assert b".text.f" in output.read_bytes()
    output.unlink()
    shell(command.compile_only(place, output, ("-ffunction-sections", "-g0")), build)
    assert b".text.f" in output.read_bytes()
    assert b".debug" not in output.read_bytes()
    assert b".tool" not in output.read_bytes()


def test_the_command_for_checksums_only_preprocesses(tree, place):
    _source, build = tree
    command = read_saved(build, UNIT).versions_of(place)
    assert command.startswith("gcc -fdebug-prefix-map=")
    assert command.endswith(f" -D__GENKSYMS__ -E {place.there}/net/a.c | scripts/genksyms/genksyms -r /dev/null")
    assert " -c " not in command
    assert "objcopy" not in command
    assert "-MMD" not in command


def test_commands_from_what_make_would_run():
    """As `make -n` prints it: the compilation, and the program that saves its command."""
    text = """\
gcc -Wp,-MMD,net/.a.o.d -c -o net/a.o /s/net/a.c   ; ./tools/objtool/objtool net/a.o
scripts/basic/fixdep net/.a.o.d net/a.o 'gcc -Wp,-MMD,net/.a.o.d -DH='\\''"$(pound)x $$y"'\\'' -c -o net/a.o \
/s/net/a.c   ; ./tools/objtool/objtool net/a.o' > net/.a.o.cmd; rm -f net/.a.o.d
scripts/basic/fixdep lib/.b.o.d lib/b.o 'perl x > lib/b.o' > lib/.b.o.cmd
""".replace("\\\n", "")
    wanted = SavedCommand(
        "gcc -Wp,-MMD,net/.a.o.d -DH='\"#x $y\"' -c -o net/a.o /s/net/a.c   ; ./tools/objtool/objtool net/a.o",
        *("net/a.o", "/s/net/a.c", ()),
    )
    assert list(read_recipes(text).values()) == [wanted]


def saved(command, source="/s/a.S", read="/s/x.h \\\n    $(wildcard include/config/X) \\\n  include/y.h \\"):
    return f"cmd_a := {command}\n\nsource_a := {source}\n\ndeps_a := \\\n  {read}\n\na: $(deps_a)\n"


def made_by(text):
    """The command and what it read; there is one."""
    made = read_made(text)
    assert made is not None
    return made


def test_how_a_linker_script_a_program_and_assembler_code_were_made():
    command, read = made_by(saved("gcc -E -Wp,-MMD,a.d -P -C -DX -o v/a.lds /s/a.S"))
    assert (command.target, command.source, command.is_text) == ("v/a.lds", "/s/a.S", True)
    assert read == ["/s/a.S", "/s/x.h", "include/y.h"]
    assert command.preprocess(Roots("/s", "/s")) == "gcc -E -P -DX -P -E /s/a.S"
    command, _read = made_by(saved("gcc -O2   -o v/a /s/a.S   "))
    assert (command.target, command.is_text) == ("v/a", False)
    assert command.compile_only(Roots("/s", "/s"), Path("/o"), ("-w",)) == "gcc -O2 -w -c -o /o /s/a.S"
    command, _read = made_by(saved("gcc -g -Wa,-gdwarf-5 -c -o v/a.o /s/a.S ; ./objtool v/a.o"))
    assert command.compile_only(Roots("/s", "/s"), Path("/o"), ("-g0",)) == "gcc -g -g0 -c -o /o /s/a.S"


@pytest.mark.parametrize("command", ["objcopy -O binary a.elf a.bin", "ld -o a.elf b.o c.o", "gcc -c -o a.o /s/b.S"])
def test_what_was_not_made_of_one_source_has_no_command(command):
    assert read_made(saved(command)) is None


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
