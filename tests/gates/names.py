# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in docstrings, comments and documents are the names of something.

In comments, of any language, what stands in double backticks is resolved, each dotted name and each name of a file: a
dotted name as a module of this project, a class, a module of the standard library, or an attribute of a variable of the
same file, of its class where the file says which that is; the name of a file as a file of this project.  So is what
stands in a role of Sphinx (``func``, ``meth``), which can be a name of the same file, and what comments name without
quotes (``mentions.py``).  In documents files in backticks have to be there, and what links lead to.
"""

from __future__ import annotations

import ast
import builtins
import collections
import importlib
import pathlib
import re
import sys
import typing as t

from ansible_collections.rebootless.splice.tests.gates import mentions, texts

QUOTED = re.compile(r"``([^`]+)``")
ROLE = re.compile(r":(?:py:)?(?:func|class|meth|mod|attr|data|exc|obj|const):`~?\.?([\w.]+)(?:\(\))?`")
QUOTED_IN_DOCUMENTS = re.compile(r"`([^`\n]+)`")
# A document's link to another one, or to a heading; those of the web have a colon.
LINK = re.compile(r"\]\((?P<path>[^)#:\s]*)(#(?P<heading>[^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
WORD = re.compile(r"[\w./-]*\w")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
FILE = re.compile(r"[\w./-]*\w\.(?P<suffix>[a-zA-Z]\w*)")
# Files of these kinds are this project's, wherever a text names them; of other kinds only those in a folder of its own.
OWN_SUFFIXES = {"py", "md", "j2", "yml", "toml"}
# What ends so is no dotted name: files of a kernel, of the lab, of an update.
OTHER_SUFFIXES = {"S", "c", "cmd", "cpio", "h", "json", "jsonl", "ko", "log", "o", "prom", "pub", "qcow2", "so", "sock"}
OTHER_SUFFIXES |= {"fd", "symvers", "txt", "gz"}
# What gcc appends to the names of functions that it makes of others.
CLONES = {"cold", "constprop", "isra", "part"}


DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Names:
    """What the names of this project are: files, modules, classes and their members."""

    def __init__(self, root: pathlib.Path, files: list[pathlib.Path]) -> None:
        self.files = {"/" + path.as_posix() for path in files}
        self.folders = {path.parts[0] for path in files if len(path.parts) > 1}
        self.trees = {path: ast.parse((root / path).read_text()) for path in files if path.suffix == ".py"}
        # The last part of its name to modules: errors to the tree of plugins/module_utils/_common/errors.py.
        self._modules = collections.defaultdict(list)
        self._members: dict[str, set[str]] = collections.defaultdict(set)
        self._bases: dict[str, set[str]] = collections.defaultdict(set)
        for path, tree in self.trees.items():
            self._modules[path.parent.name if path.stem == "__init__" else path.stem].append(path)
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self._members[node.name] |= _members(node)
                    self._bases[node.name] |= {_last_name(base) for base in node.bases}
        self._attributes = set().union(*self._members.values()) if self._members else set()

    def is_file(self, name: str) -> bool:
        return any(path.endswith(f"/{name}") for path in self.files)

    def problems(self, quoted: str, path: pathlib.Path) -> t.Iterator[str]:
        """What is wrong with a quoted text."""
        for word in WORD.findall(quoted):
            file = FILE.fullmatch(word)
            if file and file["suffix"] in OWN_SUFFIXES | OTHER_SUFFIXES:
                problem = self.file_problem(word)
                if problem:
                    yield problem
            elif DOTTED.fullmatch(word):
                parts = word.split(".")
                # What Ansible calls ``rebootless.splice.plan`` is looked up by ``mentions.py``.
                is_plugin = parts[:2] == ["rebootless", "splice"]
                if CLONES.isdisjoint(parts) and not is_plugin and not self.resolves(parts, path):
                    yield f"{word} in ``{quoted}`` is the name of nothing"

    def file_problem(self, word: str) -> str | None:
        own = word.rpartition(".")[2] in OWN_SUFFIXES or word.startswith("kmod/")
        return f"there is no file {word}" if own and not self.is_file(word) else None

    def resolves(self, parts: list[str], path: pathlib.Path) -> bool:
        return (
            any(self._resolves_in_module(parts, index) for index in range(len(parts)))
            or (parts[0] in self._members and self._are_attributes(parts[0], parts[1:]))
            or (path in self.trees and self._are_of_variable(self.trees[path], parts))
            or _is_importable(parts)
        )

    def _resolves_in_module(self, parts: list[str], index: int) -> bool:
        """Up to ``parts[index]`` it is a module's name, with its folders or without, and the rest is in that module."""
        for path in self._modules[parts[index]]:
            dotted = [*path.parts[:-1], *([] if path.stem == "__init__" else [path.stem])]
            if dotted[len(dotted) - index - 1 :] == parts[: index + 1] and self._are_in(path, parts[index + 1 :]):
                return True
        return False

    def _are_in(self, path: pathlib.Path, parts: list[str]) -> bool:
        if not parts:
            return True
        if parts[0] not in _bound(self.trees[path].body):
            return False
        return len(parts) == 1 or parts[0] not in self._members or self._are_attributes(parts[0], parts[1:])

    def _are_of_variable(self, tree: ast.Module, parts: list[str]) -> bool:
        """Whether they are attributes of a variable, of its class where the file says which of this project it has."""
        classes = classes_of(tree, parts[0])
        if not classes or not all(self._is_whole(name) for name in classes):
            return parts[0] in _variables(tree) and self._attributes.issuperset(parts[1:])
        inherited = {name for one in classes for name in self._with_bases(one)}
        return any(parts[1] in self._members[name] for name in inherited) and self._attributes.issuperset(parts[2:])

    def _is_whole(self, name: str) -> bool:
        """Whether it is a class all of whose members are known."""
        return all(one in self._members for one in self._with_bases(name))

    def _with_bases(self, name: str) -> set[str]:
        found, todo = set(), [name]
        while todo:
            one = todo.pop()
            if one not in found:
                found.add(one)
                todo += self._bases.get(one, set()) - {"", "object", "NamedTuple", "Protocol", "Generic"}
        return found

    def role_problem(self, name: str, path: pathlib.Path) -> str | None:
        """What is wrong with the text of a role in ``path``."""
        tree = self.trees[path]
        parts = name.split(".")
        own = _variables(tree) | {n.name for n in ast.walk(tree) if isinstance(n, DEFINITIONS)} | self._names_of(tree)
        known = name in own or hasattr(builtins, name) if len(parts) == 1 else self.resolves(parts, path)
        return None if known else f"{name} is the name of nothing"

    def _names_of(self, tree: ast.Module) -> set[str]:
        return _bound(tree.body).union(*(_members(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)))

    def _are_attributes(self, name: str, parts: list[str]) -> bool:
        return parts[0] in self._members[name] and self._attributes.issuperset(parts[1:])


