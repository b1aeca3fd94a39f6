# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence of a rollout as a report needs it, and whether its hash chain holds.  Private to rebootless.splice.

Each line of ``evidence.jsonl`` has in ``previous`` the SHA-256 of the line before it (without its newline), the first
one 64 zeros.  So a line that was changed, taken out or put in is found from the line after it; what was cut off at the
end can only be found by comparing ``last`` with a copy of it that is kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import typing as t

FIRST = "0" * 64


class Evidence(t.NamedTuple):
    """The lines of one file.

    ``entries`` are all lines that can be read, each a dictionary.  ``chain`` is "intact", "incomplete" (intact, with
    lines that a killed controller did not write to the end), "broken" or "none" (no evidence); ``sentence`` says so;
    ``last`` is the SHA-256 of the last whole line.
    """

    entries: list[dict[str, t.Any]]
    chain: str
    sentence: str
    last: str


NONE = Evidence([], "none", "There is no evidence.", "")


def read(path: str | os.PathLike[str]) -> Evidence:
    """The evidence in the file ``path``; ``NONE`` if there is no such file."""
    try:
        with open(path, "rb") as stream:
            return parse(stream.read())
    except FileNotFoundError:
        return NONE


def parse(content: bytes) -> Evidence:
    """The evidence whose lines are ``content``."""
    entries: list[dict[str, t.Any]] = []
    previous, wrong, torn = FIRST, 0, 0
    lines = content.split(b"\n")
    torn += bool(lines.pop())
    for count, line in enumerate(lines, 1):
        entry = _entry(line)
        if entry is None:
            torn += 1  # by a kill, in its place; the next line has its digest, or the chain is broken there
        else:
            entries.append(entry)
            if entry.get("previous") != previous:
                wrong = wrong or count
        previous = hashlib.sha256(line).hexdigest()
    if not entries:
        return Evidence([], "incomplete", "The evidence has no line that can be read.", "") if torn else NONE
    number = f"{len(lines):,} lines" if len(lines) > 1 else "1 line"
    if wrong:
        sentence = f"The hash chain of the evidence ({number}) is broken at line {wrong}: lines before it were changed."
        return Evidence(entries, "broken", sentence, previous)
    if torn:
        what = "1 line was" if torn == 1 else f"{torn} lines were"
        sentence = f"The hash chain of the evidence ({number}) is intact; {what} not written to the end."
        return Evidence(entries, "incomplete", sentence, previous)
    return Evidence(entries, "intact", f"The hash chain of the evidence ({number}) is intact.", previous)


def _entry(line: bytes) -> dict[str, t.Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
