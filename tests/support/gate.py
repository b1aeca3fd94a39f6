# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees for the gates of ``tests/gates`` to read, made up by tests."""

from __future__ import annotations

import pathlib


def write(tree: pathlib.Path, files: dict[str, str]) -> pathlib.Path:
    """Writes ``files`` (path to content) into ``tree``, and returns it."""
    for path, content in files.items():
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return tree
