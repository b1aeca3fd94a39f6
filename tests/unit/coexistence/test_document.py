# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document says what the tests expect."""

from __future__ import annotations

from ansible_collections.rebootless.splice.tests.coexistence import cells
from ansible_collections.rebootless.splice.tests.coexistence.document import document
from ansible_collections.rebootless.splice.tests.coexistence.table import COLUMNS, ROWS, Refused
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION, KMOD


def test_the_document_is_written_from_the_table():
    assert (COLLECTION / "docs" / "coexistence.md").read_text() == document(), "run `make coexistence`"


def test_every_column_is_looked_at():
    assert {column for column in COLUMNS if column != "reverse"} == {name for name in COLUMNS if hasattr(cells, name)}


def test_every_code_is_one_of_the_helper():
    codes = (KMOD / "codes.h").read_text()
    outcomes = [row.outcome(column) for row in ROWS for column in COLUMNS if column != "during"]
    told = {outcome.code for outcome in outcomes if isinstance(outcome, Refused)}
    told |= {code for row in ROWS for code in row.codes}
    assert told and all(f"RBL_CODE({code.upper()}," in codes for code in told)


def test_names_are_those_of_one_row_each():
    assert len({row.name for row in ROWS}) == len({row.title for row in ROWS}) == len(ROWS)
