# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest is read as strictly as it is written, and has the bytes that it had in earlier releases."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import parse_manifest
from ansible_collections.rebootless.splice.tests.support import other_numbers

SIGNER = {"subject": "CN=Fleet", "fingerprint": "ab" * 32, "key_id": "36b6", "hash": "sha256"}
BUILT = {
    "release": "6.1.0-50-cloud-amd64",
    "version": "6.1.176-1",
    "build_id": "50" * 20,
    "arch": "x86_64",
    "status": "built",
    "package": "x-1-505050505050.rbl.tar.gz",
    "sha256": "50" * 32,
    "size": 91668,
    "build_digest": "ab" * 32,
    "functions": ["unix_ioctl"],
    "objects": ["vmlinux"],
    "compiler": "gcc-12",
    "code": "",
    "sentence": "",
    "next_step": "",
    "findings": [],
    "built": "2026-11-23T12:00:00Z",
    "build_host": "builder1",
    "remarks": [{"code": "existing_objects", "sentence": "Only new ones.", "details": {}}],
}
REFUSED = {
    **{name: value for name, value in BUILT.items() if name != "remarks"},
    "package": "",
    "sha256": "",
    "size": 0,
    "build_digest": "",
    "functions": [],
    "objects": [],
    "compiler": "",
    "release": "6.1.0-47-cloud-amd64",
    "build_id": "47" * 20,
    "status": "refused",
    "code": "unsafe_change",
    "sentence": "It cannot be made live.",
    "next_step": "Reboot.",
    "findings": [{"code": "layout_changed"}],
}
MANIFEST = {
    "format": 1,
    "name": "x",
    "version": "1",
    "cves": ["CVE-1"],
    "fixed_in": {"linux": ["6.1.187-1"]},
    "patches": [{"name": "01-x.patch", "sha256": "cd" * 32, "size": 9}],
    "custom": [{"name": "01-x.c", "sha256": "ef" * 32, "size": 7, "source": "net/unix/af_unix.c"}],
    "kernels": [REFUSED, BUILT],
}


def changed(*path: str | int, **fields: t.Any) -> dict[str, t.Any]:
    """The manifest with other fields at a place; a field that is None is left out."""
    data = copy.deepcopy(MANIFEST)
    row: t.Any = data
    for part in path:
        row = row[part]
    for name, value in fields.items():
        row[name] = value
        if value is None:
            del row[name]
    return data


def test_the_files_that_may_be_missing_are_a_set():
    for place in ((), ("kernels", 1)):
        listed = changed(*place, ignore_missing=["mm/a.c", "mm/b.c"])
        assert parse_manifest(listed, "The manifest").to_json() == listed
        for odd in ([], ["mm/b.c", "mm/a.c"], ["mm/a.c", "mm/a.c"], [""], "mm/a.c", [1]):
            with pytest.raises(RebootlessError, match="a sorted list of paths, each once"):
                parse_manifest(changed(*place, ignore_missing=odd), "The manifest")


def test_the_signer_is_written_again():
    data = changed("kernels", 1, signer=SIGNER)
    assert parse_manifest(data, "The manifest").to_json() == data


def test_what_is_read_is_written_again():
    manifest = parse_manifest(MANIFEST, "The manifest")
    assert manifest.to_json() == MANIFEST
    assert manifest.digest == "71987a5f7372e81b43dba46fddfda1c9589896d9a331b28d548d8ee627f54a74"
    assert sorted(manifest.files) == ["custom/01-x.c", "patches/01-x.patch", "x-1-505050505050.rbl.tar.gz"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (changed(format=2), "format: 2"),
        (changed(colour="red"), "unknown field 'colour'"),
        (changed(cves=None), "lacks 'cves'"),
        (changed(fixed_in={"linux": ["six"]}), "versions"),
        (changed(kernels=["x"]), "kernels: ['x'], which is not a list of tables"),
        (changed("patches", 0, name="../x"), "a patch, has name: '../x', which is not the name of a file"),
        (changed("patches", 0, source="a.c"), "a patch, has the unknown field 'source'"),
        (changed("custom", 0, source=None), "a custom code, lacks 'source'"),
        (changed("kernels", 0, status="done"), "kernel 6.1.0-47-cloud-amd64, has status: 'done'"),
        (changed("kernels", 0, release=None), "kernel , lacks 'release'"),
        (changed("kernels", 0, code=""), "kernel 6.1.0-47-cloud-amd64, has neither a package nor a reason"),
        (changed("kernels", 0, build_id=BUILT["build_id"]), "kernel 6.1.0-50-cloud-amd64, has the build ID 5050"),
        (changed("kernels", 1, size=0), "kernel 6.1.0-50-cloud-amd64, has size: 0, which is not a number of bytes"),
        (changed("kernels", 1, sha256=""), "sha256: '', which is not 64 hex digits"),
        (changed("kernels", 1, build_digest="x"), "build_digest: 'x', which is not 64 hex digits"),
        (changed("kernels", 1, package="../x.rbl.tar.gz"), "which is not the name of a package file"),
        (changed("kernels", 1, signer={}), "signer: {}, which is not a signer"),
        (changed("kernels", 1, signer={**SIGNER, "key_id": 7}), "which is not a signer"),
        (changed("kernels", 1, remarks=[]), "remarks: [], which is not a list of tables"),
    ],
)
def test_anything_else_is_refused(data, said):
    with pytest.raises(RebootlessError) as caught:
        parse_manifest(data, "The manifest m.json")
    assert caught.value.code == "bad_manifest"
    assert caught.value.sentence.startswith("The manifest m.json")
    assert said in caught.value.sentence


def test_whole_numbers_are_no_others():
    parse_manifest(MANIFEST, "The manifest")
    places = set()
    for place, other, changed in other_numbers.variants({**MANIFEST, "custom": []}):
        with pytest.raises(RebootlessError) as caught:
            parse_manifest(changed, "The manifest")
        assert caught.value.code == "bad_manifest", (place, other)
        places.add(place[0])
    assert places == {"format", "kernels", "patches"}
