# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a rollout: one table from which the actions' arguments, the defaults and the plan's checks come.

The modules' documentation says the same once more, for people; a unit test compares both.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.value_checks import (
    filled,
    list_of,
    one_of,
    or_none,
    whole,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.fields import (
    A_COUNT,
    A_FLAG,
    A_LIST_OF_TABLES,
    A_WORD,
    SECONDS,
    TEXT_OR_NULL,
    Value,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row

URLS = ("http://", "https://", "file://")
A_URL_OR_NULL = Value(or_none(lambda value: filled(value) and value.startswith(URLS)), "a URL or null")
A_PERCENTAGE = Value(whole(0, 100), "a whole number from 0 to 100")
A_RAW_LIST = Value(lambda value: isinstance(value, list), "a list")


class RolloutOption(t.NamedTuple):
    """``spec`` is how Ansible reads it from a task, ``value`` what it has to be in a plan.

    ``meaning`` is how its description in the module rollout_plan begins.
    """

    meaning: str
    spec: Row
    value: Value


def _choice(meaning: str, default: str, *others: str) -> RolloutOption:
    choices = sorted((default, *others))
    spec = {"type": "str", "default": default, "choices": choices}
    return RolloutOption(meaning, spec, Value(one_of(*choices), f"one of {', '.join(choices)}"))


def _list(meaning: str, elements: str, value: Value, default: t.Sequence[t.Any] = ()) -> RolloutOption:
    return RolloutOption(meaning, {"type": "list", "elements": elements, "default": list(default)}, value)


def _number(meaning: str, default: int, value: Value) -> RolloutOption:
    return RolloutOption(meaning, {"type": "int", "default": default}, value)


def _text(meaning: str, value: Value = TEXT_OR_NULL) -> RolloutOption:
    return RolloutOption(meaning, {"type": "str"}, value)


BATCHES = (1, "10%", "50%", "100%")

BUDGET = {
    "hosts": _number("A number of hosts.", 0, A_COUNT),
    "percent": _number("A share of the batch, rounded down.", 0, A_PERCENTAGE),
}

OPTIONS: dict[str, RolloutOption] = {
    "store_url": _text("Where targets find the store over the network,", A_URL_OR_NULL),
    "batches": _list("Sizes of the batches one after the other,", "raw", A_RAW_LIST, BATCHES),
    "rings": _list("Groups of the inventory that are worked through one after the other.", "raw", A_RAW_LIST),
    "checks": _list("Health checks besides those that are always made.", "dict", A_LIST_OF_TABLES),
    "check_times": _list(
        "When the checks are made, in seconds after the update was applied.",
        "int",
        Value(list_of(whole(0)), "a list of seconds"),
        [0, 60, 300, 900],
    ),
    "deadline": _number("Seconds after which an update that was not confirmed reverses itself.", 1800, SECONDS),
    "task_timeout": _number("Seconds that one step on one host may take.", 300, SECONDS),
    "failure_budget": RolloutOption(
        "How many hosts of a batch may fail.",
        {"type": "dict", "default": {}, "options": {name: option.spec for name, option in BUDGET.items()}},
        Value(lambda value: isinstance(value, dict), "a table"),
    ),
    "revert_scope": _choice(
        "What goes back when a batch has more failed hosts than its budget.", "batch", "host", "rollout"
    ),
    "concurrency": _number("How many hosts are applied to at the same time,", 0, A_COUNT),
    "persist": RolloutOption(
        "Whether confirmed updates are applied again when the host boots the same kernel.",
        {"type": "bool", "default": True},
        A_FLAG,
    ),
    "windows": _list("When hosts may be worked on, unless they have windows of their own.", "dict", A_LIST_OF_TABLES),
    "timezone": RolloutOption("The time zone of windows that name none,", {"type": "str", "default": "UTC"}, A_WORD),
    "freezes": _list("When nothing may be done,", "dict", A_LIST_OF_TABLES),
    "uncovered": _choice("What follows if there is no package for a host that may need one,", "report", "stop"),
    "reboot_pending": _choice("What follows if a host has a kernel on disk that has the fix,", "patch", "reboot"),
    "tries": _number(
        "How often a host tries to apply an update while a task sleeps in a function that changes.",
        11,
        Value(whole(1, 1000), "a whole number from 1 to 1000"),
    ),
    "blockers": _choice(
        "What a host does about tasks that stay in a function that changes,", "wait", "signal", "refuse"
    ),
    "isolated_cpus": _choice(
        "Whether hosts that keep CPUs free of interruptions are worked on,", "refuse", "window", "apply"
    ),
    "metrics_directory": _text("Directory on the targets where metrics for Prometheus are written,"),
    "expires": _text("When the plan is no longer good,"),
    "approvals": _number("How many approvals the plan needs.", 0, A_COUNT),
}


def specs(*names: str) -> Row:
    """The arguments of an action that has these options; all of them if none is named."""
    return {name: OPTIONS[name].spec for name in names or OPTIONS}


def complete_budget(given: t.Mapping[str, int]) -> dict[str, int]:
    """A failure budget with both of its limits."""
    return {**{name: option.spec["default"] for name, option in BUDGET.items()}, **given}
