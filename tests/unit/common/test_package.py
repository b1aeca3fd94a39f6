# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package that was changed on its way is refused with a code; of every other one the target reads what was built."""

from __future__ import annotations

import copy
import hashlib
import json
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._common import package
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support import other_numbers
from ansible_collections.rebootless.splice.tests.support import package as packages
from ansible_collections.rebootless.splice.tests.support.package import (
    FILES,
    MANIFEST,
    build,
    compress,
    member,
    pack,
    rows_of,
)


def refusal(content: bytes, **arguments: str) -> RebootlessError:
    with pytest.raises(RebootlessError) as refused:
        package.parse_package("p", content, **arguments)
    assert refused.value.sentence.endswith(".")
    assert refused.value.next_step
    return refused.value


WHOLE = build()


def whole() -> package.Package:
    return package.parse_package("p", WHOLE)


def test_reads_what_was_built():
    read = package.parse_package("p", WHOLE)
    assert (read.name, read.version, read.digest) == ("cve-2026-52928", "1.0", "ab" * 32)
    assert read.files == FILES
    assert read.sha256 == hashlib.sha256(WHOLE).hexdigest()


def test_reads_from_a_file(tmp_path):
    path = tmp_path / "update.rbl.tar.gz"
    path.write_bytes(WHOLE)
    assert package.read_package(str(path), hashlib.sha256(WHOLE).hexdigest().upper()).content == WHOLE


def test_names_a_missing_file(tmp_path):
    with pytest.raises(RebootlessError) as refused:
        package.read_package(str(tmp_path / "none"))
    assert refused.value.code == "package_missing"


def test_refuses_another_digest_before_anything_is_parsed():
    error = refusal(b"no package at all", sha256="0" * 64)
    assert error.code == "package_digest_mismatch"
    assert error.details["found"] == hashlib.sha256(b"no package at all").hexdigest()


@given(st.integers(min_value=0, max_value=len(WHOLE) - 1))
def test_refuses_every_truncation(length):
    assert refusal(WHOLE[:length]).code == "package_damaged"


