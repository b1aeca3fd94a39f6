# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of its kernel and its updates."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._target import inventory
from ansible_collections.rebootless.splice.tests.support.booting_host import NAME


def test_a_host_shows_what_its_next_boot_does(host):
    host.arm()
    kernel = inventory.kernel(host.packages)
    assert kernel["boot"] == {"off": "", "armed": [NAME], "quarantined": []}
    (row,) = inventory.updates(host.packages)
    assert row["boot"]["state"] == "armed"
