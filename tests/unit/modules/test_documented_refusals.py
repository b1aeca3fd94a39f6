# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module that can refuse documents the parts of a refusal, and says the same of them.

A documentation fragment would be the place for that, but the RETURN of a module takes fragments only since ansible-core
2.20; with one, ``ansible-doc`` of 2.17 to 2.19 shows nothing of the module at all.
"""

from __future__ import annotations

import re

import pytest

from ansible_collections.rebootless.splice.tests.support.documented import MODULES, constant

REFUSAL = {
    "code": ("str", "Why the task was refused, an identifier that does not change between releases."),
    "sentence": ("str", "What is wrong."),
    "next_step": ("str", "What to do about it."),
    "details": ("dict", "Facts of the refusal"),  # which ones is each module's to say
}
REFUSING = sorted(
    path.stem
    for path in MODULES.glob("*.py")
    if re.search(r"^    finish\(|^details:(\n  .*)*\n  returned: failure$", path.read_text(), re.MULTILINE)
)


def test_the_modules_that_can_refuse_are_found():
    assert {"update", "update_build", "kernel_tree", "lab_info", "rollout_plan", "update_store"} <= set(REFUSING)


@pytest.mark.parametrize("module", REFUSING)
def test_refusals_are_documented(module):
    documented = constant(module, "RETURN")
    for key, (kind, text) in REFUSAL.items():
        row = documented[key]
        said = row["description"] if isinstance(row["description"], str) else row["description"][0]
        assert (row["type"], row["returned"]) == (kind, "failure"), key
        assert said == text or (key == "details" and re.match(rf"{text}(\.|, such as )", said)), key
        assert kind == "dict" or row["sample"], key
