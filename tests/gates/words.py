# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain, active English; and lines of documents that fit a terminal."""

from __future__ import annotations

import pathlib
import re
import typing as t

from ansible_collections.rebootless.splice.tests.gates import texts

# What is not said, and what to say instead.
WORDS = {
    r"nobody": "say what does not happen, and to what: `no task runs it`, `nothing reads it`",
    r"whoever": "name who: `the operator`, `the caller`, `the next boot`",
    r"whatever": "name what: `all that`, `every unit that`, `in every state`",
    r"(some|any|every)(body|one)": "name who or what: `a task`, `an operator`, `all other hosts`",
    r"whom": "begin another sentence, with who does it",
    r"Private\s+to\s+rebootless\.splice": "once for each wing, in its __init__.py, is enough",
}
FOLDERS = {"plugins", "kmod", "tests", "docs", "playbooks", "roles", "extensions", "changelogs"}
# The user of that name, and what says these words to refuse them.
ALLOWED = re.compile(r'"nobody"')
OWN = {pathlib.Path("tests/gates/words.py"), pathlib.Path("tests/unit/gates/test_words.py")}
ONCE = re.compile(r"plugins/(module_utils|plugin_utils)/_\w+/__init__\.py")
WIDTH = 120


def words_of(path: pathlib.Path) -> dict[re.Pattern[str], str]:
    once = ONCE.fullmatch(path.as_posix())
    chosen = {word: advice for word, advice in WORDS.items() if not (once and word.startswith("Private"))}
    return {re.compile(rf"\b{word}\b", re.IGNORECASE): advice for word, advice in chosen.items()}


def problems(root: pathlib.Path) -> t.Iterator[str]:
    for path in texts.files(root):
        if path in OWN or not (path.parts[0] in FOLDERS or path.name == "README.md"):
            continue
        try:
            text = (root / path).read_text()
        except UnicodeDecodeError:
            continue
        yield from _vague_words(path, ALLOWED.sub("", text))
        if path.suffix == ".md":
            yield from _long_lines(path, text)


def _vague_words(path: pathlib.Path, text: str) -> t.Iterator[str]:
    """Searched in the whole text, since a phrase may go over the end of a line."""
    for word, advice in words_of(path).items():
        for found in word.finditer(text):
            number = text.count("\n", 0, found.start()) + 1
            yield f"{path}:{number}: {' '.join(found.group().split())}: {advice}"


def _long_lines(path: pathlib.Path, text: str) -> t.Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > WIDTH:
            yield f"{path}:{number}: {len(line)} characters, more than {WIDTH}"


if __name__ == "__main__":
    texts.finish(problems(pathlib.Path()))
