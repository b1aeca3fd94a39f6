# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store holds exactly what was brought to it, says so when it does not, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import parse_package
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store import contribution
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.contribution import ListedBuild
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.store import Store
from ansible_collections.rebootless.splice.tests.support.fleet.packages import package
from ansible_collections.rebootless.splice.tests.support.fleet.samples import BUILD_ID, RELEASE
from ansible_collections.rebootless.splice.tests.support.signers import make_signer, product_signer, resigned

NAME, VERSION = "cve-2026-52928", "1.0"
FINDING = {"code": "layout_changed", "sentence": "struct foo grew from 64 to 72 bytes.", "details": {}}
REFUSED = {
    "failed": True,
    "code": "unsafe_change",
    "sentence": "The update cannot be made live.",
    "next_step": "Reboot.",
    "details": {"findings": [FINDING]},
}
NOT_HERE = {
    "applicable": False,
    "not_applicable": [{"file": "a.c", "code": "not_built", "reason": "a.c is not built."}],
}


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def options(tmp_path) -> dict:
    (tmp_path / "my fix.patch").write_text("--- a/x\n+++ b/x\n")
    return {
        "name": NAME,
        "version": VERSION,
        "cves": ["CVE-2026-52928"],
        "patches": [str(tmp_path / "my fix.patch")],
        "custom": [],
        "fixed_in": ["6.1.187-1"],
        "ignore_missing": [],
    }


def build(kernel: str, **outcome) -> ListedBuild:
    return ListedBuild(RELEASE[kernel], BUILD_ID[kernel], build_host="builder", **outcome)


def add(store: Store, options: dict, *builds: ListedBuild, dry: bool = False):
    update, files = contribution.describe(options)
    for row in builds:
        entry, content = contribution.entry(update, row)
        update, files = update.with_kernels([entry]), {**files, **content}
    return store.add(update, files, dry)


def test_everything_has_a_digest(store, options, tmp_path):
    path = package(tmp_path, RELEASE["50"], BUILD_ID["50"])
    change = add(store, options, build("50", package=path), build("47", result=REFUSED))
    assert change.written == [pathlib.Path(path).name, "patches/01-my_fix.patch", "manifest.json"]
    manifest = store.manifest(NAME, VERSION)
    assert manifest == change.after
    assert manifest.fixed_in == {"linux": ["6.1.187-1"]}
    built, refused = manifest.kernel(BUILD_ID["50"]), manifest.kernel(BUILD_ID["47"])
    assert built.status == "built"
    assert built.sha256 == disk.sha256_of_file(path) == disk.sha256_of_file(store.path(NAME, VERSION, built.package))
    assert (built.functions, built.objects, built.build_host) == (["unix_ioctl"], ["vmlinux"], "builder")
    assert (refused.status, refused.code, refused.findings) == ("refused", "unsafe_change", [FINDING])
    index = json.loads(pathlib.Path(store.root, "index.json").read_text())
    (row,) = index["updates"]
    assert (row["name"], row["manifest_sha256"]) == (NAME, manifest.digest)
    assert row["manifest_sha256"] == disk.sha256_of_file(pathlib.Path(store.root, row["manifest"]))
    assert row["kernels"] == {"built": 1, "not_applicable": 0, "refused": 1, "failed": 0}
    store.verify(manifest)


def test_the_same_again_changes_nothing(store, options, tmp_path):
    path = package(tmp_path, RELEASE["50"], BUILD_ID["50"])
    builds = [build("50", package=path), build("47", result=REFUSED)]
    assert add(store, options, *builds, dry=True).changed
    assert not pathlib.Path(store.root).exists()
    assert add(store, options, *builds).changed
    files = {path: path.stat().st_mtime_ns for path in pathlib.Path(store.root).rglob("*") if path.is_file()}
    again = [dataclasses.replace(row, build_host="other") for row in builds]
    assert not add(store, options, *again).changed
    assert not add(store, options, dry=True).changed
    written = {path: path.stat().st_mtime_ns for path in pathlib.Path(store.root).rglob("*") if path.is_file()}
    assert {path.name for path in written if written[path] != files[path]} <= {".lock"}


def test_kernels_are_added_one_by_one(store, options, tmp_path):
    add(store, options)
    assert store.manifest(NAME, VERSION).kernels == []
    add(store, options, build("50", package=package(tmp_path, RELEASE["50"], BUILD_ID["50"])))
    add(store, options, build("47", result=NOT_HERE))
    assert [(row.release, row.status) for row in store.manifest(NAME, VERSION).kernels] == [
        (RELEASE["47"], "not_applicable"),
        (RELEASE["50"], "built"),
    ]


