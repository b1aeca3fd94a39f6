# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run-pre match of a finished update against the distribution's own kernel, before any target sees it."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.helper import Helper
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.shipped import DistributionTarget
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.match_program import Program
from ansible_collections.rebootless.splice.plugins.module_utils._common.matcher import Matcher


def match_offline(helper: Helper, program: bytes, target: DistributionTarget, vmlinuz: str) -> None:
    """Proves that the distribution's kernel or module is what the tree builds, for every unit of one part.

    ``vmlinuz`` names the distribution's kernel in messages.  Raises ``RebootlessError``: ``missing_symbol``,
    ``offline_match_failed``.
    """
    result = Matcher(str(helper.library)).match(program, target)
    if result.ok:
        return
    details = result.details(Program(program))
    if result.code == "symbol_not_found":
        raise RebootlessError(
            "missing_symbol",
            f"The update uses {details.get('symbol')}, which neither this kernel nor the patch defines.",
            "Look whether the patch belongs to this kernel: what it uses may have another name there, or be "
            "left out by the kernel's configuration.",
            **details,
        )
    where = " ".join(str(details[key]) for key in ("unit", "section", "function", "symbol") if details.get(key))
    raise RebootlessError(
        "offline_match_failed",
        f"This kernel tree does not reproduce {vmlinuz}: {result.sentence.rstrip('.')} ({where}).",
        "Check that source, configuration and compiler of the tree are the distribution's for this build.",
        reason=result.code,
        **details,
    )
