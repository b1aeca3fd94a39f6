# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of all unit tests."""

from __future__ import annotations

from hypothesis import settings

from ansible_collections.rebootless.splice.tests.support.collection import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems"]

# How long one example takes says something about the machine, which others may use too, and nothing about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
