# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate refuses vague words, and documents with long lines."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.rebootless.splice.tests.gates import words
from ansible_collections.rebootless.splice.tests.support.gate import write


@pytest.mark.parametrize("word", ["nobody", "Whoever", "whatever", "whom", "somebody", "Everyone"])
@pytest.mark.parametrize("path", ["plugins/a.py", "kmod/a.c", "tests/unit/a.py", "docs/a.md", "README.md"])
def test_vague_words(tmp_path: pathlib.Path, word: str, path: str) -> None:
    (line,) = list(words.problems(write(tmp_path, {path: f"# one\n# It is {word} that counts.\n"})))
    assert line.startswith(f"{path}:2: {word}: ")


def test_part_of_another_word_and_the_user(tmp_path: pathlib.Path) -> None:
    assert list(words.problems(write(tmp_path, {"tests/a.py": 'nobodys_business("nobody")\n'}))) == []


def test_a_phrase_over_the_end_of_a_line(tmp_path: pathlib.Path) -> None:
    files = {"plugins/a.py": '"""Does much.\n\nPrivate to\nrebootless.splice.\n"""\n'}
    (line,) = list(words.problems(write(tmp_path, files)))
    assert line.startswith("plugins/a.py:3: Private to rebootless.splice: ")


def test_private_once_for_each_wing(tmp_path: pathlib.Path) -> None:
    text = '"""Does much.  Private to rebootless.splice."""\n'
    files = {"plugins/module_utils/_build/__init__.py": text, "plugins/module_utils/_build/host/__init__.py": text}
    (line,) = list(words.problems(write(tmp_path, files)))
    assert line.startswith("plugins/module_utils/_build/host/__init__.py:1: Private to rebootless.splice: ")


def test_long_lines_of_documents(tmp_path: pathlib.Path) -> None:
    files = {"docs/a.md": "—" * 120 + "\n" + "x" * 121 + "\n", "plugins/a.py": "#" * 130 + "\n"}
    assert list(words.problems(write(tmp_path, files))) == ["docs/a.md:2: 121 characters, more than 120"]
