# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update would be on a host of which no plan says anything.  Private to rebootless.splice."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import outcomes
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.planning import UNREACHABLE, why_left_out
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import (
    Manifest,
    Row,
    read_manifest,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.store import Store


def manifest_of(store: str, name: str, version: str) -> tuple[Manifest, str]:
    """The update's manifest in the store, and its path.  Raises ``RebootlessError`` code ``update_not_built``."""
    found = Store(store)
    manifest = found.manifest(name, version)
    if manifest is None:
        raise RebootlessError(
            "update_not_built",
            f"The store {found.root} has no {name} {version}.",
            "Run the playbook build first, or name the version.",
            store=found.root,
        )
    return manifest, found.path(name, version, "manifest.json")


def place(piece: Row, answer: Row) -> tuple[Row, Row | None]:
    """The slice completed for the kernel that the host says it runs; or, second, why it gets nothing."""
    manifest = read_manifest(piece["manifest"])
    left_out = why_left_out(answer, manifest, "patch")
    if left_out is not None:
        row = dataclasses.asdict(left_out)
        row["state"] = outcomes.LOST if row["state"] == UNREACHABLE else row["state"]
        return piece, {**row, "details": {}}
    kernel: dict[str, t.Any] = answer["kernel"]
    entry = manifest.kernel(str(kernel["build_id"])) or {}
    package = f"{piece['place']}/{entry['package']}"
    return {
        **piece,
        "build_id": kernel["build_id"],
        "digest": entry["sha256"],
        "size": entry["size"],
        "package": package,
    }, None
