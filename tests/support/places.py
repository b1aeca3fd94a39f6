# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the parts of this checkout are that tests use."""

from __future__ import annotations

import pathlib

COLLECTION = pathlib.Path(__file__).resolve().parents[2]
KMOD = COLLECTION / "kmod"
FIXTURES = COLLECTION / "tests" / "unit" / "fixtures"
CUSTOM = COLLECTION / "tests" / "corpus" / "custom"
