# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the place where a hunk fits is the one that it was made for.

Drivers copy their own code: three lines of context can fit in a function that is hundreds of lines away from the one
that the fix is for.  What diff writes behind a hunk's numbers names the one that is meant (``git diff``, ``diff -p``:
the last line before the hunk that begins with a letter).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

NEAR = 100  # lines between where a hunk should be and where it fits, if nothing but its number says where it belongs
_C = (".c", ".h")
_CUT = 38  # characters: diff -p cuts headings to 40, git diff to 80, and blanks at the end are gone
_HEADING = re.compile(r"[A-Za-z_$]")
_LABEL = re.compile(r"\w+:(?!:)")
_WORD = re.compile(r"[A-Za-z_]\w*")
# The line goes on behind the name: "foo(int x)", "foo[] = {", "foo = {", "foo {", "foo;"
_BEHIND_NAME = re.compile(r"[(\[={;]")


class Place(NamedTuple):
    """``doubt`` says what speaks against the place ("" if nothing does); ``is_wrong``: what is meant is elsewhere."""

    doubt: str = ""
    is_wrong: bool = False


def place_of(
    path: str,
    heading: str,
    hunk: Sequence[tuple[str, str]],
    lines: Sequence[str],
    at: int,
    offset: int,
) -> Place:
    """What is to be said of the place of a ``hunk``, (kind, text) rows, in the unpatched ``lines`` from ``at`` on.

    ``heading`` is what its header says behind the numbers; ``offset`` is in lines from where it should be.
    """
    before = _before_change(hunk)
    if any(_is_heading(text) for text in before):
        return Place()  # the function begins in the hunk
    is_inside = not any(text.startswith("}") for text in before)
    meant = _name(heading) if is_inside and path.endswith(_C) and _is_heading(heading) else ""
    here = next((text for text in reversed(lines[:at]) if _is_heading(text)), "")
    if meant and (_name(here) == meant or here.startswith(heading)):
        return Place()
    if meant:
        elsewhere = any(_is_heading(text) and _name(text) == meant and not text.endswith(";") for text in lines)
        where = f"that is in {_name(here) or 'no function'}, and the hunk's heading names {meant}"
        return Place(where if elsewhere else f"{where}, which {path} does not have", elsewhere)
    if abs(offset) > NEAR:
        return Place(f"that is {abs(offset)} lines from where its header says, and no heading names the function")
    return Place()


def _before_change(hunk: Sequence[tuple[str, str]]) -> list[str]:
    """The lines before the first change, and the first change itself: a whole function names itself."""
    first = next((index for index, (kind, _text) in enumerate(hunk) if kind != " "), len(hunk))
    end = next((index for index in range(first, len(hunk)) if hunk[index][0] == " "), len(hunk))
    return [text for _kind, text in hunk[:end]]


def _is_heading(text: str) -> bool:
    return _HEADING.match(text) is not None and _LABEL.match(text) is None


def _name(heading: str) -> str:
    """What a line defines: ``foo`` of ``static int foo(int x)``, ``foo`` of ``SYSCALL_DEFINE2(foo, int, x)``; "" if the
    line may have been cut within the name."""
    end = _BEHIND_NAME.search(heading)
    if end is None and len(heading) >= _CUT:
        return ""
    words = _WORD.findall(heading[: end.start()] if end else heading)
    if end and end.group() == "(" and len(words) == 1 and words[0].isupper():
        words = _WORD.findall(heading[end.end() :])[:1] or words
    return words[-1] if words else ""
