# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which units a patch to files that others include really changes.  Private to rebootless.splice.

Hundreds of units may include a header, of which a few come out otherwise.  Each is asked in turn, the cheap questions
first: whether it mentions what changes, whether its preprocessed source is the same, whether what differs in it can
leave a trace in the object (declarations.py), and whether the compiler alone, without debug information, makes the
same of it.
"""

from __future__ import annotations

import concurrent.futures
import json
import posixpath
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import Mapping, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.cache import (
    Cache,
    sha256_of,
    sha256_of_file,
    write_atomically,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.commands import Say, clean_environment
from ansible_collections.rebootless.splice.plugins.module_utils._build.compiler import SECTION_FLAGS
from ansible_collections.rebootless.splice.plugins.module_utils._build.declarations import (
    Comparer,
    changed_names,
    digest,
    uses,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel_tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.overlay import PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.saved_command import (
    Place,
    SavedCommand,
    command_file,
    read_recipes,
    read_saved,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.units import Unit

_RECIPES = "recipes.json"
_WORDS = "words"  # in the tree: the names in the preprocessed sources of unpatched units
_QUICK = "quick"  # in the tree: what the compiler alone makes of unpatched units, by SHA-256
_QUICK_FLAGS = (*SECTION_FLAGS, "-g0", "-w")
_STEP = 20  # units between two lines of progress


class Narrower:
    """Finds the units of ``tree`` that ``patched`` changes among those that include a patched file."""

    def __init__(self, tree: KernelTree, patched: PatchedSource, jobs: int, say: Say) -> None:
        self._tree = tree
        self._patched = patched
        self._jobs = jobs
        self._say = say
        self._kept = Cache(tree.path)
        self._original = Place(tree.source, tree.source)
        self._comparer = Comparer()
        self._names = changed_names(
            (Path(tree.source, path).read_bytes(), file.text(numbered=False)) for path, file in patched.files.items()
        )

    def changed(self, units: Sequence[Unit]) -> list[Unit]:
        """Those of ``units`` whose objects may differ, in their order; never one too few."""
        commands = {unit.name: command for unit, command in zip(units, self.commands(units))}
        self._patched.admit([command for command in commands.values() if command is not None])
        found: list[Unit] = []
        with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
            verdicts = pool.map(lambda unit: self._differs(unit, commands[unit.name]), units)
            for number, (unit, differs) in enumerate(zip(units, verdicts), 1):
                if differs:
                    found.append(unit)
                if number % _STEP == 0 or number == len(units):
                    self._say(f"compare {number}/{len(units)} units that include a patched file, {len(found)} differ")
        return found

    def commands(self, units: Sequence[Unit]) -> list[SavedCommand | None]:
        """How each unit is compiled; None where only Kbuild knows, since something has to be made first."""
        build = Path(self._tree.build)
        known = self._recipes()
        found: list[SavedCommand | None] = []
        for unit in units:
            if unit.target in known:
                found.append(known[unit.target])
            else:
                found.append(read_saved(build, unit) if command_file(build / unit.target).is_file() else None)
        return found

    def _recipes(self) -> Mapping[str, SavedCommand]:
        """The commands of all units that were not compiled yet when they were first asked for."""
        path = self._kept.path(_RECIPES)
        with self._kept.lock(_RECIPES):
            if not path.is_file():
                targets = [unit.target for unit in self._tree.units.units.values()]
                found = read_recipes(self._tree.kbuild(self._jobs).recipes(targets))
                rows = {name: [command.command, command.source] for name, command in found.items()}
                write_atomically(path, json.dumps(rows).encode())
            rows = json.loads(path.read_text(encoding="utf-8"))
        return {name: SavedCommand(row[0], name, row[1], ()) for name, row in rows.items()}

    def _differs(self, unit: Unit, command: SavedCommand | None) -> bool:
        if command is None:
            return True
        place = self._patched.numbered.place
        is_c = command.source.endswith(".c")
        if is_c and self._names is not None:
            mentioned = self._mentioned(unit, command)
            if mentioned is not None and not uses(mentioned, self._names):
                return False
        pre = self._output(command.preprocess(self._original))
        post = self._output(command.preprocess(place)) if pre is not None else None
        if pre is None or post is None:
            return True  # generated files are missing, or the patch is wrong: the whole way of a unit will tell
        if pre == post or (is_c and self._comparer.same_object(pre, post)):
            return False
        return self._quick_digest(unit, command) != self._compiled(command, place)

    def _mentioned(self, unit: Unit, command: SavedCommand) -> bytes | None:
        """Which names the unpatched unit mentions, kept in the tree; None if it cannot be preprocessed."""
        path = self._kept.path(_WORDS, unit.name, sha256_of(command.command)[:16])
        if path.is_file():
            return zlib.decompress(path.read_bytes())
        pre = self._output(command.preprocess(self._original))
        if pre is None:
            return None
        mentioned = digest(pre)
        write_atomically(path, zlib.compress(mentioned, 1))
        return mentioned

    def _quick_digest(self, unit: Unit, command: SavedCommand) -> str | None:
        """SHA-256 of the unpatched unit's object, kept in the tree; None if it does not compile."""
        path = self._kept.path(_QUICK, unit.name, sha256_of(command.command, *_QUICK_FLAGS)[:16])
        if path.is_file():
            return path.read_text(encoding="ascii")
        made = self._compiled(command, self._original)
        if made is not None:
            write_atomically(path, made.encode())
        return made

    def _compiled(self, command: SavedCommand, place: Place) -> str | None:
        with tempfile.TemporaryDirectory(prefix="rebootless-") as scratch:
            output = Path(scratch, posixpath.basename(command.target))
            made = self._output(command.compile_only(place, output, _QUICK_FLAGS))
            return sha256_of_file(output) if made is not None else None

    def _output(self, command: str) -> bytes | None:
        done = subprocess.run(
            ["sh", "-e", "-c", command],
            cwd=self._tree.build,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return done.stdout if done.returncode == 0 else None
