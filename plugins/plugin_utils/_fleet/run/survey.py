# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update would be on a host that is asked without a plan."""

from __future__ import annotations

import dataclasses

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.planning import UNREACHABLE, why_left_out
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.host_slice import PlacedSlice, SurveySlice
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import read_manifest


def place(asked: SurveySlice, answer: Row) -> tuple[PlacedSlice | None, Row]:
    """The slice completed for the kernel that the host says it runs; without one, the answer why it gets nothing."""
    manifest = read_manifest(asked.manifest)
    left_out = why_left_out(answer, manifest, "patch")
    if left_out is not None:
        state = outcomes.LOST if left_out.state == UNREACHABLE else left_out.state
        return None, {**left_out.to_json(), "state": state, "details": {}}
    kernel = answer["kernel"]
    entry = manifest.kernel(str(kernel["build_id"]))
    if entry is None:
        raise ValueError(kernel["build_id"])
    return PlacedSlice(
        **{field.name: getattr(asked, field.name) for field in dataclasses.fields(SurveySlice)},
        build_id=kernel["build_id"],
        digest=entry.sha256,
        size=entry.size,
        package=f"{asked.place}/{entry.package}",
    ), {}
