# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators have to describe before a playbook begins."""

from __future__ import annotations

import re
import typing as t

import pytest
import yaml

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import described
from ansible_collections.rebootless.splice.tests.support.places import COLLECTION

FULL: dict[t.Any, t.Any] = {"name": "x", "patches": ["/x.patch"]}


@pytest.mark.parametrize(
    ("needs", "update", "plan", "words"),
    [
        ("plan", "", "", r"\[nothing_named\].*rebootless_plan"),
        ("plan", FULL, "", r"\[nothing_named\].*rebootless_plan"),
        ("either", "", "", r"\[nothing_named\].*rebootless_plan or rebootless_update"),
        ("update", "", "plan.json", r"\[nothing_named\].*rebootless_update"),
        ("patches", "cve-1", "", r"\[bad_update\].*is str, and no table"),
        ("patches", {"name": "x"}, "", r"\[bad_update\].*has no patches"),
        ("patches", {"patches": ["/x.patch"]}, "", r"\[bad_update\].*has no name"),
        ("patches", {**FULL, "cve": ["CVE-2026-1"]}, "", r"\[bad_update\].*has cve, .*Did you mean cves\?"),
        ("update", {**FULL, 7: 1}, "", r"\[bad_update\].*has 7, which means nothing"),
    ],
)
def test_what_a_playbook_needs_is_demanded_by_name(needs, update, plan, words):
    with pytest.raises(RebootlessError) as refused:
        described.demand(needs, update, plan)
    assert re.search(words, f"[{refused.value.code}] {refused.value}")


def test_what_is_described_is_enough():
    for needs, update, plan in (
        ("plan", "", "p.json"),
        ("either", "", "p.json"),
        ("either", "cve-1", ""),
        ("update", "cve-1", ""),
        ("patches", {**FULL, "version": "1", "custom": [], "cves": [], "fixed_in": [], "ignore_missing": []}, ""),
    ):
        described.demand(needs, update, plan)


def test_the_keys_of_an_update_are_those_that_playbooks_read():
    variables = yaml.safe_load((COLLECTION / "playbooks/vars/fleet.yml").read_text())
    assert tuple(variables["fleet_update"]) == described.KEYS
