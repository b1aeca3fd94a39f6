# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes ``docs/coexistence.md`` from the table: ``document.py FILE``."""

from __future__ import annotations

import pathlib
import sys
import textwrap

from ansible_collections.rebootless.splice.tests.coexistence.table import COLUMNS, ROWS, WORKS, Refused, Row

HEADING = """\
# Coexistence

Written by `make coexistence` from `tests/coexistence/table.py`, never by hand. What becomes of an update and of what
else uses the kernel's text or moves its tasks. Each cell is a test on stock kernels of Debian (`make
test-coexistence`): the neighbour really is there, and both are looked at from outside. In every cell the machine goes
on without a warning in its log; when the update is reversed and the neighbour gone, all of the kernel's text is what it
was, byte by byte, and the update can be applied again.

| column | what is done |
|---|---|
| before | the neighbour is there when the update is applied |
| during | it comes and goes, or does its work, in a loop, while the update is applied and reversed in another |
| after | it comes to an update that is applied |
| reverse | it is still there when an operator reverses the update |
| deadline | it is there when the deadline passes |

"""
WORDS = {
    "works": "both do what they are there for: the probe is hit, and calls run the update's code, or the old one.",
    "a code": "refused by that code, with the function's name in `abort`; the neighbour is not touched. Under "
    "*during*: a try that meets the neighbour may be refused by it, and one that does not is done.",
    "bypassed": "the neighbour has taken the function away: the update's state is `bypassed`, and facts, metrics and "
    "the report do not count what it fixes.",
    "not hit": "the neighbour stands in old code that does not run; it is hit again when the update is reversed.",
    "barred": "the kernel refuses the neighbour (`EINVAL`, as at every place of `/sys/kernel/debug/kprobes/blacklist`, "
    "which names the function then), so it is not there when the update is reversed, nor at the deadline; it can come "
    "again as soon as the old code is back.",
    "held": "the old code is back, and the state is `reversed, held by 1 task` until that task has left the update's "
    "code.",
}
WIDTH = 120


def document() -> str:
    """The whole text."""
    words = "\n".join(_item(f"*{word}*" if word != "a code" else word, meaning) for word, meaning in WORDS.items())
    notes = "\n".join(_item(f"**{row.title}**", row.note) for row in ROWS if row.note)
    return f"{HEADING}{words}\n\n{_table()}\n{notes}\n"


def _item(word: str, text: str) -> str:
    return textwrap.fill(f"- {word}: {text}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _table() -> str:
    head = f"| neighbour | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}\n"
    return head + "".join(f"| {row.title} | {' | '.join(_cell(row, column) for column in COLUMNS)} |\n" for row in ROWS)


def _cell(row: Row, column: str) -> str:
    if column == "during":
        return ", ".join(f"`{code}`" for code in row.codes) or WORKS
    outcome = row.outcome(column)
    return f"`{outcome.code}`" if isinstance(outcome, Refused) else outcome


if __name__ == "__main__":
    pathlib.Path(sys.argv[1]).write_text(document(), encoding="utf-8")
