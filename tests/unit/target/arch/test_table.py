# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs of its architecture."""

from __future__ import annotations

import os
import struct
import types

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.arch import table

X86 = table.ARCHITECTURES["x86_64"]
NOP = bytes.fromhex("0f1f440000")


def test_another_architecture_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(machine="riscv64"))
    with pytest.raises(RebootlessError, match="riscv64") as caught:
        table.running()
    assert caught.value.code == "arch_unsupported" and "x86_64" in caught.value.next_step
    monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(machine="x86_64"))
    assert table.running() is X86


def test_jumps_count_from_their_end() -> None:
    assert X86.jump(0x1000, 0x1005) == b"\xe9" + struct.pack("<i", 0)
    assert X86.jump(0x1000, 0x0FFF) == b"\xe9" + struct.pack("<i", -6)


@pytest.mark.parametrize(
    ("entry", "untraced"),
    [
        (b"\xe8\1\2\3\4", (0, NOP)),
        (b"\xf3\x0f\x1e\xfa\xe8\1\2\3\4", (4, NOP)),
        (NOP, None),
        (b"\xf3\x0f\x1e\xfa" + NOP, None),
        (b"\xe9\1\2\3\4", None),
        (b"", None),
    ],
)
def test_entries_that_call_a_tracer(entry: bytes, untraced: tuple[int, bytes] | None) -> None:
    assert X86.untraced(entry) == untraced
