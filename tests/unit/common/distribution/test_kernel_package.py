# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel packages of any distribution: each row of the table is asked."""

from __future__ import annotations

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.distribution import kernel_package

OTHER = kernel_package.KernelPackages(
    "Other",
    "kernel",
    lambda banner: "5@x" if "Other" in banner else "",
    lambda text: str(text).endswith("@x"),
    lambda version, fixed_in: version in fixed_in,
    lambda version: version.partition("@")[0] if version.endswith("@x") else "",
    lambda one, other: (one > other) - (one < other),
)


def test_a_distribution_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not kernel_package.is_version("5@x") and kernel_package.version_in("#1 Other") == ""
    assert kernel_package.what_is_no_version("?") == "'?' is no version of a Debian package."
    monkeypatch.setattr(kernel_package, "DISTRIBUTIONS", (*kernel_package.DISTRIBUTIONS, OTHER))
    assert kernel_package.is_version("5@x") and kernel_package.is_version("6.1.1-1")
    assert not kernel_package.is_version("nothing")
    assert kernel_package.version_in("#1 Other") == "5@x"
    assert kernel_package.version_in("#1 SMP Debian 6.1.176-1 (2026-06-26)") == "6.1.176-1"
    assert kernel_package.fixed("5@x", ["5@x"]) and kernel_package.fixed("6.1.2-1", ["6.1.1-1"])
    assert kernel_package.upstream("5@x") == "5" and kernel_package.upstream("6.1.176-1") == "6.1.176"
    assert kernel_package.compare("5@x", "6@x") == -1 and kernel_package.compare("6.1.176-1", "6.1.99-1") == 1
    with pytest.raises(ValueError, match="'nothing' is no version"):
        kernel_package.compare("5@x", "nothing")
    with pytest.raises(ValueError, match="two distributions"):
        kernel_package.compare("5@x", "6.1.1-1")
    assert not kernel_package.fixed("6.1.0-1", ["6.1.1-1", "5@x"])
    assert kernel_package.what_is_no_version("?") == "'?' is no version of a Debian or Other package."
