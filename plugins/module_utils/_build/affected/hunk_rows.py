# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What approvers of an update should know of the hunks of its patches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import PatchedFile

DOUBTFUL_PLACE = "doubtful_place"


def doubtful_places(files: Iterable[PatchedFile]) -> list[dict[str, Any]]:
    """Remarks about hunks that were applied where they fit, though their headers say that they belong elsewhere."""
    return [
        {
            "code": DOUBTFUL_PLACE,
            "sentence": f"Hunk {hunk.hunk} of {file.path} in the patch {hunk.patch} was applied at line {hunk.first}: "
            f"{hunk.doubt}.",
            "details": {"file": file.path, "patch": hunk.patch, "hunk": hunk.hunk, "offset": hunk.offset},
        }
        for file in files
        for hunk in file.placed
        if hunk.doubt
    ]
