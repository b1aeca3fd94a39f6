# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate refuses what only one architecture or distribution means in the code of other rooms."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.rebootless.splice.tests.gates import seams
from ansible_collections.rebootless.splice.tests.support.gate import write

UTILS = "plugins/module_utils"
BUILD = f"{UTILS}/_build"
OF_X86 = [
    ("TYPE = 'R_X86_64_PC32'\n", "X86"),
    ("import one\n\nkind = one.X86_OP_REG\n", "X86"),
    ("CALL = 0xE8\n", "0xe8"),
    ("ENTRY = bytes.fromhex('0f1f440000')\n", "0f1f44"),
    ("ENTRY = b'\\x0f\\x1f\\x44\\0\\0'\n", "0f1f44"),
    ("def skip_endbr(code):\n    return code\n", "endbr"),
    ("def use(*, retpoline):\n    return retpoline\n", "retpoline"),
    ("import capstone\n", "capstone"),
    ("import capstone as decoder\n", "capstone"),
    ("from capstone import Cs\n", "capstone"),
    ("from one.arch.x86 import jumps\n", "x86"),
    ("def use():\n    from one.arch import x86 as machine\n    return machine\n", "x86"),
    ("WHERE = 'rdi'\n", "rdi"),
    ("import one\n\nkind = one.REG_R10D\n", "R10D"),
    ("FIRST = 'cr4'\n", "cr4"),
    ("ABOUT_CODE = ('.smp_locks',)\n", "smp_locks"),
    ("needed = {'vmx'}\n", "vmx"),
]
OF_DEBIAN = [
    ("NAME = f'linux-image-{1}'\n", "linux-image"),
    ("COMMAND = ('dpkg', '-x')\n", "dpkg"),
    ("from one.distribution.debian import names\n", "debian"),
    ("import apt_pkg\n", "apt"),
]
OTHERS = [
    f"{BUILD}/matching",
    f"{UTILS}/_target/kernel",
    f"{UTILS}/_common",
    "plugins/plugin_utils/_fleet/plan",
    "plugins/action",
    "plugins/modules",
]


def found_in(root: pathlib.Path, files: dict[str, str]) -> list[str]:
    return list(seams.problems(write(root, files), allowed=()))


@pytest.mark.parametrize("folder", OTHERS)
@pytest.mark.parametrize(("code", "word"), [*OF_X86, *OF_DEBIAN])
def test_names_outside_of_their_room(tmp_path: pathlib.Path, folder: str, code: str, word: str) -> None:
    found = found_in(tmp_path, {f"{folder}/jumps.py": code})
    assert found and all(f": {word} is for {UTILS}/" in line for line in found)


@pytest.mark.parametrize("room", [f"{BUILD}/arch/x86", f"{UTILS}/_target/arch"])
@pytest.mark.parametrize("code", [code for code, _word in OF_X86])
def test_names_in_the_room_of_an_architecture(tmp_path: pathlib.Path, room: str, code: str) -> None:
    assert found_in(tmp_path, {f"{room}/jumps.py": code}) == []


@pytest.mark.parametrize("room", [f"{BUILD}/distribution/debian", f"{UTILS}/_common/distribution"])
@pytest.mark.parametrize("code", [code for code, _word in OF_DEBIAN])
def test_names_in_the_room_of_a_distribution(tmp_path: pathlib.Path, room: str, code: str) -> None:
    assert found_in(tmp_path, {f"{room}/jumps.py": code}) == []


@pytest.mark.parametrize(
    "code",
    [
        '"""As ``arch/x86/kvm``, of Debian."""\n\nSIZE = 0xE80  # a retpoline\ncapture = "adapted, jumped"\n',
        'RETURN = r"""\nrelease:\n  sample: 6.1.0-50-cloud-amd64, of Debian\n"""\n',
        'TABLE = ".static_call_sites"\nforced, description = "enforce_", "ip link, r80, esp4"\n',
        "from one.distribution import kernel_package\nfrom one.arch.table import running\n",
    ],
)
def test_what_only_explains(tmp_path: pathlib.Path, code: str) -> None:
    assert found_in(tmp_path, {f"{BUILD}/kernel/units.py": code, f"{UTILS}/_target/units.py": code}) == []


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("int f(u8 *at)\n{\n\treturn *at == 0xe9;\n}\n", "0xe9"),
        ('\n\n#include "arch/x86/text.h"\n', "x86"),
        ("\n\nu64 at(struct pt_regs *regs) { return regs->ip; }\n", "regs->ip"),
        ('\n\nvoid f(void) { asm volatile("mov %rax, %rbx"); }\n', "rax"),
        ("\n\nenum { RBL_PLACE_FENTRY };\n", "FENTRY"),
    ],
)
def test_the_helper_module(tmp_path: pathlib.Path, code: str, word: str) -> None:
    explained = "/* jmp */ // endbr\nstatic u32 sum = 0x86d3d2d4;\nlong at = record->ip;\n"
    found = found_in(tmp_path, {"kmod/stop.c": explained + code, "kmod/arch/x86/text.c": code})
    assert found and found[0] == f"kmod/stop.c:6: {word} is for kmod/arch/ alone"


def test_what_is_allowed_with_a_reason(tmp_path: pathlib.Path) -> None:
    root = write(tmp_path, {f"{BUILD}/lab/image.py": "apt = 1\n", f"{BUILD}/kernel/image.py": "apt = 1\n"})
    lab = seams.Allowed(f"{BUILD}/lab/", "^apt$", "it boots packages")
    unused = seams.Allowed(f"{BUILD}/lab/", "^dpkg$", "it boots packages")
    found = list(seams.problems(root, allowed=(lab, unused)))
    assert [line.partition(": ")[0] for line in found] == [f"{BUILD}/kernel/image.py:1", f"{BUILD}/lab/"]
    assert "says ^dpkg$" in found[1]
