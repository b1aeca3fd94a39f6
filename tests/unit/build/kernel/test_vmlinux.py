# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading kernel images: boot images in every compression, segments, notes, and the kernel's own symbol table."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import random
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel import kallsyms_table
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.vmlinux import VmlinuxImage
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.matching import kernel_image
from ansible_collections.rebootless.splice.tests.support.matching.kernel_image import BASE

some = settings(max_examples=25, deadline=None, database=None)


def symbols_of(seed, number, percpu=True):
    rng = random.Random(seed)
    letters = "_abcdefghijklmnopqrstuvwxyzABCXYZ0123456789."
    symbols, address = [], 0
    for index in range(number):
        kernel = index >= number // 8 or not percpu
        address = max(address, BASE) if kernel else address
        name = "".join(rng.choices(letters, k=rng.choice((1, 2, 8, 20, 160))))
        symbols.append((rng.choice("tTdDrb") if kernel else "A", name, address))
        address += rng.choice((0, 1, 16, 400, 5000))
    return symbols


def image_of(tmp_path, content):
    path = tmp_path / "vmlinuz"
    path.write_bytes(content)
    return VmlinuxImage(path)


# ---- the symbol table ----


@some
@given(st.integers(0, 2**32), st.integers(257, 1200), st.booleans(), st.booleans(), st.booleans())
def test_every_layout_of_the_symbol_table_is_decoded(seed, number, late, sequences, absolute_percpu):
    symbols = symbols_of(seed, number, absolute_percpu)
    tables = kernel_image.symbol_tables(symbols, late=late, sequences=sequences, absolute_percpu=absolute_percpu)
    rng = random.Random(seed)
    # other data around, some of which looks like the beginning of a token table
    before = rng.randbytes(8 * rng.randrange(1, 400)) + kallsyms_table.DIGITS + bytes(4)
    assert kallsyms_table.decode(before + tables + rng.randbytes(rng.randrange(5000))) == symbols


@pytest.mark.parametrize("number", [511, 512, 513, 768])
@pytest.mark.parametrize("late", [False, True])
def test_a_whole_number_of_blocks_is_no_special_case(number, late):
    symbols = symbols_of(number, number)
    assert kallsyms_table.decode(bytes(64) + kernel_image.symbol_tables(symbols, late=late)) == symbols


@some
@given(st.integers(0, 2**32), st.booleans())
def test_a_damaged_symbol_table_is_an_error_or_has_other_names_only(seed, late):
    symbols = symbols_of(seed, 300)
    tables = bytearray(bytes(64) + kernel_image.symbol_tables(symbols, late=late))
    rng = random.Random(seed)
    for _unused in range(10):
        tables[rng.randrange(64, len(tables))] ^= rng.randrange(1, 256)
    with contextlib.suppress(ValueError, struct.error, IndexError):
        assert len(kallsyms_table.decode(bytes(tables))) == len(symbols)


def test_data_without_a_symbol_table_says_so():
    with pytest.raises(kallsyms_table.TableError):
        kallsyms_table.decode(random.Random(0).randbytes(100000) + kallsyms_table.DIGITS)


# ---- the kernel ----


def test_an_image_is_read_as_it_is_loaded(tmp_path):
    symbols = symbols_of(1, 400)
    code = bytes(range(256)) + kernel_image.symbol_tables(symbols)
    image = image_of(
        tmp_path, kernel_image.elf([(BASE, code, len(code)), (BASE + 0x800000, b"data", 64), (0, b"percpu", 6)])
    )
    assert image.build_id == bytes(range(20)).hex()
    assert image.read(BASE + 16, 4) == bytes((16, 17, 18, 19))
    assert image.read(BASE + 0x800000, 6) == b"data\0\0"
    assert image.read(BASE + 0x800000 + 60, 4) == bytes(4)
    assert image.read(2, 4) == b"rcpu"
    for address, length in (
        (BASE - 1, 2),
        (BASE + 0x800000 + 60, 5),
        (7, 1),
        (BASE + len(code) - 1, 2),
        (2**64 - 1, 8),
    ):
        assert image.read(address, length) is None
    assert image.symbols == symbols
    letter, name, address = symbols[200]
    assert image.lookup(name, "vmlinux") == image.lookup(name, "") == [a for _unused, n, a in symbols if n == name]
    assert address in image.lookup(name, "")
    assert image.lookup(name, "ext4") == [] == image.lookup("no such name", "")


