# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A root image is named by its recipe."""

from __future__ import annotations

import os
import pathlib
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab import (
    root_image,
)


def overlay(directory: pathlib.Path, content: bytes = b"x", mode: int = 0o644) -> str:
    path = directory / "etc" / "file"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return str(directory)


def recipe(directory: str, **changes: t.Any) -> root_image.RootRecipe:
    facts: dict[str, t.Any] = {"packages": ("python3",), "masked_units": (), "overlay": directory, "size_mib": 64}
    return root_image.RootRecipe(**{**facts, **changes})


def test_image_is_named_by_everything_in_it(tmp_path):
    sources = ["deb uri suite main"]
    first = overlay(tmp_path / "a")
    names = {
        recipe(first).digest(sources),
        recipe(first, packages=("python3", "kmod")).digest(sources),
        recipe(first, masked_units=("a.timer",)).digest(sources),
        recipe(first, size_mib=65).digest(sources),
        recipe(overlay(tmp_path / "b", b"y")).digest(sources),
        recipe(overlay(tmp_path / "c", mode=0o755)).digest(sources),
        recipe(first).digest(["deb other suite main"]),
    }
    assert len(names) == 7


def test_image_is_not_named_by_where_or_when(tmp_path):
    first, second = recipe(overlay(tmp_path / "a")), recipe(overlay(tmp_path / "b"))
    os.utime(tmp_path / "b" / "etc" / "file", (1, 1))
    assert first.digest([]) == second.digest([])
