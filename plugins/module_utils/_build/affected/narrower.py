# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which units a patch to files that others include really changes.

Thousands of units may include a header, of which a few come out otherwise.  The text of the sources says of most that
what changes is nothing to them (screen.py).  Each of the others is asked in turn, the cheap questions first: whether
its preprocessed source is the same, whether what differs in it can leave a trace in the object (declarations.py), and
whether the compiler alone, without DWARF, makes the same of it.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import AbstractSet as Set
from typing import Iterable, Iterator, Mapping, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.known_units import LINKED, KnownUnits
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.quick_objects import QuickObjects
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.declarations import Comparer
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.includes import IncludeGraph
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.item_names import HeaderChange
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.readings import (
    digest_of,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.screen import Screen, Screened
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.kept_by_reads import KeptByReads
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.saved_command import (
    Roots,
    SavedCommand,
    read_recipes,
    read_saved,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.code_digest import source_digest
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Say
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import Unit
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_RECIPES = "commands.json"
_FOUND = "found"  # in the tree
_DEFINED = re.compile(r"-D\S+")
_WORD = re.compile(r"[A-Za-z_]\w*")
# How a unit was found to stay as it is, in the order of the questions.
NOT_NAMED, NOT_READ, SAME_SOURCE = "not_named", "not_read", "same_source"
UNUSED, SAME_CODE = "unused", "same_code"
# How it was found that it has to be compiled the whole way: it may differ, or only Kbuild knows how it is compiled.
DIFFERS, NO_COMMAND = "differs", "no_command"
MAY_CHANGE = frozenset({DIFFERS, NO_COMMAND})
_FEW = 16  # units
_STEP = 20  # units between two lines of progress


class Narrower:
    """Finds the units of ``tree`` that ``patched`` changes among those that include a patched file."""

    def __init__(
        self, tree: KernelTree, patched: PatchedSource, graph: IncludeGraph, jobs: int, say: Say = lambda text: None
    ) -> None:
        self._tree = tree
        self._patched = patched
        self._graph = graph
        self._jobs = jobs
        self._say = say
        self._kept = Cache(tree.path)
        self._original = Roots(tree.source, tree.source)
        self._comparer = Comparer()
        self._known = KnownUnits(tree, self._kept, self._original, self._comparer)
        self._objects = QuickObjects(tree, self._kept, self._original)
        self._found = KeptByReads(self._kept, _FOUND)
        self._changes: Mapping[str, HeaderChange | None] = {}
        self._commands: Mapping[str, SavedCommand] | None = None
        self.counts: Counter[str] = Counter()  # of units, by what was found of them
        self.names: tuple[str, ...] = ()  # what the change goes by, and what goes by that; empty if by no name

    def changed(self, units: Sequence[Unit]) -> list[Unit]:
        """Those of ``units`` whose objects may differ, in their order; never one too few."""
        # A few are asked sooner than all sources are looked through.
        asked = units if len(units) <= _FEW else self.concerned(units)
        self.counts[NOT_NAMED] += len(units) - len(asked)
        found: list[Unit] = []
        start = time.monotonic()
        for number, (unit, verdict) in enumerate(self.ask(asked), 1):
            self.counts[verdict] += 1
            if verdict in MAY_CHANGE:
                found.append(unit)
            if number % _STEP == 0 or number == len(asked):
                left = (time.monotonic() - start) / number * (len(asked) - number)
                self._say(f"compare {number}/{len(asked)} units, {len(found)} differ; {left:.0f} s left")
        return found

    def ask(self, units: Sequence[Unit], compiler_alone: bool = False) -> Iterator[tuple[Unit, str]]:
        """Each unit with what is found of it: ``not_read``, ``same_source``, ``unused``, ``same_code``, or one of
        ``MAY_CHANGE``.

        With ``compiler_alone`` nothing is taken from what is kept, nor from what goes by names.
        """
        commands = self.commands(units)
        self._patched.admit([command for command in commands if command is not None])
        with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
            yield from zip(units, pool.map(self._by_compiler if compiler_alone else self._verdict, units, commands))

    def first_differing(self, commands: Sequence[SavedCommand]) -> SavedCommand | None:
        """One of ``commands``, which make what is no unit, whose outcome may differ; None if all stay as they are."""
        self._patched.admit(commands)
        units = [Unit(os.path.normpath(command.target), command.target, ()) for command in commands]
        with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
            verdicts = pool.map(self._verdict, units, commands)
            return next((command for command, verdict in zip(commands, verdicts) if verdict in MAY_CHANGE), None)

    def concerned(self, units: Sequence[Unit]) -> list[Unit]:
        """Those of ``units`` that the text of the sources does not show to be none of the patch's business."""
        screened = self._screen(self._recipes().values())
        self.names = screened.names
        self._changes = screened.changes
        if screened.files is None:
            return list(units)
        reached = self._graph.reached_from(screened.files)
        words = set(screened.names)
        asked = []
        for unit, command in zip(units, self.commands(units)):
            own = None if command is None else self._below(command.source)
            if own is None or own in reached or command is None or not _is_plain_c(command, words):
                asked.append(unit)
        self._say(f"{len(units) - len(asked)} of {len(units)} units that include a patched file name nothing of it")
        return asked

    def _screen(self, commands: Iterable[SavedCommand]) -> Screened:
        commands = list(commands)
        below = [path for source in {c.source for c in commands} if (path := self._below(source)) is not None]
        given = set().union(*map(_brought, commands))
        roots = (Path(self._tree.source), Path(self._tree.build))
        changes = {path: ((roots[0] / path).read_bytes(), file.marked()) for path, file in self._patched.files.items()}
        return Screen(roots, [*below, *changes], self._graph, self._kept, given).look(changes)

    def _below(self, source: str) -> str | None:
        """Where a command's source is, below the kernel's source or the build directory."""
        path = os.path.normpath(os.path.join(self._tree.build, source))
        for root in (self._tree.source, self._tree.build):
            if path.startswith(f"{root}/") and os.path.isfile(path):
                return path[len(root) + 1 :]
        return None

    def commands(self, units: Sequence[Unit]) -> list[SavedCommand | None]:
        """How each unit is compiled; None where only Kbuild knows, since something has to be made first."""
        build = Path(self._tree.build)
        known = self._recipes()
        return [known[unit.target] if unit.target in known else _saved(build, unit) for unit in units]

    def _recipes(self) -> Mapping[str, SavedCommand]:
        """The commands of all units that were not compiled yet when they were first asked for."""
        if self._commands is None:
            self._commands = self._read_recipes()
        return self._commands

    def _read_recipes(self) -> Mapping[str, SavedCommand]:
        path = self._kept.path(_RECIPES)
        with self._kept.lock(_RECIPES):
            if not path.is_file():
                targets = [unit.target for unit in self._tree.units.units.values()]
                found = read_recipes(self._tree.kbuild(self._jobs).recipes(targets))
                rows = {name: [command.command, command.source] for name, command in found.items()}
                disk.replace(path, strict_json.exact(rows))
            rows = strict_json.read(path)
        return {name: SavedCommand(row[0], name, row[1], ()) for name, row in rows.items()}

    def _verdict(self, unit: Unit, command: SavedCommand | None) -> str:
        if command is None or command.is_text:
            return self._by_compiler(unit, command)
        read = self._known.files(unit, command)
        if read is None:
            return DIFFERS  # generated files are missing: the whole way of a unit will tell
        places = {path: self._known.place_of(path) for path in self._patched.texts}
        if not read.isdisjoint(f"{LINKED}{place}" for place in places.values()):
            return DIFFERS  # the link leads past the patched file, which the whole way of a unit refuses
        patched = [path for path, place in places.items() if place in read]
        if not patched:
            # As each file that is read is the same, the compiler comes upon no other one; nor does a patch add one that
            # might be found first.
            return NOT_READ
        if not command.source.endswith(".c"):
            return self._by_compiler(unit, command)
        change = self._change_of(patched, command)
        if change is None:
            return self._asked_once(unit, command, None)
        reading = self._known.reading(unit, command)
        if reading is None:
            return DIFFERS
        return UNUSED if reading.is_left_alone(change) else self._asked_once(unit, command, reading.digest)

    def _change_of(self, patched: Sequence[str], command: SavedCommand) -> HeaderChange | None:
        """What changes for a unit that reads the files ``patched``; None if that goes by no names."""
        whole = HeaderChange(frozenset(), frozenset(), frozenset())
        for path in patched:
            change = self._changes.get(path)
            if change is None:
                return None
            whole = whole.with_other(change)
        plain = _is_plain_c(command, {name.decode() for name in whole.names})
        return whole if plain else None

    def _asked_once(self, unit: Unit, command: SavedCommand, before: str | None) -> str:
        """Asks the compiler unless it was asked before; ``before`` is the digest of the unpatched text, or None."""
        digests = self._patched.digests
        how = f"{source_digest(__name__)} {command.command}"
        known = self._found.find(unit.name, how, digests)
        if known is None:
            post, read = self._known.preprocessed_from(command, self._patched.numbered)
            if post is None:
                return DIFFERS  # the patch is wrong: the whole way of a unit will tell
            known = self._by_source(unit, command, before, post)
            self._found.note(unit.name, how, digests, read, known)
        return known

    def _by_source(self, unit: Unit, command: SavedCommand, before: str | None, post: bytes) -> str:
        if before is not None and digest_of(post) == before:
            return SAME_SOURCE
        pre = self._known.preprocessed(command, self._original)
        if pre is None:
            return DIFFERS  # generated files are missing: the whole way of a unit will tell
        return SAME_SOURCE if pre == post else self._compared(unit, command, pre, post)

    def _by_compiler(self, unit: Unit, command: SavedCommand | None) -> str:
        """Asks the compiler."""
        if command is None:
            return NO_COMMAND
        pre = self._known.preprocessed(command, self._original)
        post = self._known.preprocessed(command, self._patched.numbered.place) if pre is not None else None
        if pre is None or post is None:
            return DIFFERS  # generated files are missing, or the patch is wrong: the whole way of a unit will tell
        if pre == post or (command.is_text and pre.split() == post.split()):
            return SAME_SOURCE
        return DIFFERS if command.is_text else self._compared(unit, command, pre, post)

    def _compared(self, unit: Unit, command: SavedCommand, pre: bytes, post: bytes) -> str:
        """What is found of two preprocessed sources that differ."""
        if command.source.endswith(".c") and self._comparer.same_object(pre, post):
            return UNUSED
        return SAME_CODE if self._objects.same(unit.name, command, self._patched.numbered.place) else DIFFERS


def _saved(build: Path, unit: Unit) -> SavedCommand | None:
    try:
        return read_saved(build, unit)
    except RebootlessError:  # not made yet, just being made by another build, or by one that was killed
        return None


def _is_plain_c(command: SavedCommand, words: Set[str]) -> bool:
    """Whether a unit is C, and its command itself brings none of ``words`` into it."""
    brought = _brought(command)
    return command.source.endswith(".c") and not brought & words and "__ASSEMBLY__" not in brought


def _brought(command: SavedCommand) -> set[str]:
    """The words that a command itself defines."""
    return {word for option in _DEFINED.findall(command.command) for word in _WORD.findall(option[2:])}
