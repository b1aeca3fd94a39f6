# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of its kernel and its updates."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target import inventory
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import sysfs
from ansible_collections.rebootless.splice.tests.support.booting_host import NAME


def test_a_host_shows_what_its_next_boot_does(host):
    host.arm()
    kernel = inventory.kernel(host.packages)
    assert kernel["boot"] == {"off": "", "armed": [NAME], "quarantined": []}
    (row,) = inventory.updates(host.packages)
    assert row["boot"]["state"] == "armed"


@pytest.mark.parametrize("ask", [inventory.kernel, inventory.updates, lambda _packages: inventory.helper()])
def test_a_container_that_hides_the_kernel_is_not_said_to_have_no_updates(host, tmp_path, monkeypatch, ask):
    monkeypatch.setattr(sysfs, "ROOT", str(tmp_path / "hidden" / "kernel" / "rebootless"))
    with pytest.raises(RebootlessError) as refused:
        ask(host.packages)
    assert refused.value.code == "sysfs_hidden"
