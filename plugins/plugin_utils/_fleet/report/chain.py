# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence of a rollout as a report needs it, and whether its hash chain holds.

Each line of ``evidence.jsonl`` has in ``previous`` the SHA-256 of the line before it (without its newline), the first
one 64 zeros.  So a line that was changed, taken out or put in is found from the line after it; what was cut off at the
end can only be found by comparing ``last`` with a copy of it that is kept elsewhere.
"""

from __future__ import annotations

import io
import os
import typing as t

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import evidence


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
    last, whole, wrong, torn = evidence.FIRST, 0, 0, 0
    # Not splitlines(), which takes more for the end of a line than the newline.
    for line in evidence.walk(io.BytesIO(content)):
        if not line.ended:
            torn += 1
            break
        whole += 1
        if line.entry is None:
            torn += 1
        else:
            entries.append(line.entry)
        if not line.follows:
            wrong = wrong or whole
        last = line.digest
    if not entries:
        return Evidence([], "incomplete", "The evidence has no line that can be read.", "") if torn else NONE
    number = f"{whole:,} lines" if whole > 1 else "1 line"
    if wrong:
        sentence = f"The hash chain of the evidence ({number}) is broken at line {wrong}: lines before it were changed."
        return Evidence(entries, "broken", sentence, last)
    if torn:
        what = "1 line was" if torn == 1 else f"{torn} lines were"
        sentence = f"The hash chain of the evidence ({number}) is intact; {what} not written to the end."
        return Evidence(entries, "incomplete", sentence, last)
    return Evidence(entries, "intact", f"The hash chain of the evidence ({number}) is intact.", last)
