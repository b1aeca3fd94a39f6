# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate refuses names of nothing in docstrings, comments and documents."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.rebootless.splice.tests.gates import names
from ansible_collections.rebootless.splice.tests.support.gate import write

MODULE = '''
class Store:
    """Holds things."""

    limit: int = 3

    def __init__(self):
        self.root = "/"

    def read(self):
        """Gives them."""


LIMIT = 2


def use(store):
    """{text}"""
    # {text}
'''


def said(text: str) -> dict[str, str]:
    return {
        "plugins/module_utils/_common/store.py": MODULE.replace("{text}", text),
        "plugins/module_utils/_common/__init__.py": "",
        "kmod/match.h": "",
        "docs/formats.md": "See `kmod/match.h`.\n",
    }


@pytest.mark.parametrize(
    "text",
    [
        "``store.LIMIT``, ``store.Store``",
        "``_common.store`` and ``_common.store.Store.root``",
        "``Store.read``, ``Store.read()``, ``Store.limit``",
        "``store.root`` of the argument",
        "``os.path.join``, ``struct.error``",
        "``store.py``, ``_common/store.py``, ``kmod/match.h``, ``docs/formats.md``",
        "no names of Python: ``foo.isra.0``, ``foo.cold``, ``vmlinux.o``, ``.text``, ``net/core.c``, ``machine.json``",
    ],
)
def test_names_of_something(tmp_path: pathlib.Path, text: str) -> None:
    assert list(names.problems(write(tmp_path, said(text)))) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("``store.GONE``", "store.GONE"),
        ("``Store.gone``", "Store.gone"),
        ("``_target.store``", "_target.store"),
        ("``special.KERNELS``", "special.KERNELS"),
        ("``os.path.juin``", "os.path.juin"),
        ("``gone.py``", "gone.py"),
        ("``_target/store.py``", "_target/store.py"),
        ("``kmod/gone.h``", "kmod/gone.h"),
        ("``docs/gone.md``", "docs/gone.md"),
        ("``store.GONE = 2``", "store.GONE"),
        ("``not store.GONE``", "store.GONE"),
        ("``use(store.GONE[0])``", "store.GONE"),
        ("``Store.gone(1, (2, 3))``", "Store.gone"),
        ("``cat docs/gone.md``", "docs/gone.md"),
    ],
)
def test_names_of_nothing(tmp_path: pathlib.Path, text: str, name: str) -> None:
    """Once in the docstring, once in the comment, each with its own line."""
    found = list(names.problems(write(tmp_path, said(text))))
    assert [line.split(": ")[0].rpartition(":")[2] for line in found] == ["18", "19"]
    assert all(name in line for line in found)


def test_a_document_that_names_no_file(tmp_path: pathlib.Path) -> None:
    page = "One line.\nThe header is `kmod/gone.h`.\n"
    assert list(names.problems(write(tmp_path, {**said("``store``"), "docs/formats.md": page}))) == [
        "docs/formats.md:2: there is no file kmod/gone.h"
    ]


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[formats](formats.md)", None),
        ("[words](formats.md#the-words-of-it)", None),
        ("[above](#the-words-of-it)", None),
        ("[the web](https://example.org/gone.md#gone)", None),
        ("[gone](gone.md)", "there is no file gone.md"),
        ("[gone](formats.md#gone)", "formats.md has no heading #gone"),
        ("[gone](#gone)", "docs/formats.md has no heading #gone"),
    ],
)
def test_links_of_documents(tmp_path: pathlib.Path, link: str, problem: str | None) -> None:
    page = f"## The words, of it\n\nSee {link}.\n"
    found = list(names.problems(write(tmp_path, {**said("``store``"), "docs/formats.md": page})))
    assert found == ([f"docs/formats.md:3: {problem}"] if problem else [])
