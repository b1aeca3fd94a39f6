# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Code that the kernel carries as data, for processes or for other processor modes.

It is linked into images of its own, which units of the kernel include: no unit is made of its sources, and the compile
of the kernel's units does not say how they are compiled.  Kbuild makes the carrying units once in every tree, and with
them all that they need; what it saves beside each file says how that was made, and from which files.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
from pathlib import Path
from typing import AbstractSet as Set
from typing import Iterable, NamedTuple, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.narrower import Narrower
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import SourcePaths
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import PatchedFile
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.saved_command import (
    SavedCommand,
    read_made,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import KernelTree
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.units import SOURCE_SUFFIXES
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_KEPT = "embedded.json"  # in the tree
# (code, what it is)
_VDSO = ("vdso_not_supported", "the vdso, which is mapped into every process")
_CARRIED = ("embedded_code_not_supported", "code that the kernel only carries as data for another environment")
# A rule of Kbuild's for a source that lies elsewhere: "$(obj)/sha256.o: $(srctree)/lib/crypto/sha256.c FORCE".
_RULE = re.compile(r"^\$\(obj\)/\S+:.*?\$\(srctree\)/(\S+)", re.MULTILINE)


class Made(NamedTuple):
    """How one file on the way to an image was made, and the files below the kernel's source that were read for it."""

    command: SavedCommand
    read: frozenset[str]


def sources_among(tree: KernelTree, paths: Iterable[str]) -> list[str]:
    """Those of ``paths`` in the kernel's source that may be sources of embedded code."""
    directories = _directories(tree)
    elsewhere = _elsewhere(Path(tree.source), directories)
    inside = (path for path in paths if path.endswith(SOURCE_SUFFIXES))
    return [path for path in inside if path.startswith(directories) or path in elsewhere]


def _directories(tree: KernelTree) -> tuple[str, ...]:
    """Of embedded code, in the kernel's source."""
    return (tree.architecture.paths.vdso, *tree.architecture.paths.carried)


@functools.lru_cache(maxsize=1)
def _elsewhere(source: Path, directories: tuple[str, ...]) -> frozenset[str]:
    """Sources that embedded code has together with other code."""
    rules = (file for directory in directories for file in Path(source, directory).rglob("Makefile"))
    return frozenset(path for file in rules for path in _RULE.findall(file.read_text(encoding="utf-8")))


def check(tree: KernelTree, narrower: Narrower, paths: Sequence[str], files: Sequence[PatchedFile], jobs: int) -> None:
    """Raises ``RebootlessError`` (``vdso_not_supported``, ``embedded_code_not_supported``) if one of ``files``, the
    patched ones, changes embedded code, or if that cannot be told.

    ``paths`` are the sources of embedded code that may be or include one of them.
    """
    if not paths:
        return
    where = tree.architecture.paths
    try:
        made = _made(tree, jobs)
    except RebootlessError as error:
        raise refusal(where, paths[0], unknown=error.sentence) from error
    unknown = _unknown(tree, paths, made)
    if unknown is not None:
        raise refusal(where, unknown, unknown="Kbuild does not say how it is compiled")
    # No command can have read a file that was not there before; it may be found before others of its name.
    added = any(not Path(tree.source, file.path).exists() for file in files)
    patched = {file.path for file in files}
    asked = [row.command for row in made if added or row.read & patched]
    changed = narrower.first_differing(asked)
    if changed is not None:
        path = _below(tree, changed.source)
        raise refusal(where, path, changed.target, through=path not in patched)


def refusal(
    where: SourcePaths, path: str, target: str = "", unknown: str = "", through: bool = True
) -> RebootlessError:
    """The refusal of a patch for the embedded source ``path``, from which Kbuild makes ``target``.

    ``where`` has the vdso's directory; ``unknown`` says why it cannot be told whether it changes; ``through``: what it
    includes is patched, not the source itself.
    """
    place = posixpath.normpath(target or path)
    # lib/sha256.c, of which purgatory/ has a copy, lies in none of the directories: processes do not see it.
    code, what = _VDSO if place.startswith(where.vdso) else _CARRIED
    verb, because = ("may change", f" ({unknown.rstrip('.')})") if unknown else ("changes", "")
    how = " through a file that it includes" if through else ""
    return RebootlessError(
        code,
        f"The patch {verb} {path}{how}{because}; that is a part of {what}.",
        "Reboot into a fixed kernel for this fix.",
        file=path,
    )


def _made(tree: KernelTree, jobs: int) -> list[Made]:
    """How Kbuild makes the files that are embedded, without units that have a source of their own."""
    kept = Cache(tree.path)
    path = kept.path(_KEPT)
    with kept.lock("objects"):
        if not path.is_file():
            units = sorted(tree.units.units.items())
            carriers = [unit.target for name, unit in units if name.startswith(_directories(tree))]
            if carriers:
                tree.kbuild(jobs).make_units(carriers)
            rows = [
                [command.target, command.command, command.source, sorted(_inside(tree, read))]
                for command, read in _saved(tree)
                if _is_embedded(tree, command)
            ]
            disk.replace(path, strict_json.exact(rows))
    rows = strict_json.read(path)
    return [Made(SavedCommand(command, target, source, ()), frozenset(read)) for target, command, source, read in rows]


def _saved(tree: KernelTree) -> list[tuple[SavedCommand, list[str]]]:
    files = sorted(file for directory in _directories(tree) for file in Path(tree.build, directory).rglob(".*.cmd"))
    return [made for file in files if (made := read_made(file.read_text(encoding="utf-8"))) is not None]


def _is_embedded(tree: KernelTree, command: SavedCommand) -> bool:
    """Whether it is not the business of a unit of the kernel: a unit of an image is generated from the image."""
    return posixpath.normpath(command.target) not in tree.units.units or not command.source.startswith(tree.source)


def _unknown(tree: KernelTree, paths: Iterable[str], made: Iterable[Made]) -> str | None:
    """One of ``paths`` of which Kbuild made something without saying how."""
    known = {_below(tree, row.command.source) for row in made}
    for path in paths:
        stem = posixpath.splitext(path)[0]
        there = any(Path(tree.build, name).is_file() for name in (f"{stem}.o", stem))
        if there and path not in known and f"{stem}.o" not in tree.units.units:
            return path
    return None


def _below(tree: KernelTree, source: str) -> str:
    return posixpath.normpath(source.removeprefix(f"{tree.source}/"))


def _inside(tree: KernelTree, paths: Iterable[str]) -> Set[str]:
    """Those of ``paths`` that are in the kernel's source, below it."""
    whole = (os.path.normpath(os.path.join(tree.build, path)) for path in paths)
    return {path[len(tree.source) + 1 :] for path in whole if path.startswith(f"{tree.source}/")}
