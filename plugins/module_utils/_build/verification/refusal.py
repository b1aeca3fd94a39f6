# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the check says of a module that it cannot prove."""

from __future__ import annotations

from typing import Any

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

NEXT_STEP = "Report this update with its patches: the module was not packaged, and no host has got it."


def not_proven(what: str, unit: str = "", function: str = "", **details: Any) -> RebootlessError:
    """A refusal; ``what`` goes on a sentence, ``details`` say section, offset, expected and found."""
    where = ": ".join(word for word in (unit, function) if word)
    if function and isinstance(details.get("offset"), int):
        where += f"+{details['offset']:#x}"
    return RebootlessError(
        "module_not_proven",
        f"The finished update module is not what was compiled: {what}{f' ({where})' if where else ''}.",
        NEXT_STEP,
        unit=unit,
        function=function,
        **details,
    )
