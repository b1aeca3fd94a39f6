# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be the name of an update."""

from __future__ import annotations

import re

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# RBL_NAME_MAX of kmod/rebootless.h; the helper module calls other versions of an update .next and .previous.
NAME = re.compile(r"(?!.*\.(next|previous))[a-z0-9][a-z0-9._-]{0,63}")


def is_name(text: object) -> bool:
    return isinstance(text, str) and NAME.fullmatch(text) is not None


def demand_name(text: str) -> None:
    """Raises ``RebootlessError`` code ``bad_name`` unless this may be the name of an update."""
    if not is_name(text):
        raise RebootlessError(
            "bad_name",
            f"{text!r} is no name of an update.",
            "Names have lower-case letters, digits, dots, dashes and underscores, and 64 characters at most.",
        )
