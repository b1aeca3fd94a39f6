# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports within ``plugins/`` follow the drawing in ``docs/architecture.md``, have no circle, and stand at the top.

An import inside a function hides a circle from the reader and from Python alike, until the function is called.  Its
only good reason is what it costs at the top, which a comment ``# cost: ...`` on its line has to say.

What cannot be followed is refused: what imports a module by a text (``importlib.import_module``), under any name;
``plugins`` as a whole, and other parts of the collection, which an installed one may lack; and an import of the
collection's own that is not written as ``from ansible_collections... import ...``, which
``_common/imports.py`` passes over: the archive for the boot and the digest of the build's code would lack the module.
Each wing has its libraries (``LIBRARIES``).  JSON is read and written by one module, which refuses what is none
(``OWN_HELPERS``).
"""

from __future__ import annotations

import ast
import collections
import graphlib
import pathlib
import re
import sys
import typing as t

from ansible_collections.rebootless.splice.tests.gates import drawing, texts

COLLECTION = "ansible_collections.rebootless.splice"
PREFIX = f"{COLLECTION}.plugins"
BY_TEXT = {"import_module", "__import__", "exec_module", "resolve_name", "run_module", "run_path", "exec", "eval"}
# What the rooms of each wing may import beside the standard library; of a build host that is for `requirements.in`.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "common": (),
    "target": ("ansible.module_utils",),
    "fleet": ("ansible", "jinja2"),
    "action": ("ansible",),
    "lookup": ("ansible",),
    "modules": ("ansible.module_utils",),
    "doc_fragments": (),
}
# What one module of the collection does for all of them.
OWN_HELPERS = {"json": "module_utils._common.strict_json"}
COST = re.compile(r"#\s*cost:\s*\w+")


class Import(t.NamedTuple):
    line: int
    # In full; of the last part only the importer's file system knows whether it is a module.
    all_names: list[str]
    inside_function: bool
    is_absolute_from: bool

    @property
    def names(self) -> list[str]:
        """Those below ``plugins/``, without what is common to them."""
        return [name[len(PREFIX) + 1 :] for name in self.all_names if name.startswith(f"{PREFIX}.")]

    @property
    def elsewhere(self) -> list[str]:
        """Those of the collection that are not below ``plugins/``, all of it, or what all of it is an attribute of."""
        other = (name for name in self.all_names if not name.startswith(f"{PREFIX}."))
        return [name for name in other if f"{name}.".startswith(f"{COLLECTION}.") or _is_within(COLLECTION, name)]

    @property
    def libraries(self) -> list[str]:
        """Those of neither the collection nor the standard library."""
        own = COLLECTION.partition(".")[0]
        tops = sys.stdlib_module_names | {own}
        return [name for name in self.all_names if name.partition(".")[0] not in tops]


def imports_of(tree: ast.AST, package: str, inside_function: bool = False) -> t.Iterator[Import]:
    """Every import statement of a file in ``package``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield Import(node.lineno, [alias.name for alias in node.names], inside_function, False)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            start = [*parts[: len(parts) - node.level + 1]] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{source}.{alias.name}" for alias in node.names]
            yield Import(node.lineno, names, inside_function, not node.level)
        else:
            inside = inside_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from imports_of(node, package, inside)


def _is_within(name: str, package: str) -> bool:
    return name.startswith(f"{package}.")


