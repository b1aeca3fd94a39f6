# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a kernel one that cannot be patched live."""

from __future__ import annotations

import os
import types

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.package import parse_package
from ansible_collections.rebootless.splice.plugins.module_utils._target import preflight
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts
from ansible_collections.rebootless.splice.tests.support import package
from ansible_collections.rebootless.splice.tests.support.booting_host import refusal

PACKAGE = parse_package("p", package.build())


@pytest.mark.parametrize(
    ("version", "real_time"),
    [
        ("#1 SMP PREEMPT_RT Debian 6.1.176-1 (2026-06-26)", True),
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-06-26)", False),
    ],
)
def test_the_rt_flavour_is_named(monkeypatch, version, real_time):
    monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(version=version, release="6.1.0-50-rt-amd64"))
    monkeypatch.setattr(facts, "call_depth_tracking", lambda: "")
    assert facts.real_time() == real_time
    if real_time:
        with refusal("real_time_kernel"):
            preflight.switchable(PACKAGE)
    else:
        preflight.switchable(PACKAGE)


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ({"retbleed": "Mitigation: Stuffing"}, "retbleed=stuff"),
        ({"indirect_target_selection": "Mitigation: Retpolines, Stuffing RSB"}, "indirect_target_selection=stuff"),
        ({"retbleed": "Mitigation: Enhanced IBRS", "indirect_target_selection": "Not affected"}, ""),
        ({}, ""),
    ],
)
def test_call_depth_tracking_is_named_by_what_chose_it(tmp_path, monkeypatch, files, chosen):
    monkeypatch.setattr(facts, "VULNERABILITIES", str(tmp_path))
    monkeypatch.setattr(facts, "real_time", lambda: False)
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    assert facts.call_depth_tracking() == chosen
    if chosen:
        with refusal("call_depth_tracking"):
            preflight.switchable(PACKAGE)