@given(st.integers(min_value=0, max_value=len(WHOLE) * 8 - 1))
def test_no_flipped_bit_changes_what_is_read(bit):
    flipped = bytearray(WHOLE)
    flipped[bit // 8] ^= 1 << bit % 8
    assert refusal(bytes(flipped), sha256=hashlib.sha256(WHOLE).hexdigest()).code == "package_digest_mismatch"
    # A deflate stream has a few bits that say nothing, such as lengths of codes that do not occur.
    try:
        read = package.parse_package("p", bytes(flipped))
    except RebootlessError as error:
        assert error.code in ("package_damaged", "package_unsafe")
    else:
        assert (read.manifest, read.files) == (whole().manifest, FILES)


def test_refuses_flipped_bits_of_the_header():
    for bit in range(len(package.GZIP_HEADER) * 8):
        flipped = bytearray(WHOLE)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refusal(bytes(flipped)).code == "package_damaged"


@given(st.binary(min_size=1, max_size=64))
def test_refuses_what_follows_the_end(extra):
    assert refusal(WHOLE + extra).code == "package_damaged"


@given(st.binary(max_size=300))
def test_refuses_arbitrary_bytes(content):
    assert refusal(content).code == "package_damaged"


@given(st.binary(max_size=3000))
def test_refuses_arbitrary_archives(content):
    assert refusal(compress(content)).code in ("package_damaged", "package_unsafe")


@pytest.mark.parametrize("name", sorted(FILES))
def test_refuses_a_member_that_differs_from_the_manifest(name):
    rows = rows_of(FILES)
    changed = {**FILES, name: FILES[name][:-1] + b"?"}
    assert refusal(build({**MANIFEST, "files": rows}, changed)).code == "package_damaged"


@pytest.mark.parametrize("name", sorted(FILES))
def test_refuses_a_missing_member(name):
    assert refusal(build(files={key: body for key, body in FILES.items() if key != name})).code == "package_damaged"


UNSAFE = {
    "absolute": member("/etc/passwd", 1),
    "parent": member("../update.ko", 1),
    "directory": member("update.ko", 0, tarfile.DIRTYPE),
    "symlink": member("update.ko", 0, tarfile.SYMTYPE),
    "hardlink": member("update.ko", 0, tarfile.LNKTYPE),
    "device": member("update.ko", 0, tarfile.CHRTYPE),
    "fifo": member("update.ko", 0, tarfile.FIFOTYPE),
    "unknown": member("more.ko", 1),
}


@pytest.mark.parametrize("kind", sorted(UNSAFE))
def test_refuses_unsafe_members(kind):
    assert refusal(pack([(UNSAFE[kind], b"x")])).code == "package_unsafe"


def test_refuses_a_member_twice():
    assert refusal(pack([(member("update.ko", 1), b"x"), (member("update.ko", 1), b"y")])).code == "package_unsafe"


def test_refuses_a_manifest_that_is_not_first():
    text = json.dumps(MANIFEST).encode()
    rows = [(member("update.ko", 1), b"x"), (member("manifest.json", len(text)), text)]
    assert refusal(pack(rows)).code == "package_damaged"


def test_refuses_to_fill_the_memory(monkeypatch):
    monkeypatch.setattr(package, "MAX_UNPACKED", 1 << 20)
    assert refusal(compress(bytes(2 << 20))).code == "package_unsafe"


def test_names_another_format():
    error = refusal(build({**MANIFEST, "format": 3}))
    assert error.code == "package_format"
    assert "format 3" in error.sentence


def test_has_a_match_program_for_each_object():
    files = {**FILES, "match/kvm_intel.bin": b"RBLMATCH more"}
    manifest = {**MANIFEST, "objects": ["vmlinux", "kvm_intel"]}
    read = package.parse_package("p", build(manifest, files))
    assert read.programs == {"vmlinux": FILES["match/vmlinux.bin"], "kvm_intel": b"RBLMATCH more"}
    assert refusal(build(manifest)).code == "package_damaged"
    assert refusal(build(files=files)).code == "package_damaged"


@pytest.mark.parametrize("name", ["match/../update.ko", "match/.bin", "match/a/b.bin", "match/a.bin/x", "match.bin"])
def test_refuses_programs_with_odd_names(name):
    assert refusal(build(files={**FILES, name: b"x"})).code == "package_unsafe"


@given(
    st.sampled_from([keys for keys, _check, _wanted in package.MANIFEST_FIELDS]),
    st.one_of(st.none(), st.integers(), st.just(["a", 1]), st.just("../x"), st.just({"a": []})),
)
def test_never_stumbles_over_a_manifest(keys, value):
    manifest = copy.deepcopy(MANIFEST)
    place = manifest
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    try:
        read = package.parse_package("p", build(manifest))
    except RebootlessError as error:
        assert error.code == "package_damaged"
    else:  # a string where any string will do
        assert value == "../x"
        assert package.NAME.fullmatch(read.name)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE])
def test_refuses_headers_of_other_kinds_before_they_are_followed(kind):
    """``tarfile`` calls itself for each extended header that follows another: a thousand of them end its stack."""
    header = member("x", kind=kind).tobuf(tarfile.USTAR_FORMAT)
    assert refusal(compress(header * 1000 + bytes(1024))).code == "package_unsafe"


def test_whole_numbers_of_a_manifest_are_no_others():
    manifest = {**packages.MANIFEST, "files": packages.rows_of(packages.FILES)}
    package.parse_package("p", packages.build(manifest))
    places = set()
    for place, _other, changed in other_numbers.variants(manifest):
        places.add(place[0])
        assert refusal(packages.build(changed)).code in ("package_format", "package_damaged"), place
    assert places == {"format", "files"}