def _bound(body: list[ast.stmt]) -> set[str]:
    """Names that statements bind in their own scope, also below ``if`` and ``try``."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        else:
            found |= {
                name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
            }
            for inner in (getattr(node, field, []) for field in ("body", "orelse", "finalbody", "handlers")):
                found |= _bound([one for one in inner if isinstance(one, ast.stmt)])
    return found


def _members(node: ast.ClassDef) -> set[str]:
    found = _bound(node.body)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "self":
            found.add(inner.attr)
    return found


def _variables(tree: ast.Module) -> set[str]:
    found = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return found | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def classes_of(tree: ast.Module, variable: str) -> set[str]:
    """The last names of all types that a file gives a variable of that name; none if one of its types is not known."""
    arguments = {id(n): n.annotation for n in ast.walk(tree) if isinstance(n, ast.arg) and n.arg == variable}
    annotated = {id(n.target): n.annotation for n in ast.walk(tree) if isinstance(n, ast.AnnAssign)}
    stored = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    found = [_last_name(annotation) for annotation in arguments.values()]
    found += [_last_name(annotated.get(id(n))) for n in stored if n.id == variable]
    return set(found) if all(found) else set()


def _last_name(node: ast.AST | None) -> str:
    """``Store`` of ``store.Store`` and of ``"Store | None"``; "" for all that is no class alone."""
    if isinstance(node, ast.BinOp) and isinstance(node.right, ast.Constant) and node.right.value is None:
        return _last_name(node.left)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_importable(parts: list[str]) -> bool:
    for index in range(len(parts), 0, -1):
        if parts[0] not in sys.stdlib_module_names:
            return False
        try:
            found: t.Any = importlib.import_module(".".join(parts[:index]))
        except ImportError:
            continue
        for part in parts[index:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def problems(root: pathlib.Path) -> t.Iterator[str]:
    files = texts.files(root)
    names = Names(root, files)
    mentioned = mentions.Mentions(root, files, names.trees)
    for path in files:
        if path.suffix == ".md":
            yield from _in_document(root, path, names)
            continue
        for line, text in _comments(root, path, names):
            found = (*mentioned.problems(text, path), *_quoted(text, path, names))
            yield from dict.fromkeys(f"{path}:{line + text.count(chr(10), 0, at)}: {problem}" for at, problem in found)


def _comments(root: pathlib.Path, path: pathlib.Path, names: Names) -> t.Iterable[tuple[int, str]]:
    if path in names.trees:
        return texts.said((root / path).read_text(), names.trees[path])
    return texts.comments(path, (root / path).read_text()) if texts.has_comments(path) else ()


def _quoted(text: str, path: pathlib.Path, names: Names) -> t.Iterator[tuple[int, str]]:
    """What is wrong with the names in double backticks and in roles, and where it is in ``text``."""
    for quoted in QUOTED.finditer(text):
        for problem in names.problems(quoted[1], path):
            yield quoted.start(), problem
    for role in ROLE.finditer(text) if path in names.trees else ():
        wrong = names.role_problem(role[1], path)
        if wrong:
            yield role.start(), wrong


def _in_document(root: pathlib.Path, path: pathlib.Path, names: Names) -> t.Iterator[str]:
    for line, text in enumerate((root / path).read_text().splitlines(), 1):
        for quoted in QUOTED_IN_DOCUMENTS.finditer(text):
            word = quoted[1].split()[0] if quoted[1].strip() else ""
            if FILE.fullmatch(word) and word.partition("/")[0] in names.folders and not names.is_file(word):
                yield f"{path}:{line}: there is no file {word}"
        for link in LINK.finditer(text):
            page = (root / path).parent / link["path"] if link["path"] else root / path
            if not page.exists():
                yield f"{path}:{line}: there is no file {link['path']}"
            elif link["heading"] and link["heading"] not in map(_anchor, HEADING.findall(page.read_text())):
                yield f"{path}:{line}: {link['path'] or path} has no heading #{link['heading']}"


def _anchor(heading: str) -> str:
    """What a link calls a heading: lower case, dashes for spaces, no other signs."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


if __name__ == "__main__":
    texts.finish(problems(pathlib.Path()))
