# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for what runs on targets."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.tests.support.booting_host import BootingHost


@pytest.fixture
def host(tmp_path, monkeypatch) -> BootingHost:
    made = BootingHost(tmp_path, monkeypatch)
    made.keep()
    made.live("confirmed")
    return made
