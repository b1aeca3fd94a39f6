# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the parts of this checkout are that tests use."""

from __future__ import annotations

import os
import pathlib

COLLECTION = pathlib.Path(__file__).resolve().parents[2]
KMOD = COLLECTION / "kmod"
FIXTURES = COLLECTION / "tests" / "unit" / "fixtures"
CUSTOM = COLLECTION / "tests" / "corpus" / "custom"

# What is downloaded and built, and the labs; `make` names it.
CACHE = pathlib.Path(os.environ.get("REBOOTLESS_CACHE", "~/.cache/rebootless")).expanduser()
# Each worker of a run has a lab of its own, so that none waits for another's machines.
LAB = CACHE / "lab" / (os.environ.get("REBOOTLESS_LAB", "integration") + os.environ.get("PYTEST_XDIST_WORKER", ""))
