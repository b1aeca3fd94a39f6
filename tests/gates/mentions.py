# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comments of any language name without quotes: files, plugins, and words with a prefix of this project's own.

A word like ``rebootless_plan``, ``lab_size`` or ``rbl_match`` has to stand somewhere in the project beside comments; a
path that begins with one of the project's folders has to be there, and so has a C file of the helper module that is
named in its own comments; ``rebootless.splice.plan`` has to be a plugin, a role or a playbook.
"""

from __future__ import annotations

import ast
import io
import pathlib
import re
import tokenize
import typing as t

from ansible_collections.rebootless.splice.tests.gates import texts

# What has no comments, but names of its own.
OTHER_CODE = {".json", ".txt"}
WORD = re.compile(r"\w+")
OWN_WORD = re.compile(r"(?<![\w.*<-])(?:rbl|RBL|rebootless|REBOOTLESS|lab)_\w*\w(?![\w*<{])")
PATH = re.compile(r"(?<![\w./*<>{}$%~-])(?P<folder>\w+)/[\w./-]*\w\.[a-zA-Z]\w*(?![\w*/])")
PLUGIN = re.compile(r"\brebootless\.splice\.(\w+)(?![\w*]|\.\w)")
# Of a C file beside the one that names it; paths into the kernel's source have a folder.
C_FILE = re.compile(r"(?<![\w/.-])\w+\.[ch]\b")
C_QUOTED = re.compile(r"`(\w+)`")
PLUGINS = re.compile(
    r"(plugins/(modules|action|lookup|filter|doc_fragments|inventory|callback)|playbooks)/(\w+)\.\w+|roles/(\w+)/"
)


class Mentions:
    """What can be named: files, plugins, and the words of all files beside their comments."""

    def __init__(
        self, root: pathlib.Path, files: list[pathlib.Path], trees: t.Mapping[pathlib.Path, ast.Module]
    ) -> None:
        self._root = root
        self._files = {path.as_posix() for path in files}
        self._folders = {path.parts[0] for path in files if len(path.parts) > 1}
        self._c_files = {path.name for path in files if path.parts[0] == "kmod"}
        found = filter(None, map(PLUGINS.match, self._files))
        self._plugins = {name for match in found for name in (match[3], match[4]) if name}
        self._words: set[str] = set()
        self._c_words: set[str] = set()
        for path in files:
            words = set(WORD.findall(self._code(path, trees)))
            self._words |= words
            if path.parts[0] == "kmod":
                self._c_words |= words

    def _code(self, path: pathlib.Path, trees: t.Mapping[pathlib.Path, ast.Module]) -> str:
        if path not in trees and not texts.has_comments(path) and path.suffix not in OTHER_CODE:
            return ""
        source = (self._root / path).read_text()
        return _code_of_python(source, trees[path]) if path in trees else texts.without_comments(path, source)

    def problems(self, text: str, path: pathlib.Path) -> t.Iterator[tuple[int, str]]:
        """What is wrong with a comment or docstring, and where in it."""
        for found in PATH.finditer(text):
            if found["folder"] in self._folders and not self._is_file(found[0], path):
                yield found.start(), f"there is no file {found[0]}"
        for found in OWN_WORD.finditer(text):
            if found[0] not in self._words:
                yield found.start(), f"{found[0]} is the name of nothing"
        for found in PLUGIN.finditer(text):
            if found[1] not in self._plugins:
                yield found.start(), f"there is no plugin, role or playbook {found[0]}"
        if path.parts[0] == "kmod":
            yield from self._of_the_helper(text)

    def _is_file(self, name: str, path: pathlib.Path) -> bool:
        beside = (path.parent / name).as_posix()
        return name in self._files or beside in self._files or any(one.endswith(f"/{name}") for one in self._files)

    def _of_the_helper(self, text: str) -> t.Iterator[tuple[int, str]]:
        for found in C_FILE.finditer(text):
            if found[0] not in self._c_files:
                yield found.start(), f"there is no file {found[0]} in kmod/"
        for found in C_QUOTED.finditer(text):
            if found[1] not in self._c_words:
                yield found.start(), f"{found[1]} is the name of nothing in kmod/"


def _code_of_python(source: str, tree: ast.Module) -> str:
    """Names and texts of a Python file, without comments and docstrings."""
    documents = {
        node.body[0].lineno
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and ast.get_docstring(node, clean=False) is not None
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return " ".join(
        token.string
        for token in tokens
        if token.type != tokenize.COMMENT and not (token.type == tokenize.STRING and token.start[0] in documents)
    )
