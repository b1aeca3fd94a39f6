# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing what a module returns with its documentation."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.rebootless.splice.tests.support.documented import undocumented

KEY = {"keyring": ".platform", "name": "Fleet module signing", "key_id": "36b6"}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (None, []),  # a kernel without keyrings
        ([], []),
        ([KEY], []),
        ([{**KEY, "more": 1}], ["kernel.module_keys.more is not documented"]),
        ("none", ["kernel.module_keys is documented as list and is 'none'"]),
    ],
)
def test_a_list_of_rows_that_may_be_null(keys: t.Any, told: list[str]) -> None:
    found = undocumented("kernel_info", {"kernel": {"module_keys": keys}})
    assert [line for line in found if "module_keys" in line] == told
