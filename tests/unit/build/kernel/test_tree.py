# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel trees: finding them, what the operator's directories must hold, packages, and the code's own digest."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
from pathlib import Path

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.apt import Apt
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian.archive import (
    relocate_headers,
    unpack_package,
    unpack_source_package,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.directory import (
    Directories,
    DirectorySource,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.code_digest import source_digest
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.material import TreeRequest
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import (
    KernelTree,
    find_tree,
    read_tree,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

FIELDS = [field.name for field in dataclasses.fields(KernelTree) if field.name not in ("variables", "format")]


def put_tree(cache, name, **values):
    directory = cache.directory("trees", name)
    defaults = {**dict.fromkeys(FIELDS, ""), "source": str(cache.root), "path": str(directory), "variables": {}}
    tree = KernelTree(**{**defaults, **values})
    tree.write(directory)
    return tree


def code_of(function, *arguments, **options):
    with pytest.raises(RebootlessError) as caught:
        function(*arguments, **options)
    return caught.value.code


def test_trees_are_found_by_all_that_is_given(tmp_path):
    cache = Cache(tmp_path)
    one = put_tree(cache, "one", release="6.1.0-50", build_id="aa", version="6.1.176-1", origin="debian")
    two = put_tree(cache, "two", release="6.1.0-50", build_id="bb", version="6.1.176-2", origin="debian")
    assert find_tree(cache, "6.1.0-50", "aa") == one
    assert find_tree(cache, None, "bb") == two
    assert find_tree(cache, "6.1.0-50", None, "6.1.176-2") == two
    assert find_tree(cache, "6.1.0-50", "cc") is None
    assert find_tree(cache, "6.1.0-50", "aa", origin="directory") is None
    assert code_of(find_tree, cache, "6.1.0-50", None) == "several_trees"
    assert read_tree(one.path) == one


def test_what_is_no_tree(tmp_path):
    cache = Cache(tmp_path)
    assert code_of(read_tree, tmp_path) == "no_tree"
    old = put_tree(cache, "old", release="r", format=0)
    assert code_of(read_tree, old.path) == "old_tree"
    lost = put_tree(cache, "lost", release="r", source="/nowhere")
    assert code_of(read_tree, lost.path) == "old_tree"
    assert find_tree(cache, "r", None) is None


def test_a_compiler_that_changed_since_is_refused(tmp_path):
    config = tmp_path / "config"
    config.write_text('CONFIG_CC_VERSION_TEXT="gcc-1 (Unknown 0.1) 0.1"\n')
    tree = put_tree(Cache(tmp_path), "t", config=str(config), compiler="gcc")
    assert code_of(tree.check_compiler) == "compiler_differs"


@pytest.fixture
def directories(tmp_path):
    files = ("source/Makefile", "source/Kbuild", "headers/Module.symvers", "headers/include/generated/utsrelease.h")
    for name in (*files, "config", "vmlinuz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return Directories(*(str(tmp_path / name) for name in ("source", "headers", "config", "vmlinuz")))


@pytest.mark.parametrize("missing", ["source/Makefile", "headers/Module.symvers", "config", "vmlinuz"])
def test_an_incomplete_directory_is_named(directories, tmp_path, missing):
    (tmp_path / missing).unlink()
    with pytest.raises(RebootlessError) as caught:
        DirectorySource(directories).check(TreeRequest("r"))
    assert caught.value.code == "directory_incomplete"
    assert str(tmp_path / missing) in caught.value.sentence


def test_a_source_that_was_built_in_place_is_refused(directories, tmp_path):
    assert "vmlinuz" in DirectorySource(directories).check(TreeRequest())
    (tmp_path / "source" / ".config").write_text("")
    assert code_of(DirectorySource(directories).check, TreeRequest()) == "source_not_clean"


@pytest.mark.parametrize(
    "header", ["x", "", "#define UTS_RELEASE\n", '#define UTS_RELEASES "6.1"\n', '#define UTS_RELEASE ""\n']
)
def test_headers_that_do_not_say_their_release_are_refused(directories, tmp_path, header):
    path = tmp_path / "headers/include/generated/utsrelease.h"
    path.write_text(f"{header}\n")
    with pytest.raises(RebootlessError) as caught:
        DirectorySource(directories).material(TreeRequest(), tmp_path, Phases())
    assert caught.value.code == "directory_incomplete"
    assert str(path) in caught.value.sentence


# ---- packages


def make_package(directory, name, version, files, depends=""):
    """A .deb with ``files``; returns its stanza for a Packages file."""
    root = directory / f"root-{name}-{version}"
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            (root / path).write_bytes(content)
        else:
            (root / path).symlink_to(content[0])
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    control += f"Depends: {depends}\n" if depends else ""
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(control)
    deb = directory / f"{name}_{version}_all.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", root, deb]
    subprocess.run(command, check=True, capture_output=True)
    sha256 = hashlib.sha256(deb.read_bytes()).hexdigest()
    return f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {sha256}\n\n"


@pytest.fixture
def repository(tmp_path):
    directory = tmp_path / "repository"
    directory.mkdir()
    stanzas = [
        make_package(directory, "rebootless-test-kbuild", v, {"usr/x": v.encode()}) for v in ("1-3", "1-5", "1-9")
    ]
    (directory / "Packages").write_text("".join(stanzas))
    return directory


def test_packages_come_from_extra_sources_and_are_verified(repository, tmp_path):
    cache = Cache(tmp_path / "cache")
    apt = Apt(cache, [f"deb [trusted=yes] file:{repository} ./"])
    name = "rebootless-test-kbuild"
    assert apt.find(name).version == "1-9"
    assert apt.find(name, "1-3").version == "1-3"
    assert apt.find_fitting(name, "=", "1-3").version == "1-3"
    assert apt.find_fitting(name, ">=", "1-4").version == "1-5"
    assert apt.find_fitting(name, "", "").version == "1-3"
    assert code_of(apt.find, name, "2-1") == "package_not_found"
    assert code_of(apt.find_fitting, name, ">=", "2-1") == "package_not_found"
    package = apt.find(name, "1-5")
    assert apt.field(package, "Maintainer") == "x <x@x>"
    assert apt.field(package, "Nothing") == ""
    assert apt.cached(package) is None
    file = apt.fetch(package)
    assert apt.cached(package) == file
    unpack_package(file, tmp_path / "out")
    assert (tmp_path / "out" / "usr" / "x").read_bytes() == b"1-5"
    # A damaged file of the cache is downloaded again.
    file.write_bytes(b"damaged")
    assert apt.cached(package) is None
    assert apt.fetch(package).read_bytes() != b"damaged"
    # What the repository has is not what its lists say.
    wrong = apt.find(name, "1-9")
    (repository / "rebootless-test-kbuild_1-9_all.deb").write_bytes(b"other")
    assert code_of(apt.fetch, wrong) == "download_failed"
    assert apt.cached(wrong) is None


def test_extra_sources_that_cannot_be_read(tmp_path):
    apt = Apt(Cache(tmp_path), [f"deb [trusted=yes] file:{tmp_path}/none ./"])
    assert code_of(apt.versions, "rebootless-test-kbuild") == "apt_failed"


def test_headers_work_where_they_lie(tmp_path):
    make_package(
        tmp_path,
        "linux-headers-1-x",
        "1",
        {
            "usr/src/linux-headers-1-x/Makefile": b"include /usr/src/linux-headers-1-common/Makefile\n",
            "usr/src/linux-headers-1-x/scripts": ("../../lib/linux-kbuild-1/scripts",),
            "usr/src/linux-headers-1-common/Makefile": b"all: ; @echo $(lastword $(MAKEFILE_LIST)) works\n",
            "usr/lib/linux-kbuild-1/scripts/x": b"",
            "usr/share/doc/x": b"",
        },
    )
    root = tmp_path / "root"
    unpack_package(tmp_path / "linux-headers-1-x_1_all.deb", root)
    assert not (root / "usr/share").exists()
    relocate_headers(root)
    (tmp_path / "moved").mkdir()
    root = root.rename(tmp_path / "moved" / "root")
    for place in ("-C", "usr/src/linux-headers-1-x"), ("-f", "usr/src/linux-headers-1-x/Makefile"):
        done = subprocess.run(["make", "-s", *place], cwd=root, capture_output=True, text=True, check=True)
        assert done.stdout.strip().endswith("linux-headers-1-common/Makefile works")
    (root / "usr/src/linux-headers-1-x/tools").symlink_to("/usr/lib/linux-kbuild-1/tools")
    assert code_of(relocate_headers, root) == "bad_package"


def test_sources_in_a_package(tmp_path):
    source = tmp_path / "linux-source-6.1"
    source.mkdir()
    (source / "Makefile").write_text("x")
    tar = subprocess.run(["tar", "-cJ", "-C", tmp_path, source.name], capture_output=True, check=True).stdout
    make_package(tmp_path, "linux-source-6.1", "1", {"usr/src/linux-source-6.1.tar.xz": tar})
    unpack_source_package(tmp_path / "linux-source-6.1_1_all.deb", tmp_path / "out")
    assert (tmp_path / "out" / "Makefile").read_text() == "x"
    make_package(tmp_path, "other", "1", {"usr/x": b""})
    assert code_of(unpack_source_package, tmp_path / "other_1_all.deb", tmp_path / "no") == "bad_package"
    make_package(tmp_path, "cut", "1", {"usr/src/linux-source-6.1.tar.xz": tar[:-20]})
    assert code_of(unpack_source_package, tmp_path / "cut_1_all.deb", tmp_path / "cut") == "unpack_failed"
    (tmp_path / "no.deb").write_bytes(b"no package")
    assert code_of(unpack_package, tmp_path / "no.deb", tmp_path / "no") == "unpack_failed"


def test_the_code_digest_covers_all_that_a_build_depends_on():
    prefix = "ansible_collections.rebootless.splice.plugins.module_utils._build"
    digest = source_digest(f"{prefix}.update")
    assert digest == source_digest(f"{prefix}.update")
    assert digest != source_digest(f"{prefix}.compilation.patches")
    assert len(digest) == 64
    source_digest.cache_clear()
    assert digest == source_digest(f"{prefix}.update")
    assert Path(__file__).is_file()