def test_the_code_is_not_always_the_largest_segment(tmp_path):
    symbols = symbols_of(2, 400)
    code, data = kernel_image.symbol_tables(symbols), bytes(100000)
    image = image_of(tmp_path, kernel_image.elf([(BASE, code, len(code)), (BASE + 0x800000, data, len(data))]))
    assert image.symbols == symbols


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"MZ" + bytes(5000), id="no setup header"),
        pytest.param(kernel_image.elf([(BASE, b"code", 4)], machine=183), id="another architecture"),
        pytest.param(kernel_image.elf([(BASE, b"code", 4)], note=b""), id="no build ID"),
        pytest.param(kernel_image.elf([]), id="no section"),
        pytest.param(kernel_image.elf([(BASE, b"code", 4)])[:-10], id="truncated ELF"),
        pytest.param(kernel_image.boot_image(gzip.compress(b"\x7fELF"), protocol=0x207), id="old protocol"),
        pytest.param(kernel_image.boot_image(b"\x7fELF")[:-20], id="truncated"),
        pytest.param(kernel_image.boot_image(b"no kernel"), id="not compressed"),
        pytest.param(kernel_image.boot_image(gzip.compress(b"no kernel")), id="compressed, no ELF"),
        pytest.param(kernel_image.boot_image(b"\xfd7zXZ\0 and more"), id="damaged xz"),
    ],
)
def test_what_is_no_usable_image_says_why(tmp_path, content):
    with pytest.raises(RebootlessError) as refusal:
        image_of(tmp_path, content)
    assert refusal.value.code == "bad_image"
    assert refusal.value.details["path"] == str(tmp_path / "vmlinuz")
    assert refusal.value.next_step


def test_an_image_without_symbols_is_still_an_image(tmp_path):
    image = image_of(tmp_path, kernel_image.elf([(BASE, b"code", 4)]))
    assert image.read(BASE, 4) == b"code"
    with pytest.raises(RebootlessError) as refusal:
        image.lookup("f", "vmlinux")
    assert refusal.value.code == "bad_image"


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(RebootlessError) as refusal:
        VmlinuxImage(tmp_path / "vmlinuz")
    assert refusal.value.code == "bad_image"


# ---- the boot image ----


def by_tool(*command):
    return lambda data: subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


BCJ = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 6}]
COMPRESSORS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32, filters=BCJ),
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zstd": by_tool("zstd", "-cq"),
    "lz4": by_tool("lz4", "-lcq"),
}


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("sectors", [3, 0])
def test_each_compression_is_undone(tmp_path, name, sectors):
    kernel = kernel_image.elf([(BASE, random.Random(2).randbytes(5000) + bytes(50000), 60000)])
    payload = COMPRESSORS[name](kernel)
    if name != "gzip":
        payload += struct.pack("<I", len(kernel))
    image = image_of(tmp_path, kernel_image.boot_image(payload, sectors))
    assert image.read(BASE, 5000) == random.Random(2).randbytes(5000)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_damage_in_each_compression_is_seen(tmp_path, name):
    kernel = kernel_image.elf([(BASE, random.Random(2).randbytes(5000), 60000)])
    payload = bytearray(COMPRESSORS[name](kernel))
    if name != "gzip":
        payload += struct.pack("<I", len(kernel))
    shorter = payload[: len(payload) // 2]
    longer = payload[:-4] + struct.pack("<I", len(kernel) + 1)
    for damaged in (shorter, longer):
        with pytest.raises(RebootlessError) as refusal:
            image_of(tmp_path, kernel_image.boot_image(bytes(damaged)))
        assert refusal.value.code == "bad_image"


@pytest.mark.parametrize("name", ["lz4"])
def test_a_missing_tool_is_named(tmp_path, monkeypatch, name):
    payload = COMPRESSORS[name](b"\x7fELF") + struct.pack("<I", 4)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RebootlessError) as refusal:
        image_of(tmp_path, kernel_image.boot_image(payload))
    assert (refusal.value.code, refusal.value.details["tool"]) == ("missing_tool", name)
    assert name in refusal.value.next_step
