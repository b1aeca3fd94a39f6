# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The package of a host as the controller has it.  Private to rebootless.splice."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


def package_of(piece: dict[str, t.Any]) -> str | None:
    """The path of the host's package, proven to be the one of the plan; ``None`` if the host fetches it itself.

    Raises ``RebootlessError`` code ``store_differs``.
    """
    if piece.get("url"):
        return None
    demand_file(piece["package"], piece["digest"])
    return str(piece["package"])


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
