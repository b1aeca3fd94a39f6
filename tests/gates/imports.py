# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports within ``plugins/`` follow the drawing in ``docs/architecture.md``, have no circle, and stand at the top.

An import inside a function hides a circle from the reader and from Python alike, until the function is called.  Its
only good reason is what it costs at the top, which a comment ``# cost: ...`` on its line has to say.
"""

from __future__ import annotations

import ast
import collections
import graphlib
import pathlib
import re
import typing as t

from ansible_collections.rebootless.splice.tests.gates import drawing, texts

PREFIX = "ansible_collections.rebootless.splice.plugins"
COST = re.compile(r"#\s*cost:\s*\w+")


class Import(t.NamedTuple):
    line: int
    # Below plugins/, dots for slashes; of the last part only the importer's file system knows whether it is a module.
    names: list[str]
    inside_function: bool


def imports_of(tree: ast.AST, inside_function: bool = False) -> t.Iterator[Import]:
    """Every import statement of a file; ``names`` is empty where it brings nothing of ``plugins/``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield Import(node.lineno, _own(alias.name for alias in node.names), inside_function)
        elif isinstance(node, ast.ImportFrom):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield Import(node.lineno, [] if node.level else _own(names), inside_function)
        else:
            yield from imports_of(node, inside_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def _own(names: t.Iterable[str]) -> list[str]:
    return [name[len(PREFIX) + 1 :] for name in names if name.startswith(f"{PREFIX}.")]


def modules_of(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Name below ``plugins/`` (``module_utils._common.errors``) to file; a package goes by its folder's name."""
    found = {}
    for path in sorted((root / "plugins").rglob("*.py")):
        parts = path.relative_to(root / "plugins").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


class Tree:
    """The files of ``plugins/`` and what they import from each other."""

    def __init__(self, root: pathlib.Path) -> None:
        self._root = root
        self._modules = modules_of(root)
        self._sources = {name: path.read_text() for name, path in self._modules.items()}
        self._imports = {name: list(imports_of(ast.parse(source))) for name, source in self._sources.items()}

    def problems(self, rooms: dict[str, drawing.Room]) -> t.Iterator[str]:
        yield from drawing.problems(rooms)
        yield from self._folders(rooms)
        yield from self._inside_functions()
        yield from self._arrows(rooms)
        files = {name: {used for _, used in self._used(name)} - {name} for name in self._modules}
        yield from circles("files", files)
        folders: dict[str, set[str]] = collections.defaultdict(set)
        for name, used in files.items():
            folders[self._room(name)] |= {self._room(other) for other in used} - {self._room(name)}
        yield from circles("folders", folders)

    def _used(self, name: str) -> t.Iterator[tuple[int, str]]:
        """Line and module of each import of ``name`` from ``plugins/``."""
        for found in self._imports[name]:
            for used in found.names:
                yield found.line, used if used in self._modules else used.rpartition(".")[0]

    def _room(self, name: str) -> str:
        path = self._modules.get(name)
        folder = path.parent.relative_to(self._root / "plugins").as_posix() if path else name.replace(".", "/")
        return drawing.room_of(folder)

    def _at(self, name: str, line: int) -> str:
        return f"{self._modules[name].relative_to(self._root)}:{line}"

    def _folders(self, rooms: dict[str, drawing.Room]) -> t.Iterator[str]:
        found = {self._room(name) for name, path in self._modules.items() if path.name != "__init__.py"}
        for room in sorted(found - set(rooms)):
            yield f"{drawing.PAGE}: the room {room} is not drawn"
        for room in sorted(set(rooms) - found):
            yield f"{drawing.PAGE}: the room {room} is drawn, but no folder of plugins/ has it"

    def _inside_functions(self) -> t.Iterator[str]:
        for name, found in self._imports.items():
            lines = self._sources[name].splitlines()
            for one in found:
                if one.inside_function and not COST.search(lines[one.line - 1]):
                    yield f"{self._at(name, one.line)}: an import inside a function, without `# cost: ...` on its line"

    def _arrows(self, rooms: dict[str, drawing.Room]) -> t.Iterator[str]:
        for name in self._modules:
            room = self._room(name)
            for line, used in self._used(name):
                other = self._room(used)
                if other != room and room in rooms and other not in rooms[room].imports:
                    yield f"{self._at(name, line)}: {room} imports from {other}, which is not drawn"


def circles(kind: str, graph: t.Mapping[str, t.Collection[str]]) -> t.Iterator[str]:
    """One circle of a graph, if there is any, in the order of its arrows."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield f"a circle of {kind}: {' <- '.join(error.args[1])}"


def problems(root: pathlib.Path) -> t.Iterator[str]:
    return Tree(root).problems(drawing.read((root / drawing.PAGE).read_text()))


if __name__ == "__main__":
    texts.finish(problems(pathlib.Path()))
