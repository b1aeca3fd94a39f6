# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The library that decodes x86's instructions."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.deps import MISSING

__all__ = ("capstone",)

try:
    import capstone
except ImportError:
    MISSING.append("capstone")
    capstone = None
