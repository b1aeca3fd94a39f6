# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A function below ``plugins/`` fits a screen: it has at most ``LONGEST`` lines, its docstring and blank lines too."""

from __future__ import annotations

import ast
import pathlib
import typing as t

from ansible_collections.rebootless.splice.tests.gates import texts

LONGEST = 40


def problems(root: pathlib.Path) -> t.Iterator[str]:
    for path in texts.files(root):
        if path.parts[0] == "plugins" and path.suffix == ".py":
            for node in ast.walk(ast.parse((root / path).read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _lines(node) > LONGEST:
                    yield f"{path}:{node.lineno}: {node.name} has {_lines(node)} lines, more than {LONGEST}"


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From ``def`` on, without decorators."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


if __name__ == "__main__":
    texts.finish(problems(pathlib.Path()))
