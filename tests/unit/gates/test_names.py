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


class Shelf(Store):
    """Holds stores."""

    def take(self):
        """Takes it."""


LIMIT = 2


def use(store, shelf: Shelf | None):
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
        "``store.root`` of the argument, whose class is not said, ``store.take``",
        "``shelf.take``, ``shelf.read``, ``shelf.root``, which it has of its base",
        ":func:`use`, :class:`Store`, :meth:`~Store.read`, :meth:`read`, :exc:`ValueError`, :data:`store.LIMIT`",
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
        (":func:`gone`", "gone"),
        (":meth:`Store.gone`", "Store.gone"),
        (":py:class:`store.Gone`", "store.Gone"),
        ("as docs/gone.md has it", "docs/gone.md"),
        ("the option rebootless_gone", "rebootless_gone"),
        ("after rebootless.splice.gone", "rebootless.splice.gone"),
        ("``shelf.gone`` of the argument", "shelf.gone"),
    ],
)
def test_names_of_nothing(tmp_path: pathlib.Path, text: str, name: str) -> None:
    """Once in the docstring, once in the comment, each with its own line."""
    found = list(names.problems(write(tmp_path, said(text))))
    assert [line.split(": ")[0].rpartition(":")[2] for line in found] == ["25", "26"]
    assert all(name in line for line in found)


SHELL = "# Says {text}.\nrebootless_plan: 1  # {text}\n"
LANGUAGES = {
    "kmod/load.c": "/* Says {text}. */\nint rbl_load; // {text}\n",
    "playbooks/plan.yml": SHELL,
    "roles/lab/files/up.sh": SHELL,
    "Makefile": SHELL,
    "pyproject.toml": SHELL,
    "roles/lab/templates/ssh.j2": "{{# Says {text}. #}}\n{{# {text} #}}\n",
}


@pytest.mark.parametrize("path", LANGUAGES)
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("``store.GONE``", "store.GONE"),
        ("``docs/gone.md``", "docs/gone.md"),
        ("docs/gone.md", "docs/gone.md"),
        ("rebootless_gone", "rebootless_gone"),
        ("rbl_gone()", "rbl_gone"),
        ("rebootless.splice.gone", "rebootless.splice.gone"),
    ],
)
def test_comments_of_other_languages(tmp_path: pathlib.Path, path: str, text: str, name: str) -> None:
    """Two comments of each file say it."""
    files = {**said("``store``"), "playbooks/plan.yml": "", path: LANGUAGES[path].format(text=text)}
    found = list(names.problems(write(tmp_path, files)))
    assert [line.rpartition(": ")[0] for line in found] == [f"{path}:1", f"{path}:2"], found
    assert all(name in line for line in found)


@pytest.mark.parametrize("path", LANGUAGES)
@pytest.mark.parametrize(
    "text",
    ["``store.LIMIT``", "docs/formats.md", "rebootless_plan", "rbl_load()", "rbl_*", "rebootless.splice.plan"]
    + ["kernel/trace/ftrace.c", "lab_<name>"],
)
def test_comments_that_name_something(tmp_path: pathlib.Path, path: str, text: str) -> None:
    files = {
        **said("``store``"),
        **{other: code.format(text="nothing") for other, code in LANGUAGES.items()},
        path: LANGUAGES[path].format(text=text),
    }
    assert list(names.problems(write(tmp_path, files))) == []


def test_the_helper_modules_own_comments(tmp_path: pathlib.Path) -> None:
    """There a file beside needs no folder, and a name no prefix."""
    code = "/* `where` of match.h */\nint where;\n/*\n * `gone` of gone.c, vfs_write() of fs/read_write.c\n */\n"
    found = list(names.problems(write(tmp_path, {**said("``store``"), "kmod/load.c": code})))
    assert found == [
        "kmod/load.c:4: there is no file gone.c in kmod/",
        "kmod/load.c:4: gone is the name of nothing in kmod/",
    ]


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
