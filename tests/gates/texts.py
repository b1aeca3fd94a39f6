# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gates that read texts have in common: which files there are, and what a Python file says to its readers."""

from __future__ import annotations

import ast
import io
import pathlib
import sys
import tokenize
import typing as t


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
