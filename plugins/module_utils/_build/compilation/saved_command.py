# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command with which Kbuild compiles a unit, and the same for a source in another place.

Kbuild keeps it in a ``.cmd`` file beside the object (scripts/Kbuild.include, *cmd_and_savecmd*), with the checksums of
what the unit exports (``#SYMVER`` lines; scripts/Makefile.build, *gen_symversions*).
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import run_unchecked
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import Unit
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# "cmd_net/unix/af_unix.o := ..." (savedcmd_ since Linux 6.4), with make's quoting of # and $.
_SAVED = re.compile(r"^(?:saved)?cmd_\S+ := (?P<command>.*)$", re.MULTILINE)
_SOURCE = re.compile(r"^source_\S+ := (?P<source>\S+)$", re.MULTILINE)
_READ = re.compile(r"^deps_\S+ := (?P<files>(?:.*\\\n)*.*)$", re.MULTILINE)
_OPTION = re.compile(r"\$\(wildcard [^)]*\)")  # of the configuration, which fixdep writes among the files
# Options that keep comments in linker scripts, and debug information of assembler code that -g0 would not turn off.
_NO_CODE = re.compile(r"-CC?|-Wa,-g.*")
_VERSION = re.compile(r"^#SYMVER .*$", re.MULTILINE)
_DEPENDENCIES = ("-Wp,-MMD,", "-Wp,-MD,")
_WITH_PLACES = "asan-globals=1"
WITHOUT_PLACES = ("--param=asan-globals=0",)


@dataclasses.dataclass(frozen=True)
class SavedCommand:
    """How Kbuild made ``target`` from ``source`` (both as it spells them, relative to the build directory).

    ``command`` is for a shell in the build directory; ``versions`` are the ``#SYMVER`` lines.
    """

    command: str
    target: str
    source: str
    versions: tuple[str, ...]

    def compile(self, place: Roots, output: Path, flags: Sequence[str] = ()) -> str:
        """The command that makes ``output`` as Kbuild would, with ``flags``, from the source in ``place``.

        Words are replaced as a whole: the target's path (also where objtool works on it), and the file that
        dependencies go to.
        """
        made = shlex.quote(os.fspath(output))
        compiler, *tools = self.command.split(" ; ")
        before, after = _split(compiler)
        words = [f"-Wp,-MMD,{made}.d" if word.startswith(_DEPENDENCIES) else word for word in before]
        command = " ".join(place.moved([*words, *flags, *after]))
        return " ".join(made if word == self.target else word for word in " ; ".join([command, *tools]).split(" "))

    def compile_only(self, place: Roots, output: Path, flags: Sequence[str] = ()) -> str:
        """The compiler's part of the command alone, without what works on the object afterwards."""
        before, _after = self._without_dependencies()
        return " ".join(place.moved([*before, *flags, "-c", "-o", shlex.quote(os.fspath(output)), self.source]))

    def preprocess(self, place: Roots, flags: Sequence[str] = ("-P",)) -> str:
        """The command that prints the preprocessed source; ``-P``: without directives that say where a line is from."""
        before, _after = self._without_dependencies()
        return " ".join(place.moved([*before, *flags, "-E", self.source]))

    def dump(self, place: Roots, output: Path, flags: Sequence[str]) -> str:
        """The command that writes to ``output`` what the compiler understands of the source's functions.

        It makes no object.
        """
        before, _after = self._without_dependencies()
        dump = f"-fdump-tree-ssa-gimple={shlex.quote(os.fspath(output))}"
        return " ".join(place.moved([*before, *flags, dump, "-S", "-o", "/dev/null", self.source]))

    @property
    def names_source(self) -> bool:
        """Whether the object names the place of its source, which no option maps: KASAN's table of variables does.

        With ``WITHOUT_PLACES`` it has no such table.
        """
        return _WITH_PLACES in self.command

    @property
    def is_text(self) -> bool:
        """Whether the target itself is preprocessed text: a linker script."""
        return "-E" in self.command.split(" ; ")[0].split(" ")

    def assemble(self, place: Roots) -> str:
        """The command of ``read_assembly`` that prints the assembler code."""
        words = self.command.split(" ")
        kept = [word for word in words if not word.startswith(_DEPENDENCIES)]
        return " ".join(place.moved(["-" if word == self.target else word for word in kept]))

    def versions_of(self, place: Roots) -> str:
        """The command that prints the checksums of what the source exports (cmd_gensymtypes_c)."""
        return f"{self.preprocess(place, ('-D__GENKSYMS__',))} | scripts/genksyms/genksyms -r /dev/null"

    def _without_dependencies(self) -> tuple[list[str], list[str]]:
        before, after = _split(self.command.split(" ; ")[0])
        return [word for word in before if not word.startswith(_DEPENDENCIES)], after


@dataclasses.dataclass(frozen=True)
class Roots:
    """Where a command finds the kernel's source: below ``there`` in place of ``source``.

    Every path in the command moves, so all directories are looked through in the same order, and the kernel's own maps
    write the same ``__FILE__``; debug information is mapped back to ``source``, unless the kernel maps it itself.
    """

    source: str
    there: str

    def moved(self, words: Sequence[str]) -> list[str]:
        """The words of a compiler's command for the source in this place."""
        if self.there == self.source:
            return list(words)
        inside = re.compile(rf"{re.escape(self.source)}(?=[/='\"]|$)")
        moved = [inside.sub(self.there, word) for word in words]
        # Of several maps that fit the last one counts, so this comes before the kernel's.
        moved.insert(next(i for i, w in enumerate(moved) if w.startswith("-")), self._map())
        return moved

    def _map(self) -> str:
        return f"-fdebug-prefix-map={self.there}={self.source}"


def run_saved(command: str, build: str | Path, stderr: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[bytes]:
    """Runs a command of Kbuild's in the build directory, as make does; ``stderr`` is as for ``subprocess.run``."""
    return run_unchecked(["sh", "-e", "-c", command], build, stderr)


def _split(command: str) -> tuple[list[str], list[str]]:
    """The words before ``-c``, and the rest."""
    words = command.split(" ")
    at = words.index("-c")
    return words[:at], words[at:]


def dependency_file(output: Path) -> Path:
    """Where the compiler lists what ``output`` was made from."""
    return output.with_name(f"{output.name}.d")


def command_file(output: Path) -> Path:
    """Where Kbuild keeps the command of an object."""
    return output.with_name(f".{output.name}.cmd")


def read_versions(output: Path) -> tuple[str, ...]:
    """The ``#SYMVER`` lines that belong to an object; empty if it exports nothing."""
    file = command_file(output)
    return tuple(_VERSION.findall(file.read_text(encoding="utf-8"))) if file.is_file() else ()


# The recipe of an object as make prints it: scripts/basic/fixdep DEPENDENCIES TARGET 'COMMAND' > .TARGET.cmd
_RECIPE = re.compile(r"fixdep \S+ (?P<target>\S+) '(?P<command>(?:[^'\n]|'\\\'')*)' > \S+\.cmd")


def read_recipes(text: str) -> dict[str, SavedCommand]:
    """By target, the commands that Kbuild would run and save, from what ``Kbuild.recipes`` printed."""
    found = {}
    for match in _RECIPE.finditer(text):
        command = _unescaped(match["command"].replace("'\\''", "'"))
        words = command.split(" ; ")[0].split()
        if words.count("-c") == 1 and match["target"] in words:
            found[match["target"]] = SavedCommand(command, match["target"], words[-1], ())
    return found


def _unescaped(command: str) -> str:
    """Without make's quoting of # and $."""
    return command.replace("$(pound)", "#").replace("$$", "$")


def read_saved(build: Path, unit: Unit) -> SavedCommand:
    """The command that made ``unit`` in the build directory.  Raises ``RebootlessError`` (``unknown_command``)."""
    file = command_file(build / unit.target)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise _unknown(unit, f"{file.name} is missing") from error
    saved, source = _SAVED.search(text), _SOURCE.search(text)
    if saved is None or source is None:
        raise _unknown(unit, f"{file.name} holds no command")
    command = _unescaped(saved["command"])
    words = command.split(" ")
    if words.count("-c") != 1 or unit.target not in words or source["source"] not in words:
        raise _unknown(unit, "the command does not compile one source to one object")
    return SavedCommand(command, unit.target, source["source"], tuple(_VERSION.findall(text)))


def read_made(text: str) -> tuple[SavedCommand, list[str]] | None:
    """What the saved ``text`` of a ``.cmd`` file says: the command that made something of one source, and the files
    that were read for it; None if that was made otherwise.

    Linker scripts and programs of the build are made without ``-c``, which is put into the command.
    """
    saved, source, read = _SAVED.search(text), _SOURCE.search(text), _READ.search(text)
    if saved is None or source is None or read is None:
        return None
    compiler, *tools = _unescaped(saved["command"]).split(" ; ")
    words = [word for word in compiler.split() if not _NO_CODE.fullmatch(word)]
    if words.count("-o") != 1 or words[-1] != source["source"]:
        return None
    at = words.index("-o")
    if "-c" not in words:
        words.insert(at, "-c")
    target = words[words.index("-o") + 1]
    files = [source["source"], *(word for word in _OPTION.sub("", read["files"]).split() if word != "\\")]
    return SavedCommand(" ; ".join([" ".join(words), *tools]), target, source["source"], ()), files


def read_assembly(build: Path, target: str) -> SavedCommand:
    """The command that made the assembler code ``target`` from C.  Raises ``RebootlessError`` (``unknown_command``)."""
    saved = _SAVED.search(command_file(build / target).read_text(encoding="utf-8"))
    if saved is None:
        raise _unknown(Unit(target, target, ()), "no command is saved")
    command = _unescaped(saved["command"])
    return SavedCommand(command, target, command.split()[-1], ())


def _unknown(unit: Unit, why: str) -> RebootlessError:
    return RebootlessError(
        "unknown_command",
        f"How Kbuild compiles {unit.name} is not understood: {why}.",
        "Report it, with the unit and the kernel's release.",
        unit=unit.name,
    )
