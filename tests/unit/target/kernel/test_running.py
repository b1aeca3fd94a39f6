# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running kernel as the matcher's target: symbol table, memory, and what applied updates hide."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import running as running_kernel
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kallsyms import Kallsyms
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.kcore import Kcore
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.running import RunningKernel
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.tracing import parse_traced_functions

TEXT = 0xFFFFFFFF81000000
TABLE = """\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000100 t helper
ffffffff81000200 t helper
ffffffffc0000000 t helper\t[ext4]
ffffffffc0001000 t helper\t[rbl_fix]
ffffffffc0002000 T helped\t[ext4]
ffffffffc0003000 t bpf_prog_1234\t[bpf]
ffffffffc0004000 t dashed\t[a_b]
"""


@pytest.fixture
def table(tmp_path):
    def make(text):
        path = tmp_path / "kallsyms"
        path.write_text(text)
        return Kallsyms(str(path))

    return make


@pytest.fixture
def core(tmp_path):
    """A core file with one segment of text and one without any bytes in the file."""
    path = tmp_path / "kcore"
    text = bytes(range(256)) * 16
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01".ljust(16, b"\0"), 4, 62, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0
    )
    rows = [(4, 0, 0, 0), (1, TEXT, 4096, len(text)), (1, 0xFFFF888000000000, 1 << 40, 1 << 30)]
    for kind, address, offset, size in rows:
        header += struct.pack("<IIQQQQQQ", kind, 7, offset, address, 0, size, size, 4096)
    path.write_bytes(header.ljust(4096, b"\0") + text)
    return path


@pytest.fixture(autouse=True)
def traced(monkeypatch):
    """Functions that the kernel says are traced; the tests' own machine has no say."""
    functions: set[tuple[str, str]] = set()
    monkeypatch.setattr(running_kernel, "traced_functions", lambda: functions)
    return functions


@pytest.fixture
def applied(monkeypatch):
    """Makes the helper module show these functions of one applied update."""

    def show(*rows):
        monkeypatch.setattr(sysfs, "names", lambda: ["fix"])
        monkeypatch.setattr(sysfs, "functions", lambda name: sysfs.parse_functions("\n".join(rows)))

    return show


# ---- symbols ----


def test_names_are_told_apart_by_their_object(table):
    symbols = table(TABLE)
    symbols.prefetch({("helper", "vmlinux"), ("helper", "ext4"), ("helper", ""), ("absent", "")})
    assert symbols.lookup("helper", "vmlinux") == [TEXT + 0x100, TEXT + 0x200]
    assert symbols.lookup("helper", "ext4") == [0xFFFFFFFFC0000000]
    assert symbols.lookup("dashed", "a-b") == symbols.lookup("dashed", "a_b") == [0xFFFFFFFFC0004000]
    assert symbols.lookup("helper", "") == [TEXT + 0x100, TEXT + 0x200, 0xFFFFFFFFC0000000]
    assert symbols.lookup("helper", "xfs") == symbols.lookup("absent", "") == []


def test_carried_code_is_no_candidate_for_what_it_replaces(table):
    assert table(TABLE).lookup("helper", "rbl_fix") == []


def test_names_that_were_not_announced_are_found_too(table):
    symbols = table(TABLE)
    symbols.prefetch({("_stext", "vmlinux")})
    assert symbols.lookup("helped", "ext4") == [0xFFFFFFFFC0002000]
    assert symbols.lookup("fixed_percpu_data", "vmlinux") == [0]


def test_hidden_addresses_say_how_to_see_them(table):
    hidden = "".join(f"{0:016x} {line.split(' ', 1)[1]}\n" for line in TABLE.splitlines())
    for text in (hidden, ""):
        with pytest.raises(RebootlessError) as refusal:
            table(text).prefetch({("helper", "vmlinux")})
        assert refusal.value.code == "kallsyms_hidden"
        assert "kptr_restrict" in refusal.value.next_step


def test_a_missing_table_says_so(tmp_path):
    with pytest.raises(RebootlessError) as refusal:
        Kallsyms(str(tmp_path / "none")).lookup("helper", "")
    assert refusal.value.code == "kallsyms_missing"


# ---- memory ----


def test_memory_is_read_by_address(core):
    with Kcore(str(core)) as memory:
        assert memory.read(TEXT, 4) == bytes((0, 1, 2, 3))
        assert memory.read(TEXT + 4092, 4) == bytes((252, 253, 254, 255))
        for address, length in ((TEXT - 1, 2), (TEXT + 4095, 2), (0, 8), (0xFFFF888000000000, 8), (2**64 - 4, 8)):
            assert memory.read(address, length) is None


