# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be said of patches that mislead, and whether it was said: the reader of ``refusals/expected.toml``."""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib
import typing as t

HERE = pathlib.Path(__file__).resolve().parent
EXPECTED = HERE / "expected.toml"
PATCHES = HERE / "patches"
TEXT, BUILT = "text", "built"
LIVE, REMARK, NOT_APPLICABLE = "live", "remark", "not_applicable"
STAYS_LOADED = "stays_loaded"  # says nothing against an update


@dataclasses.dataclass(frozen=True)
class Case:
    """A patch: ``how`` it is judged, ``text`` or ``built``, and the sets of codes of which one is to be said of it."""

    name: str
    how: str
    expect: tuple[frozenset[str], ...]
    patch: pathlib.Path

    def holds(self, answer: frozenset[str]) -> bool:
        """Whether that is what was to be said; ``answer`` is what ``said`` returns."""
        return any(_holds(words, answer) for words in self.expect)

    @property
    def spelt(self) -> str:
        """What is to be said, as a table shows it."""
        return " | ".join(" ".join(sorted(words, key=_order)) for words in self.expect)


def read_table(path: pathlib.Path = EXPECTED, patches: pathlib.Path = PATCHES) -> list[Case]:
    """The cases, in the table's order.

    Raises ``ValueError`` for a table that is none, a row that has no patch, and a patch that has no row.
    """
    cases = [
        _case(name, row, patches / f"{name}.patch")
        for name, row in tomllib.loads(path.read_text(encoding="utf-8")).items()
    ]
    rows, files = {case.name for case in cases}, {file.stem for file in patches.glob("*.patch")}
    if rows != files or not rows:
        raise ValueError(f"{path} and {patches} do not name the same patches: {', '.join(sorted(rows ^ files))}")
    return cases


def said(build: dict[str, t.Any]) -> frozenset[str]:
    """All codes of an answer: ``error`` (``code``, ``details``) of a refusal, or ``facts``, and whether it is ``live``.

    With the codes of remarks and of what is not applicable stand the words for any of them.
    """
    error = build.get("error")
    if error is not None:
        return frozenset([error["code"], *(row["code"] for row in error["details"].get("findings") or [])])
    remarks = {row["code"] for row in build["facts"]["remarks"]}
    absent = {row["code"] for row in build["facts"]["not_applicable"]}
    words = {LIVE: build["live"], REMARK: remarks - {STAYS_LOADED}, NOT_APPLICABLE: absent}
    return frozenset(remarks | absent | {word for word, there in words.items() if there})


def _case(name: str, row: t.Any, patch: pathlib.Path) -> Case:
    if not isinstance(row, dict) or set(row) != {"how", "expect"} or row["how"] not in (TEXT, BUILT):
        raise ValueError(f"{name} needs how ({TEXT} or {BUILT}) and expect, and nothing else")
    expect = tuple(frozenset(words.split()) for words in row["expect"])
    if not expect or not all(expect):
        raise ValueError(f"{name} expects nothing")
    return Case(name, row["how"], expect, patch)


def _holds(words: frozenset[str], answer: frozenset[str]) -> bool:
    more = answer - words - {STAYS_LOADED, REMARK, NOT_APPLICABLE}
    return words <= answer and not (LIVE in words and more)


def _order(word: str) -> tuple[bool, str]:
    return (word != LIVE, word)
