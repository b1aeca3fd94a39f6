# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be the name of an update, and its version."""

from __future__ import annotations

import re

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

# RBL_NAME_MAX of kmod/rebootless.h; beside updates, the helper module's directory has what is called abi and build_id,
# and it calls other versions of an update .next and .previous (kmod/check.c).
NAME = re.compile(r"(?!(abi|build_id)\Z)(?!.*\.(next|previous))[a-z0-9][a-z0-9._-]{0,63}")
# RBL_VERSION_MAX of kmod/internal.h; it becomes part of file names, as the name does.
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,63}")
ABOUT_NAMES = (
    "Names have lower-case letters, digits, dots, dashes and underscores, and 64 characters at most; abi and build_id "
    "are none."
)
ABOUT_VERSIONS = (
    "Versions have letters, digits, dots, dashes, plus signs, tildes and underscores, 64 characters at most."
)


def is_name(text: object) -> bool:
    return isinstance(text, str) and NAME.fullmatch(text) is not None


def demand_name(text: str) -> None:
    """Raises ``RebootlessError`` code ``bad_name`` unless this may be the name of an update."""
    if not is_name(text):
        raise RebootlessError(
            "bad_name",
            f"{text!r} is no name of an update.",
            ABOUT_NAMES,
        )
