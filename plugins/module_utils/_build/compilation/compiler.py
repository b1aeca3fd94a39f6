# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three compiles of an optimization unit.

    pre exact       by Kbuild, byte for byte what the distribution built
    pre sectioned   the same with a section for each function and variable
    post sectioned  the patched source, the same way

Kbuild compiles the first and saves its command; the other two run that command for a source in another place, where
some files are replaced (overlay.py).  That this way is the same as Kbuild's is checked: the unpatched source compiled
by it has to give Kbuild's object; if that names the place of its source, the object of the original without the names.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import posixpath
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Callable, Sequence, TypeVar

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.kept_by_reads import KeptByReads
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.overlay import Overlay, PatchedSource
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.saved_command import (
    WITHOUT_PLACES,
    Roots,
    SavedCommand,
    command_file,
    dependency_file,
    read_saved,
    read_versions,
    run_saved,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import (
    Say,
    failed,
    run,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import Unit
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

SECTION_FLAGS = ("-ffunction-sections", "-fdata-sections")
_Read = TypeVar("_Read")
_EXACT, _SECTIONED, _CHECK, _COMMAND = "exact.o", "sectioned.o", "check.o", "command.json"
_AGAIN, _WITHOUT = "again.o", "without.o"
_READ = "read"  # what the compiler read for the last object beside it
_OBJECTS = "objects-2"  # in the tree; before, some units were compiled with the flags of another directory
_POSTS, _POSTS_OF = "posts", "posts-of"
# Without debug information, and without making code: with -flto, gcc leaves that to the linker, if it can.
_DUMPED = (("-g0", "-flto"), ("-g0",))
_BATCH = 20  # units between two lines of progress
# In an object's table of names if it exports anything; the second one since Linux 6.4.
_EXPORTS = (b"__ksymtab_", b"__export_symbol_")
_REPORT = "Report it, with the unit and the kernel's release."
_DIAGNOSTIC = re.compile(r"^(?P<file>[^:\s]+):(?P<line>\d+):(?:\d+:)? (?P<kind>fatal error|error|Error): (?P<text>.*)$")


@dataclasses.dataclass(frozen=True)
class PreObjects:
    """A unit's objects before the patch: Kbuild's own, and the one with a section for each function and variable."""

    unit: Unit
    exact: Path
    sectioned: Path
    command: SavedCommand


class Compiler:
    """Compiles units in ``tree``, at most ``jobs`` at a time; pre objects are kept in the tree.

    Raises ``RebootlessError``: ``pre_failed``, ``not_reproducible``, ``does_not_compile``, ``unknown_command``,
    ``not_dumped``.
    """

    def __init__(self, tree: KernelTree, jobs: int) -> None:
        self._tree = tree
        self._jobs = jobs
        self._kept = Cache(tree.path)  # locked in the tree, whichever cache a build uses
        self._objects = self._kept.path(_OBJECTS)

    def pre(self, units: Sequence[Unit], say: Say = lambda text: None) -> list[PreObjects]:
        """The pre objects of ``units``, in their order; compiled if they are not in the tree yet."""
        missing = [unit for unit in units if not self._directory(unit).is_dir()]
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            with self._kept.turn("objects"):  # builds of other updates need not wait for all of a large header's units
                self._make_pre([unit for unit in batch if not self._directory(unit).is_dir()])
            say(f"compile {start + len(batch)}/{len(missing)} unpatched units")
        return [self._read_pre(unit) for unit in units]

    def _make_pre(self, units: Sequence[Unit]) -> None:
        if units:
            self._forget(units)
            self._tree.kbuild(self._jobs).make_units([unit.target for unit in units])
            self._keep_pre(units)

    def _forget(self, units: Sequence[Unit]) -> None:
        """Removes what is in the build directory of units that are not kept: a run that was killed left it there.

        Make would take it for up to date although, say, the checksums of what it exports were not written any more.
        """
        for unit in units:
            output = Path(self._tree.build, unit.target)
            for path in (output, command_file(output)):
                path.unlink(missing_ok=True)

    def post(
        self, pre_objects: Sequence[PreObjects], patched: PatchedSource, say: Say = lambda text: None
    ) -> list[Path]:
        """The units' objects of the patched source, with a section for each function and variable.

        They are kept in the tree, for the next update with the same patched files.  A source that does not compile
        raises ``does_not_compile`` with the compiler's messages, whose lines are those of the patched file, and the
        hunks that they lie in.
        """
        patched.admit([pre.command for pre in pre_objects])
        posts = []
        with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
            for post in pool.map(lambda pre: self._post(pre, patched), pre_objects):
                posts.append(post)
                if len(posts) % _BATCH == 0 or len(posts) == len(pre_objects):
                    say(f"compile {len(posts)}/{len(pre_objects)} patched units")
        return posts

    def understood(
        self, pre_objects: Sequence[PreObjects], patched: PatchedSource, read: Callable[[str, str, str], _Read]
    ) -> dict[str, _Read]:
        """By unit, what ``read`` makes of its name and the compiler's dumps of it before and after the patch.

        ``members/dump.py`` says what these are.  ``patched`` is that of ``post()``.  Only of C sources.
        Raises ``RebootlessError`` (``not_dumped``).
        """
        original = Roots(self._tree.source, self._tree.source)
        sources = [pre for pre in pre_objects if pre.command.source.endswith(".c")]

        def both(pre: PreObjects) -> _Read:
            return read(pre.unit.name, self._dump(pre, original), self._dump(pre, patched.numbered.place))

        with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
            return dict(zip((pre.unit.name for pre in sources), pool.map(both, sources)))

    def _dump(self, pre: PreObjects, place: Roots) -> str:
        with tempfile.TemporaryDirectory(prefix="rebootless-") as scratch:
            output = Path(scratch, "dump")
            for flags in _DUMPED:
                done = self._shell(pre.command.dump(place, output, flags))
                if done.returncode == 0:  # a unit without functions has no dump
                    return output.read_text(encoding="utf-8", errors="replace") if output.is_file() else ""
        sentence = f"The compiler does not say what it understands of {pre.unit.name}."
        raise failed(done.args, done.returncode, done.stdout, "not_dumped", sentence, _REPORT)

    def _post(self, pre: PreObjects, patched: PatchedSource) -> Path:
        command = " ".join((pre.command.command, *SECTION_FLAGS))
        posts = KeptByReads(self._kept, _POSTS_OF)
        known = posts.find(pre.unit.name, command, patched.digests)
        if known is not None and self._kept.path(_POSTS, known).is_dir():
            return self._kept.path(_POSTS, known, _SECTIONED)
        digest = sha256_of("post", pre.unit.name, command, *(part for row in patched.texts.items() for part in row))
        with self._kept.made_once(_POSTS, digest) as unfinished:
            if unfinished is not None:
                done = self._compile(pre.command, patched.numbered, unfinished / _SECTIONED, SECTION_FLAGS)
                if done.returncode != 0:
                    # Without the #line directives, so that the messages count lines as the patched file does.
                    again = self._compile(pre.command, patched.plain, unfinished / _CHECK, SECTION_FLAGS)
                    # If that succeeds, something else went wrong: a full disk, a process that was killed.
                    raise _does_not_compile(pre.unit, patched, again if again.returncode else done)
                read = patched.numbered.read((unfinished / _READ).read_text(encoding="utf-8"))
                posts.note(pre.unit.name, command, patched.digests, read, digest)
        return self._kept.path(_POSTS, digest, _SECTIONED)

    def _directory(self, unit: Unit) -> Path:
        return self._objects / unit.name

    def _read_pre(self, unit: Unit) -> PreObjects:
        directory = self._directory(unit)
        data = strict_json.read(directory / _COMMAND)
        command = SavedCommand(**{**data, "versions": tuple(data["versions"])})
        return PreObjects(unit, directory / _EXACT, directory / _SECTIONED, command)

    def _keep_pre(self, units: Sequence[Unit]) -> None:
        """Puts Kbuild's objects and their sectioned twins into the tree, after checking our way to compile."""
        with self._kept.unfinished(_OBJECTS, "units") as top:
            made = [self._begin_pre(unit, top / str(number)) for number, unit in enumerate(units)]
            overlay = self._unpatched(top / "source", [pre.command for pre in made])
            tasks = [(pre, overlay, output, flags) for pre in made for output, flags in _twins(pre)]
            with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
                list(pool.map(lambda task: self._compile_pre(*task), tasks))
            for pre in made:
                self._finish_pre(pre)

    def _unpatched(self, directory: Path, commands: Sequence[SavedCommand]) -> Overlay:
        """The source with copies of what the commands compile in the place of the originals."""
        source = Path(self._tree.source)
        paths = {os.path.relpath(os.path.join(self._tree.build, command.source), source) for command in commands}
        copies = {path: (source / path).read_bytes() for path in paths if not path.startswith("../")}
        overlay = Overlay(source, directory, copies)
        overlay.admit(commands)
        return overlay

    def _begin_pre(self, unit: Unit, scratch: Path) -> PreObjects:
        build = Path(self._tree.build)
        scratch.mkdir()
        pre = PreObjects(unit, scratch / _EXACT, scratch / _SECTIONED, read_saved(build, unit))
        shutil.copyfile(build / unit.target, pre.exact)
        (scratch / _COMMAND).write_bytes(strict_json.exact(dataclasses.asdict(pre.command)))
        return pre

    def _compile_pre(self, pre: PreObjects, overlay: Overlay, output: Path, flags: Sequence[str]) -> None:
        done = self._compile(pre.command, overlay, output, flags)
        if done.returncode != 0:
            sentence = f"The unpatched source of {pre.unit.name} does not compile as a copy."
            raise failed(done.args, done.returncode, done.stdout, "pre_failed", sentence, _REPORT)

    def _comparable(self, pre: PreObjects) -> Path:
        """What a copy's object has to be equal to: Kbuild's own, or that of the original without its place in it."""
        if not pre.command.names_source:
            return pre.exact
        kbuilds, without = (
            self._compile_original(pre, pre.exact.with_name(name), flags)
            for name, flags in ((_AGAIN, ()), (_WITHOUT, WITHOUT_PLACES))
        )
        if not _same_code(kbuilds, pre.exact, pre.exact.parent):
            raise _not_reproducible(pre.unit, "its code is other, also where its source is")
        return without

    def _compile_original(self, pre: PreObjects, output: Path, flags: Sequence[str]) -> Path:
        done = self._shell(pre.command.compile(Roots(self._tree.source, self._tree.source), output, flags))
        if done.returncode != 0:
            sentence = f"The unpatched source of {pre.unit.name} does not compile again."
            raise failed(done.args, done.returncode, done.stdout, "pre_failed", sentence, _REPORT)
        return output

    def _finish_pre(self, pre: PreObjects) -> None:
        scratch = pre.exact.parent
        if not _same_code(scratch / _CHECK, self._comparable(pre), scratch):
            raise _not_reproducible(pre.unit, "its code is other")
        if pre.command.source.endswith(".c") and read_versions(scratch / _CHECK) != pre.command.versions:
            raise _not_reproducible(pre.unit, "the checksums of what it exports are others")
        kept = {_EXACT, _SECTIONED, _COMMAND, command_file(pre.sectioned).name}
        for path in scratch.iterdir():
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        final = self._directory(pre.unit)
        final.parent.mkdir(parents=True, exist_ok=True)
        os.rename(scratch, final)

    def _compile(
        self, command: SavedCommand, overlay: Overlay, output: Path, flags: Sequence[str]
    ) -> subprocess.CompletedProcess[str]:
        """Compiles the unit's source in the overlay.

        The checksums of what a C source exports go where Kbuild would put them beside ``output``.
        """
        done = self._shell(command.compile(overlay.place, output, flags))
        if done.returncode == 0:
            dependencies = dependency_file(output)
            overlay.check(dependencies.read_text(encoding="utf-8"))
            dependencies.rename(output.with_name(_READ))
            if command.source.endswith(".c") and _names_exports(output):
                versions = self._shell(command.versions_of(overlay.place))
                command_file(output).write_text(versions.stdout, encoding="utf-8")
        return done

    def _shell(self, command: str) -> subprocess.CompletedProcess[str]:
        done = run_saved(command, self._tree.build, stderr=subprocess.STDOUT)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(errors="replace"))


def _names_exports(path: Path) -> bool:
    content = path.read_bytes()
    return any(name in content for name in _EXPORTS)


def _twins(pre: PreObjects) -> list[tuple[Path, tuple[str, ...]]]:
    """What is compiled from a copy of the unpatched source: the sectioned object, and one for the check."""
    check = WITHOUT_PLACES if pre.command.names_source else ()
    return [(pre.sectioned, SECTION_FLAGS), (pre.exact.with_name(_CHECK), check)]


def _same_code(one: Path, other: Path, scratch: Path) -> bool:
    """Whether two objects are equal, their debug information aside: it names the directory of the copy of a ``.S``."""
    if disk.sha256_of_file(one) == disk.sha256_of_file(other):
        return True
    digests = set()
    for file in (one, other):
        stripped = scratch / "stripped.o"
        run(["objcopy", "--strip-debug", file, stripped], "pre_failed", f"{file} cannot be stripped.", _REPORT)
        digests.add(disk.sha256_of_file(stripped))
    return len(digests) == 1


def _not_reproducible(unit: Unit, why: str) -> RebootlessError:
    sentence = f"{unit.name} compiled from a copy of its source is not what Kbuild makes of it: {why}."
    return RebootlessError("not_reproducible", sentence, _REPORT, unit=unit.name)


def _does_not_compile(unit: Unit, patched: PatchedSource, done: subprocess.CompletedProcess[str]) -> RebootlessError:
    output = done.stdout.replace(f"{patched.plain.place.there}/", "")
    errors = []
    for line in output.splitlines():
        match = _DIAGNOSTIC.match(line)
        if match:
            number = int(match["line"])
            file = patched.files.get(posixpath.normpath(match["file"]))
            hunk = file.hunk_at(number) if file else None
            place = {"patch": hunk.patch, "hunk": hunk.hunk} if hunk else {}
            errors.append({"file": match["file"], "line": number, "message": match["text"], **place})
    first = errors[0] if errors else {}
    where = f"{first['file']}:{first['line']}: {first['message']}" if first else "see the compiler's output"
    inside = f" (hunk {first['hunk']} of {first['patch']})" if "hunk" in first else ""
    return failed(
        ["make", unit.name],
        done.returncode,
        output,
        "does_not_compile",
        f"The patched source of {unit.name} does not compile: {where}{inside}.",
        "Correct the patch; it has to compile in this kernel's source.",
        unit=unit.name,
        errors=errors,
    )
