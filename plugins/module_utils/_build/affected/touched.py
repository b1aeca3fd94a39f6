# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the patches of an update touch: which units, through which files."""

from __future__ import annotations

import dataclasses
import functools
import posixpath
from pathlib import Path
from typing import Container, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected import embedded, generated, missing
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.paths import (
    NotApplicable,
    is_boot_only,
    judge,
    not_built,
    not_concerned,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.text.includes import IncludeGraph
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import (
    FilePatch,
    Patch,
    PatchedFile,
    apply_patches,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.code_digest import source_digest
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import (
    HEADER_SUFFIX,
    SOURCE_SUFFIXES,
    Unit,
)


class Includes:
    """The graph of a tree's includes, read when a step first asks for it: a patch to a plain ``.c`` file needs none."""

    def __init__(self, tree: KernelTree, jobs: int) -> None:
        self._tree, self._jobs = tree, jobs

    @functools.cached_property
    def graph(self) -> IncludeGraph:
        """Raises ``RebootlessError`` (``scan_failed``)."""
        return include_graph(self._tree, self._jobs)


@dataclasses.dataclass(frozen=True)
class _Reach:
    """How far a patched file that others include reaches."""

    files: set[str]
    through: list[Unit]
    embedded: list[str]


@dataclasses.dataclass(frozen=True)
class Touched:
    """What patches touch.

    ``files`` are the patched files that count; ``own`` the units whose own source is one of them, ``through`` those
    that may include one, sorted by name; ``embedded`` the same of code that the kernel carries as data (embedded.py);
    ``reached`` are all files that include them; ``not_applicable`` says which files have no part in this kernel;
    ``includes`` has the graph of includes, for the steps that come later.
    """

    files: tuple[PatchedFile, ...]
    own: tuple[Unit, ...]
    through: tuple[Unit, ...]
    embedded: tuple[str, ...]
    reached: frozenset[str]
    not_applicable: tuple[NotApplicable, ...]
    includes: Includes

    @property
    def directories(self) -> set[str]:
        """Of the files that include them."""
        return set(map(posixpath.dirname, self.reached))

    def reason_file(self, unit: str) -> str:
        """A patched file to name when something is said about the unit of that name."""
        stem = unit.removesuffix(".o")
        own = [file.path for file in self.files if posixpath.splitext(file.path)[0] == stem]
        return (own or [file.path for file in self.files])[0]


def touched_by(tree: KernelTree, patches: Sequence[Patch], jobs: int, ignore_missing: Sequence[str] = ()) -> Touched:
    """What ``patches`` touch in the kernel of ``tree``.

    ``ignore_missing`` lists paths that may be missing in its source.  Raises ``RebootlessError``: what ``judge``,
    ``apply_patches`` and ``generated.check`` raise, ``file_not_found``, ``not_in_patch``.
    """
    source = Path(tree.source)
    missing.check_listed(patches, ignore_missing)
    includes = Includes(tree, jobs)
    absent = _absent(tree, patches)
    skipped = missing.left_out(absent, source, ignore_missing)
    own, reached, others = _sorted_out(tree, patches, includes, {file.path for file in absent})
    skipped += others
    files = []
    for patched in apply_patches([_without_others(patch, own) for patch in patches], source):
        if patched.already_applied:
            reason = f"{patched.path} in this kernel's source has the change already."
            skipped.append(NotApplicable(patched.path, "already_applied", reason))
            reached.pop(patched.path, None)
        else:
            files.append(patched)
            reason = f"{patched.path} in this kernel's source has already what the patch {{}} changes in it."
            skipped += [
                NotApplicable(patched.path, "already_applied", reason.format(name)) for name in patched.there_before
            ]
    if reached:
        generated.check(source, tree.architecture, sorted(reached), includes.graph.direct(reached))
    mine = {unit.name: unit for file in files for unit in own[file.path]}
    through = {unit.name: unit for reach in reached.values() for unit in reach.through if unit.name not in mine}
    alone = embedded.sources_among(tree, own)
    return Touched(
        files=tuple(files),
        own=tuple(mine[name] for name in sorted(mine)),
        through=tuple(through[name] for name in sorted(through)),
        embedded=tuple(sorted({*alone, *(path for reach in reached.values() for path in reach.embedded)})),
        reached=frozenset().union(*(reach.files for reach in reached.values())),
        not_applicable=tuple(skipped),
        includes=includes,
    )


def _sorted_out(
    tree: KernelTree, patches: Sequence[Patch], includes: Includes, absent: Container[str]
) -> tuple[dict[str, list[Unit]], dict[str, _Reach], list[NotApplicable]]:
    """Three answers about the patched files that are not ``absent``: the own units of each that counts, the reach of
    each of them that others include, and the files that have no part in this kernel."""
    source = Path(tree.source)
    own: dict[str, list[Unit]] = {}
    reached: dict[str, _Reach] = {}
    skipped: list[NotApplicable] = []
    kinds: dict[str, str] = {}  # a file that one patch adds, and a later one changes, is an added one
    for file in (file for patch in patches for file in patch.files if file.path not in absent):
        kinds.setdefault(file.path, file.kind)
    for path, kind in kinds.items():
        verdict = judge(path, tree.units, source, tree.architecture)
        if verdict is None:
            reached[path] = reach = _reach(tree, includes.graph, path)
            unit = tree.units.unit_of(path)
            verdict = [unit] if unit is not None else []
            used = verdict or reach.through or reach.embedded or _generates(tree, includes.graph, path)
            if not used and kind != "added":
                verdict = _not_included(tree, path, reach.files)
        if isinstance(verdict, NotApplicable) and not (kind == "added" and verdict.code == "not_built"):
            skipped.append(verdict)
            reached.pop(path, None)
        else:
            own[path] = [] if isinstance(verdict, NotApplicable) else verdict
    return own, reached, skipped


def _generates(tree: KernelTree, graph: IncludeGraph, path: str) -> bool:
    """Whether a program that the build of the running kernel may use includes ``path``: ``generated.check`` says more.

    An example is ``drivers/accessibility/speakup/utils.h``, of ``makemapdata.c``.
    """
    programs = generated.programs_among(Path(tree.source), tree.architecture, graph.direct([path]))
    return any(not is_boot_only(program, tree.architecture) for program in programs)


def _without_others(patch: Patch, paths: Container[str]) -> Patch:
    """The patch with those of its files alone that are among ``paths``."""
    return dataclasses.replace(patch, files=tuple(file for file in patch.files if file.path in paths))


def _absent(tree: KernelTree, patches: Sequence[Patch]) -> list[FilePatch]:
    """What patches change or delete, concerns this kernel by its path, and neither its source has nor an earlier patch
    adds."""
    source = Path(tree.source)
    absent: list[FilePatch] = []
    added: set[str] = set()
    for file in (file for patch in patches for file in patch.files):
        if file.kind == "added":
            added.add(file.path)
        elif (
            file.path not in added
            and not (source / file.path).is_file()
            and not_concerned(file.path, tree.architecture) is None
        ):
            absent.append(file)
    return absent


def _reach(tree: KernelTree, graph: IncludeGraph, path: str) -> _Reach:
    files = graph.reached_from([path])
    return _Reach(files, _through(tree, path, files), embedded.sources_among(tree, files))


def include_graph(tree: KernelTree, jobs: int) -> IncludeGraph:
    """The graph of the tree's source, kept in the tree.

    Before it is scanned, the units whose sources are generated are compiled, so that their sources are there.
    """
    kept = Cache(tree.path)
    # Another release that reads sources otherwise must not go by the graph that this one kept.
    name = f"includes-{source_digest(IncludeGraph.__module__)[:16]}.json"
    with kept.lock(name):
        path = kept.path(name)
        if not path.is_file():
            missing = [unit.target for unit in _generated(tree)]
            if missing:
                tree.kbuild(jobs).make_units(missing)
        return IncludeGraph.of(path, Path(tree.source), Path(tree.build), tree.architecture.source)


def _generated(tree: KernelTree) -> list[Unit]:
    """The units whose sources are not in the kernel's source, without those of embedded and of boot code."""
    here = Path(tree.source)
    return [
        unit
        for unit in tree.units.without_source(_Files(here))
        if not (is_boot_only(unit.name, tree.architecture) or unit.name.startswith(tree.architecture.paths.vdso))
    ]


class _Files:
    """The files of a directory, as a container."""

    def __init__(self, *roots: Path) -> None:
        self._roots = roots

    def __contains__(self, path: object) -> bool:
        return any((root / str(path)).is_file() for root in self._roots)


def _through(tree: KernelTree, path: str, reached: set[str]) -> list[Unit]:
    """The units that may include ``path``, among them those whose source has another name than the unit."""
    vdso = tree.architecture.paths.vdso
    units = {unit.name: unit for unit in tree.units.units_of(reached - {path})}
    names = {posixpath.splitext(posixpath.basename(other))[0] for other in reached if other.endswith(SOURCE_SUFFIXES)}
    for unit in tree.units.without_source(_Files(Path(tree.source), Path(tree.build))):
        if posixpath.splitext(posixpath.basename(unit.name))[0] in names and not unit.name.startswith(vdso):
            units[unit.name] = unit
    return [unit for name, unit in units.items() if not is_boot_only(name, tree.architecture)]


def _not_included(tree: KernelTree, path: str, reached: set[str]) -> NotApplicable:
    if not path.endswith(HEADER_SUFFIX):
        return not_built(path, Path(tree.source))
    only_boot = any(is_boot_only(other, tree.architecture) for other in reached - {path})
    return NotApplicable(
        path,
        "boot_only" if only_boot else "not_built",
        f"{path} is only included by what runs while the kernel boots."
        if only_boot
        else f"Nothing that this kernel's configuration builds includes {path}.",
    )