@pytest.mark.parametrize("content", [b"", b"no core file".ljust(4096), None])
def test_what_is_no_core_file_is_refused(core, content):
    if content is None:
        content = bytearray(core.read_bytes())
        content[16] = 2  # an executable
    core.write_bytes(content)
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RebootlessError) as refusal:
        Kcore(str(core))
    assert refusal.value.code == "kcore_unusable"
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize(
    ("number", "lockdown", "code", "words"),
    [
        (errno.EPERM, "none integrity [confidentiality]", "kcore_forbidden", "locked down"),
        (errno.EPERM, "none [integrity] confidentiality", "kcore_forbidden", "not permitted"),
        (errno.EACCES, "", "kcore_forbidden", "not permitted"),
        (errno.ENOENT, "", "kcore_missing", "does not offer"),
    ],
)
def test_memory_that_may_not_be_read_says_why(tmp_path, monkeypatch, number, lockdown, code, words):
    def refuse(path, flags):
        raise OSError(number, os.strerror(number), path)

    (tmp_path / "lockdown").write_text(lockdown)
    monkeypatch.setattr(facts, "LOCKDOWN", str(tmp_path / "lockdown") if lockdown else str(tmp_path / "none"))
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(RebootlessError) as refusal:
        Kcore()
    assert refusal.value.code == code
    assert words in refusal.value.sentence
    assert refusal.value.next_step


# ---- both, under applied updates ----


def jump_row(core, address, saved, in_place="yes", target=0xFFFFFFFFC0001000, written=None):
    """A row of the helper module's `functions`, and the jump in memory."""
    content = bytearray(core.read_bytes())
    jump = b"\xe9" + struct.pack("<i", target - address - 5) if written is None else written
    content[4096 + address - TEXT : 4096 + address - TEXT + 5] = jump
    core.write_bytes(content)
    return f"f {address - 5:#x} {target:#x} {address:#x} {saved.hex()} {in_place}"


@pytest.mark.parametrize("in_place", ["yes", "bypassed"])
def test_original_bytes_show_under_the_jumps_of_updates(core, table, applied, in_place):
    original = bytes((0x45, 0x46, 0x47, 0x48, 0x49))
    applied(jump_row(core, TEXT + 0x45, original, in_place))
    with RunningKernel(Kcore(str(core)), table(TABLE)) as kernel:
        for start, length in ((0, 4096), (0x45, 5), (0x47, 1), (0x40, 7), (0x48, 100), (0x4A, 3), (0x44, 1)):
            expected = (bytes(range(256)) * 16)[start : start + length]
            assert kernel.read(TEXT + start, length) == expected
        assert kernel.read(0, 8) is None
        kernel.prefetch({("helped", "ext4")})
        assert kernel.lookup("helped", "ext4") == [0xFFFFFFFFC0002000]


@pytest.mark.parametrize("change", [{"in_place": "no"}, {"written": b"\xcc\1\2\3\4"}, {"written": b"\xe9\1\2\3\4"}])
def test_what_is_no_jump_of_an_update_shows_as_it_is(core, table, applied, change):
    """A reversed update, a kprobe on the jump, a jump of another live patch."""
    applied(jump_row(core, TEXT + 0x45, bytes(5), **change))
    running = core.read_bytes()[4096 + 0x45 :][:5]
    with RunningKernel(Kcore(str(core)), table(TABLE)) as kernel:
        assert kernel.read(TEXT + 0x45, 5) == running


def test_rows_whose_addresses_are_hidden_are_passed_over(core, table, applied):
    """With kernel.kptr_restrict=2; that symbols cannot be looked up is for others to refuse."""
    applied("f 0x0 0x0 0x0 - yes")
    with RunningKernel(Kcore(str(core)), table(TABLE)) as kernel:
        assert kernel.read(TEXT + 0x45, 5) == bytes(range(0x45, 0x4A))


# ---- traced functions ----


def test_a_mere_tracer_at_the_entry_is_not_shown(core, table, traced):
    traced.add(("_stext", "vmlinux"))
    code = bytearray(core.read_bytes())
    for entry, before in ((4096, b""), (4096 + 0x100, bytes.fromhex("f30f1efa"))):
        code[entry : entry + len(before) + 5] = before + b"\xe8\1\2\3\4"
    core.write_bytes(code)
    nop = bytes.fromhex("0f1f440000")
    with RunningKernel(Kcore(str(core)), table(TABLE)) as kernel:
        kernel.prefetch({("helper", "vmlinux")})
        assert kernel.read(TEXT, 6) == nop + bytes([5])
        assert kernel.read(TEXT + 0x100, 9) == bytes(code[4096 + 0x100 :][:9]), "not said to be traced"
        traced.add(("helper", "vmlinux"))
        kernel.prefetch({("helper", "vmlinux")})
        assert kernel.read(TEXT + 0x100, 10) == bytes.fromhex("f30f1efa") + nop + bytes([9]), "behind endbr64"
        assert kernel.read(TEXT + 0x200, 5) == bytes(range(5)), "of the same name, but no call stands there"
        for start in range(0x100, 0x10A):
            assert kernel.read(TEXT + start, 1) == (bytes.fromhex("f30f1efa") + nop + bytes([9]))[start - 0x100 :][:1]


def test_only_functions_that_still_run_count_as_merely_traced():
    text = """\
vfs_read (1)            \ttramp: ftrace_regs_caller+0x0/0x65 (kprobe_ftrace_handler+0x0/0x1b0)
unix_ioctl (1) R I    \ttramp: 0xffffffffc0231000 (klp_ftrace_handler+0x0/0x220)
ext4_readdir [ext4] (2) R   D
\tdirect-->bpf_trampoline_6442+0x0/0x1000
twin (1)
twin (1)   I
newer (1)           O M
#### 5 functions ####
"""
    assert parse_traced_functions(text) == {("vfs_read", "vmlinux"), ("ext4_readdir", "ext4"), ("newer", "vmlinux")}
