# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate refuses what only one architecture or distribution means in the code of other rooms."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.rebootless.splice.tests.gates import seams
from ansible_collections.rebootless.splice.tests.support.gate import write

BUILD = "plugins/module_utils/_build"


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("TYPE = 'R_X86_64_PC32'\n", "X86"),
        ("import one\n\nkind = one.X86_OP_REG\n", "X86"),
        ("CALL = 0xE8\n", "0xe8"),
        ("def skip_endbr(code):\n    return code\n", "endbr"),
        ("def use(*, retpoline):\n    return retpoline\n", "retpoline"),
        ("NAME = f'linux-image-{1}'\n", "linux-image"),
        ("COMMAND = ('dpkg', '-x')\n", "dpkg"),
    ],
)
def test_names_outside_of_their_room(tmp_path: pathlib.Path, code: str, word: str) -> None:
    found = list(seams.problems(write(tmp_path, {f"{BUILD}/matching/jumps.py": code})))
    assert found and all(f": {word} is for {BUILD}/" in line for line in found)
    room = "distribution/debian" if "linux" in code or "dpkg" in code else "arch/x86"
    assert list(seams.problems(write(tmp_path / "room", {f"{BUILD}/{room}/jumps.py": code}))) == []


def test_what_only_explains(tmp_path: pathlib.Path) -> None:
    code = '"""As ``arch/x86/kvm``, of Debian."""\n\nSIZE = 0xE80  # a retpoline\ncapture = "adapted, jumped"\n'
    assert list(seams.problems(write(tmp_path, {f"{BUILD}/kernel/units.py": code}))) == []


def test_the_helper_module(tmp_path: pathlib.Path) -> None:
    files = {
        "kmod/stop.c": "/* jmp */\nstatic u32 sum = 0x86d3d2d4;\n\nint f(u8 *at)\n{\n\treturn *at == 0xe9;\n}\n",
        "kmod/arch/x86/text.c": "static const u8 endbr64[4];\n",
    }
    assert list(seams.problems(write(tmp_path, files))) == ["kmod/stop.c:6: 0xe9 is for kmod/arch/ alone"]
