# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command with which Kbuild compiled a unit, and the same for another source.  Private to rebootless.splice.

Kbuild keeps it in a ``.cmd`` file beside the object (scripts/Kbuild.include, *cmd_and_savecmd*), with the checksums of
what the unit exports (``#SYMVER`` lines; scripts/Makefile.build, *gen_symversions*).
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from pathlib import Path
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.units import Unit
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# "cmd_net/unix/af_unix.o := ..." (savedcmd_ since Linux 6.4), with make's quoting of # and $.
_SAVED = re.compile(r"^(?:saved)?cmd_\S+ := (?P<command>.*)$", re.MULTILINE)
_SOURCE = re.compile(r"^source_\S+ := (?P<source>\S+)$", re.MULTILINE)
_VERSION = re.compile(r"^#SYMVER .*$", re.MULTILINE)
_DEPENDENCIES = ("-Wp,-MMD,", "-Wp,-MD,")


@dataclasses.dataclass(frozen=True)
class SavedCommand:
    """How Kbuild made ``target`` from ``source`` (both as it spells them, relative to the build directory).

    ``command`` is for a shell in the build directory; ``versions`` are the ``#SYMVER`` lines.
    """

    command: str
    target: str
    source: str
    versions: tuple[str, ...]

    def for_copy(self, copy: Path, output: Path, flags: Sequence[str] = ()) -> str:
        """The command that makes ``output`` from ``copy``, a copy of the source elsewhere, with ``flags`` added.

        Words are replaced as a whole: the source's path, the target's (also where objtool works on it), and the file
        that dependencies go to.
        """
        replaced = {self.target: shlex.quote(os.fspath(output)), self.source: shlex.quote(os.fspath(copy))}
        added = " ".join(shlex.quote(flag) for flag in (*flags, *self._as_original(copy)))
        words = []
        for word in self.command.split(" "):
            if word.startswith(_DEPENDENCIES):
                word = f"-Wp,-MMD,{shlex.quote(os.fspath(output))}.d"
            elif word == "-c":
                word = f"{added} -c"
            words.append(replaced.get(word, word))
        return " ".join(words)

    def versions_of_copy(self, copy: Path) -> str:
        """The command that prints the checksums of what ``copy``, a copy of a C source, exports (cmd_gensymtypes_c)."""
        compile_only = self.command.split(" ; ")[0].split(" ")
        at = compile_only.index("-c")
        flags = [word for word in compile_only[1:at] if not word.startswith(_DEPENDENCIES)]
        added = " ".join(shlex.quote(flag) for flag in self._as_original(copy))
        preprocess = f"{compile_only[0]} -E -D__GENKSYMS__ {' '.join(flags)} {added} {shlex.quote(os.fspath(copy))}"
        return f"{preprocess} | scripts/genksyms/genksyms -r /dev/null"

    def _as_original(self, copy: Path) -> list[str]:
        """Flags that make the compiler take the copy for the original.

        ``#include "..."`` looks into the directory of the file that has it, so the original's becomes the first one to
        look into; names of files in the object are mapped back to the original's.
        """
        directory, here = os.path.dirname(self.source) or ".", os.fspath(copy.parent)
        return [
            f"-iquote{directory}",
            # The last map that fits counts, so this one does what the kernel's own does, too.
            f"-fmacro-prefix-map={here}/={self._mapped(directory)}/",
            f"-fdebug-prefix-map={here}={directory}",
        ]

    def _mapped(self, directory: str) -> str:
        """``directory`` as the kernel's own ``-fmacro-prefix-map`` writes it into ``__FILE__``."""
        for word in self.command.split(" "):
            match = re.fullmatch(r"-f(?:macro|file)-prefix-map=([^=]+)=(.*)", word)
            if match and directory.startswith(match.group(1)):
                return match.group(2) + directory[len(match.group(1)) :]
        return directory


def command_file(output: Path) -> Path:
    """Where Kbuild keeps the command of an object."""
    return output.with_name(f".{output.name}.cmd")


def read_versions(output: Path) -> tuple[str, ...]:
    """The ``#SYMVER`` lines that belong to an object; empty if it exports nothing."""
    file = command_file(output)
    return tuple(_VERSION.findall(file.read_text(encoding="utf-8"))) if file.is_file() else ()


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
    command = saved["command"].replace("$(pound)", "#").replace("$$", "$")
    words = command.split(" ")
    if words.count("-c") != 1 or unit.target not in words or source["source"] not in words:
        raise _unknown(unit, "the command does not compile one source to one object")
    return SavedCommand(command, unit.target, source["source"], tuple(_VERSION.findall(text)))


def _unknown(unit: Unit, why: str) -> RebootlessError:
    return RebootlessError(
        "unknown_command",
        f"How Kbuild compiles {unit.name} is not understood: {why}.",
        "Report it, with the unit and the kernel's release.",
        unit=unit.name,
    )