def test_a_package_is_not_given_up_for_a_failure(store, options, tmp_path):
    add(store, options, build("50", package=package(tmp_path, RELEASE["50"], BUILD_ID["50"])))
    assert not add(store, options, build("50", result={"msg": "connection lost"})).changed
    assert add(store, options, build("50", result=REFUSED)).changed  # it was asked to be built again


def test_a_failure_is_replaced(store, options, tmp_path):
    add(store, options, build("50", result={"msg": "Traceback\nmore"}))
    row = store.manifest(NAME, VERSION).kernel(BUILD_ID["50"])
    assert (row.status, row.code, row.sentence) == ("failed", "build_broke", "Traceback")
    add(store, options, build("50", package=package(tmp_path, RELEASE["50"], BUILD_ID["50"])))
    assert store.manifest(NAME, VERSION).kernel(BUILD_ID["50"]).status == "built"


def test_a_version_is_one_content(store, options, tmp_path):
    add(store, options, build("50", package=package(tmp_path, RELEASE["50"], BUILD_ID["50"])))
    (tmp_path / "my fix.patch").write_text("--- a/y\n+++ b/y\n")
    with pytest.raises(RebootlessError) as caught:
        add(store, options)
    assert caught.value.code == "update_differs"
    assert add(store, {**options, "version": "1.1"}).changed
    assert store.versions() == [(NAME, "1.0"), (NAME, "1.1")]


def test_a_damaged_package_was_one(store, options, tmp_path):
    add(store, options, build("50", package=package(tmp_path, RELEASE["50"], BUILD_ID["50"])))
    next(pathlib.Path(store.path(NAME, VERSION)).glob("*.rbl.tar.gz")).unlink()
    add(store, options)
    assert store.manifest(NAME, VERSION).kernel(BUILD_ID["50"]).code == "store_damaged"
    (tmp_path / "my fix.patch").write_text("--- a/y\n+++ b/y\n")
    with pytest.raises(RebootlessError) as caught:
        add(store, options)
    assert caught.value.code == "update_differs"


def test_a_patch_that_nobody_could_build_for_is_corrected(store, options, tmp_path):
    add(store, options, build("50", result=REFUSED))
    corrected = tmp_path / "corrected.patch"
    corrected.write_text("--- a/y\n+++ b/y\n")
    change = add(store, {**options, "patches": [str(corrected)]})
    assert change.written == ["patches/01-corrected.patch", "manifest.json"]
    manifest = store.manifest(NAME, VERSION)
    assert manifest.kernels == []  # it is tried again for every kernel
    store.verify(manifest)
    assert [path.name for path in pathlib.Path(store.path(NAME, VERSION, "patches")).iterdir()] == [
        "01-corrected.patch"
    ]


def test_an_empty_patch(options, tmp_path):
    (tmp_path / "my fix.patch").write_text("\n")
    with pytest.raises(RebootlessError) as caught:
        contribution.describe(options)
    assert caught.value.code == "bad_update"


def test_what_is_known_of_the_fix_may_change(store, options):
    add(store, options)
    assert add(store, {**options, "cves": ["CVE-1", "CVE-2"], "fixed_in": ["6.1.187-1", "6.12.90-1"]}).changed
    manifest = store.manifest(NAME, VERSION)
    assert manifest.versions_with_fix == ["6.1.187-1", "6.12.90-1"]
    assert manifest.cves == ["CVE-1", "CVE-2"]


def flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_one_flipped_bit(store, options, tmp_path):
    path = package(tmp_path, RELEASE["50"], BUILD_ID["50"])
    add(store, options, build("50", package=path))
    manifest = store.manifest(NAME, VERSION)
    kept = pathlib.Path(store.path(NAME, VERSION, pathlib.Path(path).name))
    for damaged in (kept, pathlib.Path(store.path(NAME, VERSION, "patches", "01-my_fix.patch"))):
        good = damaged.read_bytes()
        flip(damaged)
        with pytest.raises(RebootlessError) as caught:
            store.verify(manifest)
        assert caught.value.code == "store_damaged"
        assert damaged.name in caught.value.sentence
        damaged.write_bytes(good)
    kept.unlink()
    assert list(store.damaged(manifest)) == [kept.name]
    kept.write_bytes(b"")
    assert "bytes" in store.damaged(manifest)[kept.name]


