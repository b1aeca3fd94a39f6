# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions accept is what their modules document, and the options of a rollout mean what the table says."""

from __future__ import annotations

import importlib
import re

import pytest

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.options import OPTIONS
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import Plan
from ansible_collections.rebootless.splice.tests.support.documented import constant
from ansible_collections.rebootless.splice.tests.support.fleet import samples

ACTIONS = (
    "build_work",
    "fleet_exposure",
    "fleet_report",
    "rollout_batch",
    "rollout_plan",
    "rollout_run",
    "rollout_step",
    "update_store",
)


def accepted(arguments):
    """Arguments as an action checks them, as a module's documentation has them."""
    found = {}
    for name, spec in arguments.items():
        row = {key: value for key, value in spec.items() if key not in ("options", "required") or spec[key]}
        if "choices" in row:
            row["choices"] = sorted(row["choices"])
        if "options" in row:
            row["suboptions"] = accepted(row.pop("options"))
        found[name] = row
    return found


def documented(options):
    """The same of the documentation."""
    found = {}
    for name, option in options.items():
        row = {key: value for key, value in option.items() if key != "description"}
        if "choices" in row:
            row["choices"] = sorted(row["choices"])
        if "suboptions" in row:
            row["suboptions"] = documented(row["suboptions"])
        found[name] = row
    return found


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_accepts_what_its_module_documents(name):
    action = importlib.import_module(f"ansible_collections.rebootless.splice.plugins.action.{name}").ActionModule
    assert accepted(action.SPEC) == documented(constant(name, "DOCUMENTATION")["options"])


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_means_what_the_module_says(name):
    text = constant("rollout_plan", "DOCUMENTATION")["options"][name]["description"]
    text = text if isinstance(text, str) else " ".join(text)
    assert re.sub(r"\b[A-Z]\(([^)]*)\)", r"\1", text).startswith(OPTIONS[name].meaning)


def test_what_an_option_is_by_default_can_stand_in_a_plan():
    for name, option in OPTIONS.items():
        assert option.value.check(option.spec.get("default")), name


def test_a_plan_refuses_what_its_options_refuse():
    kept = {name for name in OPTIONS if name in Plan.__dataclass_fields__ and name in samples.plan()}
    assert {"deadline", "task_timeout", "tries", "concurrency", "persist"} <= kept
    for name in kept:
        assert not OPTIONS[name].value.check(object()), name
