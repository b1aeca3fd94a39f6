# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gates that read texts have in common: which files there are, and what they say to their readers."""

from __future__ import annotations

import ast
import io
import pathlib
import re
import sys
import tokenize
import typing as t

# Where comments are in other languages than Python, beside texts that look like some.
C_TOKENS = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|(?P<comment>/\*.*?\*/|//[^\n]*)', re.DOTALL)
_OF_SHELL = re.compile(r"(?:^|(?<=\s))(?P<comment>#.*)$", re.MULTILINE)
_OF_JINJA = re.compile(r"(?P<comment>\{#.*?#\})", re.DOTALL)
COMMENTS = {
    **dict.fromkeys((".c", ".h", ".S"), C_TOKENS),
    **dict.fromkeys((".yml", ".yaml", ".sh", ".toml", ".in", ".mk"), _OF_SHELL),
    ".j2": _OF_JINJA,
}
# Files without a suffix whose comments are those of the shell.
UNNAMED = {"Makefile", "Kbuild", "run", ".yamllint", ".ansible-lint"}


def files(root: pathlib.Path) -> list[pathlib.Path]:
    """The collection's own files, as paths below ``root``."""
    found = (path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file())
    return [path for path in found if path.parts[0] != "build" and not any(part.startswith(".") for part in path.parts)]


def finish(problems: t.Iterable[str]) -> t.NoReturn:
    """Ends a gate: prints what it found, and fails if that is anything."""
    found = list(problems)
    print("\n".join(found))
    sys.exit(1 if found else 0)


def said(source: str, tree: ast.Module) -> t.Iterator[tuple[int, str]]:
    """Docstrings and comments, each with the line where it begins."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node, clean=False)
            if docstring is not None:
                yield node.body[0].lineno, docstring
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def has_comments(path: pathlib.Path) -> bool:
    """Whether it is a file of another language than Python whose comments are known."""
    return path.suffix in COMMENTS or path.name in UNNAMED


def comments(path: pathlib.Path, source: str) -> t.Iterator[tuple[int, str]]:
    """The comments of a file in another language than Python, each with the line where it begins."""
    pattern = COMMENTS.get(path.suffix) or (_OF_SHELL if path.name in UNNAMED else None)
    for found in pattern.finditer(source) if pattern else ():
        if found["comment"] is not None:
            yield source.count("\n", 0, found.start("comment")) + 1, found["comment"]


def without_comments(path: pathlib.Path, source: str) -> str:
    """The rest of the file."""
    pattern = COMMENTS.get(path.suffix) or (_OF_SHELL if path.name in UNNAMED else None)
    return pattern.sub(lambda found: " " if found["comment"] is not None else found[0], source) if pattern else source
