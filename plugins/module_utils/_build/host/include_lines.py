# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of the kernel's sources that include files: how they are found and read, and which file a name means."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Callable, Iterable, Iterator, NamedTuple, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.search import matching_lines

# What grep looks for: all lines that name a file, which are #include <x>, and macros that an #include without a name
# may use; or only what includes a source, of which a kernel has some hundred lines.
ALL = r'^\s*#\s*(include\s*[<"]|define\s+\w+\s+[<"][^">]+\.[chS][">]|define\s+TRACE_INCLUDE_FILE\s)'
OF_SOURCES = r'^\s*#\s*include\s*[<"][^">]*\.[cS][">]'
_LINE = re.compile(r"\s*#\s*(?:include|define\s+\w+)\s*(?:(?P<how>[<\"])(?P<name>[^\">\n]+)[\">]|(?P<trace>\w+))")


class Include(NamedTuple):
    """A line of ``includer``, a path below the searched root, that names a file; ``quoted`` if as ``"name"``."""

    includer: str
    name: str
    quoted: bool


def find_includes(root: Path, pattern: str, suffixes: Iterable[str], paths: Sequence[str]) -> Iterator[Include]:
    """What the files with ``suffixes`` (``.h``) below ``paths`` include; ``pattern`` is ``ALL`` or ``OF_SOURCES``.

    Raises ``RebootlessError`` (``scan_failed``).
    """
    for file, line in matching_lines(root, pattern, [f"*{suffix}" for suffix in suffixes], paths):
        match = _LINE.match(line)
        if match is not None:
            yield Include(posixpath.normpath(file), match["name"] or f"{match['trace']}.h", match["how"] == '"')


def resolve(
    include: Include, is_file: Callable[[str], bool], elsewhere: Callable[[str], Sequence[str]]
) -> Sequence[str]:
    """The files that an include may mean: a quoted name that of beside the includer, if ``is_file`` knows it.

    All others are what ``elsewhere`` finds for the name.  Paths are normal, and below the root.
    """
    if include.quoted:
        beside = posixpath.normpath(posixpath.join(posixpath.dirname(include.includer), include.name))
        if is_file(beside):
            return [beside]
    return elsewhere(include.name)
