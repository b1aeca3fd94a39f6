# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may change the running kernel."""

from __future__ import annotations

import os

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


def require_root() -> None:
    """Raises ``RebootlessError`` code ``not_root`` for any other user."""
    if os.geteuid() != 0:
        raise RebootlessError(
            "not_root",
            "Only root can look into the running kernel or change it.",
            "Run the task as root (become: true).",
            uid=os.geteuid(),
        )
