# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of the kernel's source include which.

From the text of the files, under any configuration: more files may be found than a compiler would read, never fewer.  A
name is looked for beside the file that includes it (``"..."``), then among all files whose path ends with it, since the
directories that a unit is compiled with are not known here.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Iterable, Iterator, Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.graphs import closure
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.include_lines import (
    ALL,
    find_includes,
    resolve,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, strict_json

SUFFIXES = (".h", ".c", ".S")
# What no unit of the kernel includes.  Below scripts are programs that run while the kernel is built.
_LEFT_OUT = ("Documentation", "LICENSES", "tools", "samples", "rust", "usr")
_SHARED = ("tools/lib/bpf",)  # with the kernel
_LEFT_OUT_OF_BUILD = ("source", "tools", "scripts")
# What the kernel's makefiles have every source include (scripts/Makefile.lib, LINUXINCLUDE and c_flags).
_ALWAYS = ("include/linux/compiler-version.h", "include/linux/kconfig.h", "include/linux/compiler_types.h")
_SOURCES = (".c", ".S")
# Headers that are generated when they are needed, and so may not be there yet -> what they include.
_GENERATED = ((re.compile(r"(.*/)?[^/]+\.asn1\.h"), ("linux/asn1_decoder.h",)),)


class IncludeGraph:
    """``includers`` maps a path below the source (or the build directory) to the paths that may include it."""

    def __init__(self, includers: Mapping[str, Iterable[str]]) -> None:
        self._includers = includers

    @classmethod
    def scan(cls, source: Path, build: Path, arch: str) -> IncludeGraph:
        """The graph of ``source`` and of what was generated in ``build``, without other architectures than ``arch``.

        ``arch`` is the name below ``arch/``.  Raises ``RebootlessError`` (``scan_failed``).
        """
        trees = ((source, _directories(source, arch)), (build, _directories(build, arch, _LEFT_OUT_OF_BUILD)))
        by_name: dict[str, set[str]] = {}
        for root, directories in trees:
            for path in _files(root, directories):
                by_name.setdefault(posixpath.basename(path), set()).add(path)
        every = {path for found in by_name.values() for path in found}
        elsewhere = _Elsewhere(by_name)
        includers: dict[str, set[str]] = {}
        for root, directories in trees:
            for include in find_includes(root, ALL, SUFFIXES, directories):
                for path in resolve(include, every.__contains__, elsewhere.find):
                    includers.setdefault(path, set()).add(include.includer)
        for path in every.intersection(_ALWAYS):
            includers.setdefault(path, set()).update(other for other in every if other.endswith(_SOURCES))
        return cls({path: sorted(found) for path, found in includers.items()})

    @classmethod
    def of(cls, kept: Path, source: Path, build: Path, arch: str) -> IncludeGraph:
        """The graph that the file ``kept`` holds; scanned, and put there, if there is none."""
        try:
            return cls(strict_json.read(kept))
        except (OSError, ValueError):
            graph = cls.scan(source, build, arch)
            disk.replace(kept, strict_json.exact(graph._includers, sort_keys=True))
            return graph

    def direct(self, paths: Iterable[str]) -> set[str]:
        """The files that include one of ``paths`` themselves."""
        return {includer for path in paths for includer in self._includers.get(path, ())}

    def included_by(self, paths: Iterable[str]) -> set[str]:
        """``paths`` and all files that they may include, directly or not."""
        included: dict[str, list[str]] = {}
        for path, includers in self._includers.items():
            for includer in includers:
                included.setdefault(includer, []).append(path)
        return closure(paths, included)

    def reached_from(self, paths: Iterable[str]) -> set[str]:
        """``paths`` and all files that include one of them, directly or not."""
        return closure(paths, self._includers)


class _Elsewhere:
    """The files whose path ends with a name, of those that ``by_name`` has by their last component."""

    def __init__(self, by_name: Mapping[str, set[str]]) -> None:
        self._by_name = by_name
        self._known: dict[str, list[str]] = {}

    def find(self, name: str) -> list[str]:
        """The files that ``name`` may mean."""
        if name not in self._known:
            self._known[name] = list(self._ending_with(name))
        return self._known[name]

    def _ending_with(self, name: str) -> Iterator[str]:
        tail = posixpath.normpath(name)
        while tail.startswith("../"):
            tail = tail[3:]
        found = [p for p in self._by_name.get(posixpath.basename(tail), ()) if p == tail or p.endswith(f"/{tail}")]
        yield from found
        if not found:
            for pattern, included in _GENERATED:
                if pattern.fullmatch(name):
                    for other in included:
                        yield from self._ending_with(other)


def _directories(root: Path, arch: str, left_out: Iterable[str] = _LEFT_OUT) -> list[str]:
    names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    found = [name for name in names if name != "arch" and name not in left_out]
    return [*found, *(name for name in (f"arch/{arch}", *_SHARED) if (root / name).is_dir())]


def _files(root: Path, directories: Iterable[str]) -> Iterator[str]:
    for directory in directories:
        for path, _directories_there, names in os.walk(root / directory):
            below = os.path.relpath(path, root)
            yield from (f"{below}/{name}" for name in names if name.endswith(SUFFIXES))
