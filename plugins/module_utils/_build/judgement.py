# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what changes can be made live: what is decided, what has no effect, or a refusal with all findings."""

from __future__ import annotations

from typing import Callable, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.affected.paths import NotApplicable
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Kernel
from ansible_collections.rebootless.splice.plugins.module_utils._build.decision.decide import Decision, decide
from ansible_collections.rebootless.splice.plugins.module_utils._build.difference.difference import UnitChange
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings import unit as findings
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.finding import Finding
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.living_objects import (
    NOTHING_LIVING,
    LivingObjects,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.moved_calls import moved_work
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.overrides import Defines, overrides
from ansible_collections.rebootless.splice.plugins.module_utils._build.outcome import changed_facts
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# Findings about code that never runs.  Code that has run is another matter: its effects are there to stay.
_WITHOUT_EFFECT = ("exit_code_changed",)
_SHOWN = 3  # findings in the sentence; the details have all


def judge_changes(
    changes: Sequence[UnitChange],
    kernel: Kernel,
    reason_file: Callable[[str], str],
    defines: Defines,
    living: LivingObjects = NOTHING_LIVING,
) -> tuple[list[Decision], tuple[NotApplicable, ...]]:
    """What is decided about ``changes``, without those that have no effect in a running kernel, and these.

    ``reason_file`` names a patched file for a unit; ``defines(name, object_name)`` says whether a running object has a
    global symbol of that name; ``living`` is what the changes ask of objects that exist.  Raises ``RebootlessError``:
    ``unsafe_change`` if a change cannot be made live, ``handles_nothing``, ``bad_custom_code``, and what ``Places``
    raises.
    """
    moved, overriding = moved_work(changes), overrides(changes, defines)
    decisions: list[Decision] = []
    idle: list[NotApplicable] = []
    rows: list[Finding] = []
    for decision in [decide(change, kernel) for change in changes]:
        change = decision.change
        more = [*moved.get(id(change), ()), *overriding[id(change)], *living.findings.get(id(change), ())]
        found = findings.refusals(decision, more, living.remarks.get(id(change), ()))
        if not decision.is_effective and all(row.code in _WITHOUT_EFFECT for row in found):
            why = " ".join(row.sentence for row in found) or "Only what the kernel does not use any more changes."
            idle.append(NotApplicable(reason_file(decision.change.unit), "no_effect", why))
        else:
            decisions.append(decision)
            rows += found
    if rows:
        raise _unsafe(rows, decisions)
    return decisions, tuple(idle)


def _unsafe(rows: Sequence[Finding], decisions: Sequence[Decision]) -> RebootlessError:
    # Units that share a header find the same of it.
    sentences = list(dict.fromkeys(row.sentence.rstrip(".") for row in rows))
    more = f"; and {len(sentences) - _SHOWN} more" if len(sentences) > _SHOWN else ""
    return RebootlessError(
        "unsafe_change",
        f"The update cannot be made live by exchanging code: {'; '.join(sentences[:_SHOWN])}{more}.",
        "Change the patch so that it does without, add custom code for it (docs/custom-code.md), or reboot "
        "into a fixed kernel for this fix.",
        findings=[row.as_dict() for row in rows],
        **changed_facts(decisions, ()),
    )