def imports_by_text(tree: ast.AST) -> list[int]:
    """The lines that name what imports a module by a text, also to call it later or by another name."""
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            named = {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            named = {f"{getattr(node.value, 'id', '')}.{node.attr}", node.attr} - {"exec", "eval"}
        else:
            named = {getattr(node, "id", "")}
        if named & {*BY_TEXT, "sys.modules"}:
            lines.add(t.cast(ast.expr, node).lineno)
    return sorted(lines)


def has_code(tree: ast.Module) -> bool:
    """Whether a file says more than what it is for."""
    return any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        for node in tree.body
    )


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
        self._trees = {name: ast.parse(source) for name, source in self._sources.items()}
        self._imports = {name: list(imports_of(tree, self._package(name))) for name, tree in self._trees.items()}

    def problems(self, rooms: dict[str, drawing.Room]) -> t.Iterator[str]:
        yield from drawing.problems(rooms)
        yield from self._folders(rooms)
        yield from self._inside_functions()
        yield from self._not_followed()
        yield from self._libraries()
        yield from self._helpers()
        yield from self._arrows(rooms)
        yield from self._unused_arrows(rooms)
        files = {name: self._needed(name) - {name} for name in self._modules}
        yield from circles("files", files)
        folders: dict[str, set[str]] = collections.defaultdict(set)
        for name, used in files.items():
            folders[self._room(name)] |= {self._room(other) for other in used} - {self._room(name)}
        yield from circles("folders", folders)

    def _package(self, name: str) -> str:
        """The package that relative imports of a module begin at."""
        below = name if self._modules[name].name == "__init__.py" else name.rpartition(".")[0]
        return f"{PREFIX}.{below}" if below else PREFIX

    def _used(self, name: str) -> t.Iterator[tuple[int, str]]:
        """Line and module of each import of ``name`` from ``plugins/``."""
        for found in self._imports[name]:
            for used in found.names:
                yield found.line, used if used in self._modules else used.rpartition(".")[0]

    def _needed(self, name: str) -> set[str]:
        """What Python runs before ``name``: also the code of the packages that its imports, and itself, are in."""
        used = {used for _line, used in self._used(name)}
        within = {other for other in self._modules if any(_is_within(one, other) for one in {name, *used})}
        return used | {package for package in within if has_code(self._trees[package])}

    def _room(self, name: str) -> str:
        path = self._modules.get(name)
        folder = path.parent.relative_to(self._root / "plugins").as_posix() if path else name.replace(".", "/")
        return drawing.room_of(folder)

    def _at(self, name: str, line: int) -> str:
        return f"{self._modules[name].relative_to(self._root)}:{line}"

    def _folders(self, rooms: dict[str, drawing.Room]) -> t.Iterator[str]:
        files = {name for name, path in self._modules.items() if path.name != "__init__.py"}
        found = {self._room(name) for name in self._modules if name in files or has_code(self._trees[name])}
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

    def _not_followed(self) -> t.Iterator[str]:
        for name, found in self._imports.items():
            for line in imports_by_text(self._trees[name]):
                yield f"{self._at(name, line)}: an import by a text, which names no room"
            for one in found:
                if one.names and not one.is_absolute_from:
                    yield f"{self._at(name, one.line)}: an import that is not `from ansible_collections...`"
                for other in one.elsewhere:
                    yield f"{self._at(name, one.line)}: imports {other}, which is no module of plugins/"

    def _libraries(self) -> t.Iterator[str]:
        for name, found in self._imports.items():
            wing = self._room(name).partition("/")[0]
            for one in found if wing in LIBRARIES else ():
                for library in one.libraries:
                    if not any(f"{library}.".startswith(f"{allowed}.") for allowed in LIBRARIES[wing]):
                        yield f"{self._at(name, one.line)}: {wing} may not import {library}"

    def _helpers(self) -> t.Iterator[str]:
        """What is imported past the module of the collection that has one way to use it."""
        for name, found in self._imports.items():
            for one in found:
                for library in {other.partition(".")[0] for other in one.all_names} & set(OWN_HELPERS):
                    if name != OWN_HELPERS[library]:
                        yield f"{self._at(name, one.line)}: {library} is for {OWN_HELPERS[library]} alone"

    def _unused_arrows(self, rooms: dict[str, drawing.Room]) -> t.Iterator[str]:
        used: dict[str, set[str]] = collections.defaultdict(set)
        for name in self._modules:
            used[self._room(name)] |= {self._room(other) for _line, other in self._used(name)}
        for room, drawn in rooms.items():
            for other in sorted(drawn.named - used[room]):
                yield f"{drawing.PAGE}: {room} imports from {other} as it is drawn, but not in any file"

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
