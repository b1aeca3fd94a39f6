# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No circle among the files of ``kmod/``: of includes, and of which ``.c`` file uses another one's functions.

Functions are those with the prefix ``rbl_``, found where they are defined; one whose address is taken counts as used.
A call of one whose definition is not recognised, for it is written in another style, is a problem of its own.
"""

from __future__ import annotations

import collections
import os
import pathlib
import re
import typing as t

from ansible_collections.rebootless.splice.tests.gates import texts
from ansible_collections.rebootless.splice.tests.gates.imports import circles

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# At the beginning of a line, as the kernel's style has it: return type, name, arguments, and a body.
DEFINITION = re.compile(r"^(?!static\b|\s|#)[\w \t*()]*?\b(rbl_\w+)\([^;{}]*\)\s*\{", re.MULTILINE)
# Of one file alone, or inline in a header; and macros that are called like functions.
OWN = re.compile(
    r"^static\b[\w \t*()]*?\b(rbl_\w+)\([^;{}]*\)\s*\{|^[ \t]*#[ \t]*define[ \t]+(rbl_\w+)\(", re.MULTILINE
)
IDENTIFIER = re.compile(r"\brbl_\w+")
CALL = re.compile(r"(?<!\.)(?<!->)\b(rbl_\w+)\(")


def includes(sources: dict[pathlib.Path, str]) -> dict[str, set[str]]:
    graph = {}
    for path, source in sources.items():
        named = {os.path.normpath(path.parent / name) for name in INCLUDE.findall(source)}
        graph[str(path)] = {str(other) for other in sources if str(other) in named}
    return graph


def uses(sources: dict[pathlib.Path, str]) -> dict[str, set[str]]:
    """File to the files whose functions it uses.  A name may be defined by one file per architecture."""
    plain = {path: texts.C_TOKENS.sub(" ", source) for path, source in sources.items() if path.suffix == ".c"}
    definers = collections.defaultdict(set)
    for path, text in plain.items():
        for name in DEFINITION.findall(text):
            definers[name].add(str(path))
    return {
        str(path): {file for name in IDENTIFIER.findall(text) for file in definers.get(name, ())} - {str(path)}
        for path, text in plain.items()
    }


def unrecognised(sources: dict[pathlib.Path, str]) -> t.Iterator[str]:
    """Names that are called, and of which no definition was found."""
    plain = {path: texts.C_TOKENS.sub(" ", source) for path, source in sources.items()}
    known = {name for text in plain.values() for found in (DEFINITION, OWN) for name in _names(found, text)}
    for path, text in plain.items():
        for name in sorted(set(CALL.findall(text)) - known) if path.suffix == ".c" else ():
            yield f"{path}: no definition of {name}() is recognised"


def _names(pattern: re.Pattern[str], text: str) -> t.Iterator[str]:
    return (name for match in pattern.finditer(text) for name in match.groups() if name)


def problems(root: pathlib.Path) -> t.Iterator[str]:
    files = [path for path in texts.files(root) if path.parts[0] == "kmod" and path.suffix in (".c", ".h")]
    sources = {path: (root / path).read_text() for path in files}
    yield from unrecognised(sources)
    yield from circles("includes", includes(sources))
    yield from circles("calls", uses(sources))


if __name__ == "__main__":
    texts.finish(problems(pathlib.Path()))