def test_damage_is_repaired(store, options, tmp_path):
    """The patches are at hand; a package is built again, because its entry says that it is damaged."""
    path = package(tmp_path, RELEASE["50"], BUILD_ID["50"])
    add(store, options, build("50", package=path))
    before = store.manifest(NAME, VERSION)
    flip(pathlib.Path(store.path(NAME, VERSION, "patches", "01-my_fix.patch")))
    assert add(store, options).written == ["patches/01-my_fix.patch"]
    flip(pathlib.Path(store.path(NAME, VERSION, pathlib.Path(path).name)))
    add(store, options)
    row = store.manifest(NAME, VERSION).kernel(BUILD_ID["50"])
    assert (row.status, row.code) == ("failed", "store_damaged")
    add(store, options, build("50", package=path))
    store.verify(store.manifest(NAME, VERSION))
    after = store.manifest(NAME, VERSION)
    # it was built again, at another time
    assert {name: row.sha256 for name, row in after.files.items()} == {
        name: row.sha256 for name, row in before.files.items()
    }


def test_a_damaged_manifest_is_not_believed(store, options):
    add(store, options)
    path = pathlib.Path(store.path(NAME, VERSION, "manifest.json"))
    good = path.read_bytes()
    for content in (b"", good[:-2], good + b"\n", good.replace(b'"name": "cve', b'"name": "Cve')):
        path.write_bytes(content)
        with pytest.raises(RebootlessError) as caught:
            store.manifest(NAME, VERSION)
        assert caught.value.code in ("manifest_damaged", "bad_manifest")
        assert store.index()["updates"] == []
    path.write_bytes(good.replace(b'"version": "1.0"', b'"version": "1.1"'))
    with pytest.raises(RebootlessError) as caught:
        store.manifest(NAME, VERSION)
    assert caught.value.code == "bad_manifest"


def test_paths_out_of_the_store_are_refused(store, options, tmp_path):
    add(store, options, build("50", package=package(tmp_path, RELEASE["50"], BUILD_ID["50"])))
    path = pathlib.Path(store.path(NAME, VERSION, "manifest.json"))
    good = path.read_text()
    for old, new in (("01-my_fix.patch", "../../x"), ("cve-2026-52928-1.0-505050505050.rbl", "../x.rbl")):
        path.write_text(good.replace(f'"{old}', f'"{new}'))
        assert path.read_text() != good
        with pytest.raises(RebootlessError) as caught:
            store.manifest(NAME, VERSION)
        assert caught.value.code == "bad_manifest"


def test_packages_of_something_else_are_refused(store, options, tmp_path):
    other = package(tmp_path, RELEASE["50"], BUILD_ID["50"], version="2.0")
    for outcome in ({"package": other}, {"package": package(tmp_path, RELEASE["47"], BUILD_ID["47"])}):
        with pytest.raises(RebootlessError) as caught:
            add(store, options, build("50", **outcome))
        assert caught.value.code == "package_differs"
    pathlib.Path(other).write_bytes(b"no package")
    with pytest.raises(RebootlessError) as caught:
        add(store, options, build("50", package=other))
    assert caught.value.code == "package_damaged"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "Name"}, "bad_update"),
        ({"version": "../1"}, "bad_update"),
        ({"fixed_in": ["six"]}, "bad_update"),
        ({"patches": ["/nowhere/at/all.patch"]}, "patch_missing"),
    ],
)
def test_bad_descriptions(options, change, code):
    with pytest.raises(RebootlessError) as caught:
        contribution.describe({**options, **change})
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ({"code": "unsafe_change", "sentence": "x"}, "refused"),
        ({"code": "vdso_not_supported", "sentence": "x"}, "refused"),
        ({"code": "package_not_found", "sentence": "x"}, "failed"),
        ({"code": "compiler_differs", "sentence": "x"}, "failed"),
        ({"applicable": False, "not_applicable": []}, "not_applicable"),
        ({}, "failed"),
    ],
)
def test_what_is_tried_again(options, result, status):
    update, _files = contribution.describe(options)
    row, _files = contribution.entry(update, build("50", result=result))
    assert row.status == status
    assert row.code and row.sentence


def test_what_a_build_has_to_say_is_kept(store, options, tmp_path):
    remark = {"code": "existing_objects", "sentence": "It runs only when a device is bound.", "details": {}}
    path = package(tmp_path, RELEASE["50"], BUILD_ID["50"])
    silent = add(store, options, build("50", package=path, result={"remarks": []}))
    assert "remarks" not in silent.after.kernel(BUILD_ID["50"]).to_json()
    add(store, options, build("50", package=path, result={"remarks": [remark]}))
    assert store.manifest(NAME, VERSION).kernel(BUILD_ID["50"]).remarks == [remark]


