# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The package of a host as the controller has it."""

from __future__ import annotations

import os

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


def demand_file(path: str, sha256: str) -> None:
    """Raises ``RebootlessError`` code ``store_differs`` unless the file has this content."""
    try:
        found = disk.sha256_of_file(path)
        why = f"has the SHA-256 {found[:12]}…, not {sha256[:12]}…" if found != sha256 else ""
    except OSError as error:
        found, why = "", f"cannot be read: {error.strerror}"
    if why:
        raise RebootlessError(
            "store_differs",
            f"{os.path.basename(path)} in the update store is not what the plan says: it {why}.",
            "Find out who changed the store; then restore the file, or build the update again and make a new plan.",
            path=path,
            expected=sha256,
            found=found,
        )