def test_who_signed_is_kept_and_has_to_be_true(store, options, tmp_path):
    made, other = make_signer(tmp_path), make_signer(tmp_path, "other")
    path = pathlib.Path(package(tmp_path, RELEASE["50"], BUILD_ID["50"]))
    unsigned = path.read_bytes()
    add(store, options, build("50", package=str(path)))
    assert store.manifest(NAME, VERSION).kernel(BUILD_ID["50"]).signer == {}
    path.write_bytes(resigned(unsigned, made))
    assert add(store, options, build("50", package=str(path))).changed
    assert store.manifest(NAME, VERSION).kernel(BUILD_ID["50"]).signer == product_signer(made).facts()
    strange = parse_package("package", resigned(unsigned, other)).files["update.ko"]
    path.write_bytes(resigned(unsigned, made, update=strange))
    with pytest.raises(RebootlessError, check=lambda error: error.code == "signer_differs"):
        add(store, options, build("50", package=str(path)))


def listed(tmp_path, kernel: str, *paths: str) -> ListedBuild:
    """A build of a package that was made without need of these files."""
    path = package(tmp_path, RELEASE[kernel], BUILD_ID[kernel], ignore_missing=list(paths))
    return build(kernel, package=path)


def test_the_files_that_may_be_missing_are_kept(store, options, tmp_path):
    add(store, options, listed(tmp_path, "50"))
    assert "ignore_missing" not in store.manifest(NAME, VERSION).to_json()
    wanted = {**options, "ignore_missing": ["mm/vma.c", "mm/a.c", "mm/vma.c"]}
    assert add(store, wanted, listed(tmp_path, "47", "mm/a.c", "mm/vma.c")).changed
    manifest = store.manifest(NAME, VERSION)
    assert manifest.ignore_missing == ["mm/a.c", "mm/vma.c"]
    # Each entry says what its own package was built with.
    assert manifest.kernel(BUILD_ID["50"]).ignore_missing == []
    assert manifest.kernel(BUILD_ID["47"]).ignore_missing == ["mm/a.c", "mm/vma.c"]
    assert not add(store, wanted).changed
    more = add(store, {**wanted, "ignore_missing": ["mm/a.c", "mm/b.c", "mm/vma.c"]})
    assert more.written == ["manifest.json"]


def test_a_file_that_a_package_did_without_is_not_needed_again(store, options, tmp_path):
    wanted = {**options, "ignore_missing": ["mm/vma.c"]}
    add(store, wanted, listed(tmp_path, "50", "mm/vma.c"))
    for other in ([], ["mm/a.c"]):
        with pytest.raises(RebootlessError, match="with other ignore_missing") as caught:
            add(store, {**options, "ignore_missing": other})
        assert caught.value.code == "update_differs"
        assert (caught.value.details["stored"], caught.value.details["given"]) == (["mm/vma.c"], other)
    assert add(store, {**options, "version": "1.1"}).changed


def test_a_file_is_needed_again_before_there_is_a_package(store, options):
    """What was not applicable without it may be so with it: it is tried again for every kernel."""
    add(store, {**options, "ignore_missing": ["mm/vma.c"]}, build("50", result=NOT_HERE))
    add(store, options)
    manifest = store.manifest(NAME, VERSION)
    assert (manifest.kernels, manifest.ignore_missing) == ([], [])


@pytest.mark.parametrize(("built", "wanted"), [([], ["mm/vma.c"]), (["mm/vma.c"], []), (["mm/vma.c"], ["mm/a.c"])])
def test_a_package_that_did_without_other_files_is_another_build(store, options, tmp_path, built, wanted):
    with pytest.raises(RebootlessError, match="ignore_missing") as caught:
        add(store, {**options, "ignore_missing": wanted}, listed(tmp_path, "50", *built))
    assert (caught.value.code, caught.value.details["found"]) == ("package_differs", built)
    assert store.manifest(NAME, VERSION) is None


@pytest.mark.parametrize("odd", ["mm/vma.c", None, [1], {"mm/vma.c": 1}])
def test_a_package_whose_list_is_none(store, options, tmp_path, odd):
    path = package(tmp_path, RELEASE["50"], BUILD_ID["50"], ignore_missing=odd)
    with pytest.raises(RebootlessError) as caught:
        add(store, options, build("50", package=path))
    assert caught.value.code == "package_differs"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_a_build_returned_and_no_manifest_can_hold_is_refused(store, options, tmp_path, number):
    path = package(tmp_path, RELEASE["50"], BUILD_ID["50"])
    remarks = [{"code": "existing_objects", "sentence": "Only new ones.", "details": {"share": number}}]
    findings = {"code": "unsafe_change", "sentence": "No.", "details": {"findings": [{"share": number}]}}
    for odd in (build("50", package=path, result={"remarks": remarks}), build("50", result=findings)):
        with pytest.raises(RebootlessError, match=RELEASE["50"]) as caught:
            add(store, options, odd)
        assert caught.value.code == "bad_result"
    assert store.manifest(NAME, VERSION) is None
