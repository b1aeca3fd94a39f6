# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build host, with Debian's own sources, compilers and kernels."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import typing as t
from multiprocessing.connection import Connection

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.compiler import Compiler
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import parse_patch
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.saved_command import command_file
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.directory import (
    Directories,
    DirectorySource,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.sources import get_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.host import waiting
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.material import TreeRequest
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.update import Builder, UpdateSource
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import read_package
from ansible_collections.rebootless.splice.tests.support.builds import COLLECTION, SIOCATMARK, Edit

RELEASES = ("6.1.0-47-cloud-amd64", "6.1.0-50-cloud-amd64")
RELEASE = RELEASES[1]
KMOD = COLLECTION / "kmod"
IN_A_MODULE = Edit(
    "net/unix/diag.c",
    "struct unix_diag_req *req;\n\n\treq = nlmsg_data(cb->nlh);\n",
    "struct unix_diag_req *req;\n\n\treq = nlmsg_data(cb->nlh);\n\tif (!req->udiag_states)\n\t\treturn 0;\n",
)


@pytest.fixture(scope="module", params=RELEASES)
def tree(request, builds):
    return read_tree(builds.tree(request.param)["path"])


@pytest.fixture(scope="module")
def tree50(builds):
    return read_tree(builds.tree(RELEASE)["path"])


@pytest.fixture
def options(builds, tmp_path):
    """Arguments of update_build for edits of the newer kernel, with a cache of the test's own."""

    def make(*edits, text=None, **more):
        patch = tmp_path / f"{len(list(tmp_path.glob('*.patch')))}.patch"
        patch.write_text(text if text is not None else "".join(builds.patch(RELEASE, edit) for edit in edits))
        common = {"name": "test", "tree": builds.tree(RELEASE)["path"], "kmod": str(KMOD)}
        return {**common, "patches": [str(patch)], "cache": str(tmp_path / "cache"), **more}

    return make


@pytest.fixture(scope="module")
def build(tree50, builds, tmp_path_factory):
    """Builds edits of the newer kernel, in a cache of this file's own."""
    cache = builds.fresh_cache(RELEASE, tmp_path_factory.mktemp("build") / "cache")

    def make(*edits, text=None, name="test", tree=tree50):
        text = "".join(builds.patch(RELEASE, edit) for edit in edits) if text is None else text
        update = UpdateSource(name, "1", (), (parse_patch("fix.patch", text.encode()),))
        return Builder(tree, KMOD, cache, 2, Phases()).build(update)

    return make


def refusal(build, *arguments, **options):
    with pytest.raises(RebootlessError) as caught:
        build(*arguments, **options)
    return caught.value


# ---- kernel_tree


def test_a_tree_is_found_again(controller, tree):
    cache = str(pathlib.Path(tree.path).parents[1])
    for check, options in ((True, {"release": tree.release}), (False, {"build_id": tree.build_id})):
        result = controller.module("localhost", "kernel_tree", check=check, cache=cache, **options)
        assert not result["failed"] and not result["changed"], result
        assert (result["path"], result["timings"]) == (tree.path, {})


def test_units_are_those_of_the_distribution(tree):
    """Every symbol that Debian's kernel and modules export comes from a unit that the makefiles name, and back."""
    units = tree.units.units
    assert units["net/unix/af_unix.o"].objects == ("vmlinux",)
    assert units["net/unix/diag.o"].objects == ("unix_diag",)
    assert "drivers/gpu/drm/i915/i915_driver.o" not in units
    shipped = {path.stem for path in pathlib.Path(tree.modules).rglob("*.ko")}
    assert {pathlib.Path(path).name for path in tree.units.modules.values()} == shipped


def test_units_come_out_as_kbuild_makes_them(tree50):
    """C, assembler, generated sources, objects spelled through other directories: each compiled as a copy, too."""
    names = (
        *("arch/x86/entry/entry_64.o", "crypto/rsapubkey.asn1.o", "virt/kvm/eventfd.o", "lib/dump_stack.o"),
        # Below directories that are listed beside the one above them, whose flags are others.
        *("arch/x86/lib/memcpy_64.o", "arch/x86/lib/cmdline.o", "arch/x86/power/cpu.o", "arch/x86/pci/common.o"),
    )
    made = Compiler(tree50, 2).pre([tree50.units.units[name] for name in names])
    assert [pre.unit.name for pre in made] == list(names)
    strings = made[3].exact.read_bytes()
    assert f"Debian {tree50.version}".encode() in strings


def test_a_release_that_nobody_has(controller, tmp_path):
    result = controller.module("localhost", "kernel_tree", release="6.1.0-0-none-amd64", cache=str(tmp_path))
    assert (result["failed"], result["code"]) == (True, "package_not_found")
    check = controller.module("localhost", "kernel_tree", check=True, release="6.1.0-0-none-amd64", cache=str(tmp_path))
    assert (check["failed"], check["code"]) == (True, "package_not_found")


def test_check_mode_says_what_would_be_prepared(controller, tmp_path):
    result = controller.module("localhost", "kernel_tree", check=True, release=RELEASE, cache=str(tmp_path))
    assert result["changed"]
    assert result["would_prepare"].startswith(f"linux-image-{RELEASE} ")
    assert not (tmp_path / "trees").exists()


def test_a_tree_of_directories(controller, tree50, tmp_path):
    """Four times, from the operator's own directories; then a configuration that needs what is not there."""
    directory = {name: getattr(tree50, name) for name in ("source", "headers", "config", "vmlinuz", "modules")}
    options = {"source": "directory", "directory": directory, "cache": str(tmp_path / "cache")}
    results = [controller.module("localhost", "kernel_tree", check=c, **options) for c in (True, False, False, True)]
    assert [result["failed"] for result in results] == [False] * 4, results
    assert [result["changed"] for result in results] == [True, True, False, False]
    made = results[1]["tree"]
    assert (made["release"], made["build_id"], made["origin"]) == (tree50.release, tree50.build_id, "directory")
    other = tmp_path / "config"
    text = pathlib.Path(tree50.config).read_text(encoding="utf-8")
    other.write_text(
        text.replace('CC_VERSION_TEXT="gcc-12 (Debian', 'CC_VERSION_TEXT="gcc-12 (Unknown'), encoding="utf-8"
    )
    result = controller.module(
        "localhost", "kernel_tree", **{**options, "directory": {**directory, "config": str(other)}}
    )
    assert (result["failed"], result["code"]) == (True, "compiler_differs")
    other.write_text(text.replace("CONFIG_NET=y", "CONFIG_NET=y\nCONFIG_RUST=y"), encoding="utf-8")
    result = controller.module(
        "localhost", "kernel_tree", **{**options, "directory": {**directory, "config": str(other)}}
    )
    assert (result["failed"], result["code"]) == (True, "config_differs")
    assert "CONFIG_RUST is n instead of y" in result["sentence"]
    assert "rustc" in result["next_step"]


def _get_tree(cache: pathlib.Path, directories: Directories, said: Connection) -> None:
    os.setsid()
    get_tree(Cache(cache), TreeRequest(), DirectorySource(directories), say=said.send)


def test_a_killed_run_leaves_no_half_tree(tree50, tmp_path):
    directories = Directories(tree50.source, tree50.headers, tree50.config, tree50.vmlinuz)
    forking = multiprocessing.get_context("fork")
    hears, says = forking.Pipe(duplex=False)
    killed = forking.Process(target=_get_tree, args=(tmp_path, directories, says))
    killed.start()
    says.close()  # so that the loop ends with EOFError if the process does
    while not hears.recv().startswith("prepare: begins"):
        pass
    os.killpg(t.cast(int, killed.pid), signal.SIGKILL)
    killed.join()
    left = list((tmp_path / "trees").iterdir())
    assert all(path.name.startswith(".making-") for path in left)
    assert not list(tmp_path.glob("trees/*/tree.json"))


def test_a_killed_run_leaves_no_half_unit(tree50):
    """Kbuild writes the checksums of exported symbols behind the command, when the object is there already."""
    unit = tree50.units.units["net/core/dst_cache.o"]
    compiler = Compiler(tree50, 2)
    [pre] = compiler.pre([unit])
    assert pre.command.versions
    shutil.rmtree(pre.exact.parent)
    saved = command_file(pathlib.Path(tree50.build, unit.target))
    text = saved.read_text(encoding="utf-8")
    saved.write_text(text[: text.index("#SYMVER")], encoding="utf-8")
    assert compiler.pre([unit]) == [pre]


# ---- helper_build


def test_the_helper_is_built_once_and_the_same_everywhere(controller, tree, tmp_path):
    options = {"tree": tree.path, "kmod": str(KMOD), "cache": str(tmp_path)}
    results = [controller.module("localhost", "helper_build", check=c, **options) for c in (True, False, False, True)]
    assert [result["changed"] for result in results] == [True, True, False, False], results
    assert "path" not in results[0]
    elsewhere = controller.module("localhost", "helper_build", **{**options, "cache": str(tmp_path / "other")})
    for name in ("path", "library"):
        assert disk.sha256_of_file(elsewhere[name]) == disk.sha256_of_file(results[1][name])
    modinfo = subprocess.run(
        ["modinfo", "-F", "vermagic", results[1]["path"]], capture_output=True, text=True, check=True
    )
    assert modinfo.stdout.split()[0] == tree.release
    content = pathlib.Path(results[1]["path"]).read_bytes()
    assert str(tmp_path).encode() not in content


def test_a_helper_that_does_not_build(controller, tree50, tmp_path):
    kmod = tmp_path / "kmod"
    kmod.mkdir()
    (kmod / "Kbuild").write_text("obj-m := rebootless.o\n")
    (kmod / "rebootless.h").write_text("")
    (kmod / "rebootless.c").write_text("int x = nothing;\n")
    options = {"tree": tree50.path, "kmod": str(kmod), "cache": str(tmp_path / "cache")}
    result = controller.module("localhost", "helper_build", **options)
    assert (result["failed"], result["code"]) == (True, "helper_build_failed")
    assert any("nothing" in line for line in result["details"]["output"])
    result = controller.module("localhost", "helper_build", **{**options, "kmod": str(tmp_path)})
    assert (result["failed"], result["code"]) == (True, "no_helper_source")


def test_the_collections_own_sources_are_sent_to_the_build_host(controller, tree50, tmp_path):
    options = {"tree": tree50.path, "cache": str(tmp_path / "cache")}
    given = controller.module("localhost", "helper_build", check=True, kmod=str(KMOD), **options)
    sent = controller.module("localhost", "helper_build", check=True, **options)
    assert not sent["failed"] and sent["build_digest"] == given["build_digest"], sent
    (kept,) = (tmp_path / "cache" / "kmod").iterdir()
    assert (kept / "matcher" / "match.c").read_bytes() == (KMOD / "matcher" / "match.c").read_bytes()


def hold(cache: Cache, name: str, says: Connection) -> None:
    with waiting.working("a test", lambda text: None), cache.lock(name):
        says.send("holds it")
        signal.pause()


def test_a_module_tells_which_lock_it_waits_for_until_the_holder_is_killed(controller, tree50, tmp_path):
    cache = Cache(tmp_path)
    options = {"tree": tree50.path, "cache": str(tmp_path)}
    assert not controller.module("localhost", "helper_build", check=True, **options)["failed"]
    name = f"kmod/{next((tmp_path / 'kmod').iterdir()).name}"
    hears, says = multiprocessing.Pipe(duplex=False)
    holder = multiprocessing.get_context("fork").Process(target=hold, args=(cache, name, says))
    holder.start()
    assert hears.recv() == "holds it"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        building = pool.submit(controller.module, "localhost", "helper_build", check=True, urgent=True, **options)
        log = tmp_path / "progress.log"
        while not building.done() and not (log.exists() and "waits for the lock" in log.read_text()):
            time.sleep(0.1)
        assert not building.done()
        holder.kill()
        assert not building.result()["failed"]
    waits, has = (line.partition(f"helper_build {RELEASE}: ")[2] for line in log.read_text().splitlines())
    who = rf"which process {holder.pid} \(a test\) has had since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(rf"waits for the lock {name} in {re.escape(str(tmp_path))}, {who}", waits)
    assert re.match(rf"has the lock {name} in ", has)


# ---- update_build


def test_an_update_four_times(controller, options, tmp_path):
    wanted = options(SIOCATMARK, cves=["CVE-2026-52928"], dest=str(tmp_path / "out"))
    results = [
        controller.module("localhost", "update_build", check=c, diff=True, **wanted) for c in (True, False, False, True)
    ]
    assert [result["failed"] for result in results] == [False] * 4, results
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert results[0]["units"] == ["net/unix/af_unix.o"]
    assert "package" not in results[0]
    for result in results[1:]:
        assert [row["name"] for row in result["functions"]] == ["unix_ioctl"]
        assert "changed function unix_ioctl" in result["diff"]["after"]
        assert result["digest"] == results[1]["digest"]
    package = read_package(results[1]["package"], results[1]["digest"])
    assert package.manifest["cves"] == ["CVE-2026-52928"]
    assert package.manifest["kernel"]["build_id"] == results[1]["build_id"]
    assert package.digest == results[1]["build_digest"]
    # A package that was damaged in the cache is built again.
    [cached] = (tmp_path / "cache" / "builds").glob("*/*.rbl.tar.gz")
    cached.write_bytes(b"damaged")
    again = controller.module("localhost", "update_build", **wanted)
    assert again["changed"]
    assert again["digest"] == results[1]["digest"]


def test_both_kernels_and_the_same_bytes_everywhere(builds, tree, tmp_path):
    """The package depends on its inputs alone, not on where or when it was built.

    Nor does its helper module: ``test_the_helper_is_built_once_and_the_same_everywhere``.
    """
    patch = parse_patch("fix.patch", builds.patch(tree.release, SIOCATMARK).encode())
    digests = set()
    for name in ("a", "b/deeper"):
        cache = builds.fresh_cache(tree.release, tmp_path / name)
        build = Builder(tree, KMOD, cache, 2, Phases()).build(UpdateSource("x", "1", (), (patch,)))
        digests.add((build.digest, build.facts["digest"]))
        assert [row["name"] for row in build.facts["functions"]] == ["unix_ioctl"]
    assert len(digests) == 1


def test_an_update_of_a_module_is_matched_against_the_distributions_module(build):
    assert {row["object"] for row in build(IN_A_MODULE).facts["functions"]} == {"unix_diag"}


def test_a_tree_of_another_kernel_is_found_before_any_host_is_touched(build, builds, tree50):
    other = read_tree(builds.tree(RELEASES[0])["path"])
    error = refusal(build, SIOCATMARK, name="wrong", tree=dataclasses.replace(tree50, vmlinuz=other.vmlinuz))
    assert error.code == "offline_match_failed"
    assert error.details["unit"] == "net/unix/af_unix.o"


def test_a_patch_that_does_not_apply(controller, options, builds):
    text = builds.patch(RELEASE, SIOCATMARK).replace(" \t\t\tint answ = 0;", " \t\t\tint answer = 0;")
    for check in (True, False):
        result = controller.module("localhost", "update_build", check=check, **options(text=text))
        assert (result["failed"], result["code"]) == (True, "patch_does_not_apply")
        assert result["details"]["hunk"] == 1
        assert "should be 'int answer = 0;' and is 'int answ = 0;'" in result["sentence"]
        assert result["next_step"]


def test_a_patch_that_does_not_compile(build):
    error = refusal(build, Edit(SIOCATMARK.path, SIOCATMARK.old, SIOCATMARK.new.replace("SOCK_STREAM", "SOCK_NONE")))
    assert error.code == "does_not_compile"
    [row] = [row for row in error.details["errors"] if "undeclared" in row["message"]]
    assert (row["file"], row["hunk"]) == ("net/unix/af_unix.c", 1)
    assert "SOCK_NONE" in error.sentence


def test_what_this_kernel_does_not_build_is_an_answer(controller, options):
    path = "drivers/gpu/drm/i915/i915_driver.c"
    wanted = options(text=f"--- a/{path}\n+++ b/{path}\n@@ -1 +1,2 @@\n x\n+y\n")
    result = controller.module("localhost", "update_build", **wanted)
    assert not result["failed"] and not result["changed"] and not result["applicable"], result
    [row] = result["not_applicable"]
    assert (row["file"], row["code"]) == (path, "not_built")
    assert "CONFIG_DRM_I915" in row["reason"]
    assert "package" not in result
    failed = controller.module("localhost", "update_build", **wanted, not_applicable="fail")
    assert (failed["failed"], failed["code"]) == (True, "not_applicable")


# mm/vma.c came with Linux 6.12.
IN_A_LATER_FILE = """--- a/mm/vma.c
+++ b/mm/vma.c
@@ -100,4 +100,6 @@ int may_split(struct vm_area_struct *vma)
 {
 \tint err;
+\tif (!vma)
+\t\treturn -EINVAL;
 \terr = check(vma);
 \treturn err;
"""


def test_a_file_of_another_kernel_is_refused_until_the_operator_lists_it(controller, options, builds, tmp_path):
    builds.fresh_cache(RELEASE, tmp_path / "cache")
    text = builds.patch(RELEASE, SIOCATMARK) + IN_A_LATER_FILE
    for check in (True, False):
        refused = controller.module("localhost", "update_build", check=check, **options(text=text))
        assert (refused["failed"], refused["code"]) == (True, "file_not_found")
        assert refused["details"]["file"] == "mm/vma.c"
    done = controller.module("localhost", "update_build", **options(text=text, ignore_missing=["mm/vma.c"]))
    assert not done["failed"] and done["package"], done
    assert [row["name"] for row in done["functions"]] == ["unix_ioctl"]
    assert [(row["file"], row["code"]) for row in done["not_applicable"]] == [("mm/vma.c", "ignored_missing")]
    assert [(row["code"], row["details"]) for row in done["remarks"]] == [("ignored_missing", {"file": "mm/vma.c"})]
    manifest = read_package(done["package"]).manifest
    assert (manifest["remarks"], manifest["ignore_missing"]) == (done["remarks"], ["mm/vma.c"])
    other = controller.module("localhost", "update_build", **options(text=text, ignore_missing=["mm/vma.c", "mm/x.c"]))
    assert (other["failed"], other["code"], other["details"]["files"]) == (True, "not_in_patch", ["mm/x.c"])


def test_what_may_be_missing_names_the_build(controller, options):
    """Also where nothing is missing: an operator who approves the one has not approved the other."""
    lists: tuple[list[str], ...] = ([], [SIOCATMARK.path], [SIOCATMARK.path, SIOCATMARK.path])
    wanted = options(SIOCATMARK)
    found = [controller.module("localhost", "update_build", check=True, ignore_missing=x, **wanted) for x in lists]
    assert [row["units"] for row in found] == [["net/unix/af_unix.o"]] * 3, found
    without, listed, twice = (row["build_digest"] for row in found)
    assert without != listed == twice


def test_what_compiles_to_the_same_is_an_answer(build):
    comment = SIOCATMARK.old.replace("int answ = 0;", "/* none */\n\t\t\tint answ = 0;")
    done = build(Edit(SIOCATMARK.path, SIOCATMARK.old, comment))
    assert not done.applicable and done.package is None
    assert done.facts["not_applicable"][0]["code"] == "same_object"


def test_what_is_in_the_source_already_is_an_answer(build, tree50):
    source = pathlib.Path(tree50.source, SIOCATMARK.path).read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(source) if "int answ = 0;" in line)
    head = [f"--- a/{SIOCATMARK.path}", f"+++ b/{SIOCATMARK.path}", f"@@ -{at - 1},4 +{at - 1},5 @@"]
    lines = [
        *(f" {line}" for line in source[at - 2 : at]),
        f"+{source[at]}",
        *(f" {x}" for x in source[at + 1 : at + 3]),
    ]
    done = build(text="\n".join([*head, *lines, ""]))
    assert not done.applicable
    assert done.facts["not_applicable"][0]["code"] == "already_applied"


def test_a_change_that_cannot_be_made_live_is_refused_with_its_findings(build):
    start = "static int __init af_unix_init(void)\n{"
    error = refusal(build, Edit(SIOCATMARK.path, start, f'{start}\n\tpr_info("x");\n'))
    assert error.code == "unsafe_change"
    assert "init_code_changed" in {row["code"] for row in error.details["findings"]}


def test_what_the_patch_uses_has_to_be_somewhere(build):
    start = "static int unix_ioctl(struct socket *sock, unsigned int cmd, unsigned long arg)\n{"
    old = f"{start}\n\tstruct sock *sk = sock->sk;\n"
    new = f"void rbltest_nowhere(void);\n{old}\n\trbltest_nowhere();\n"
    error = refusal(build, Edit(SIOCATMARK.path, old, new))
    assert (error.code, error.details["symbol"]) == ("missing_symbol", "rbltest_nowhere")


def test_what_objtool_does_not_understand_is_refused_in_its_words(build):
    """An alternative that refers to a variable: the function would have no unwind information."""
    start = "static int unix_ioctl(struct socket *sock, unsigned int cmd, unsigned long arg)\n{"
    old = f"{start}\n\tstruct sock *sk = sock->sk;\n"
    new = f"static int rbltest_ahead;\n{old}\n\tprefetchw(&rbltest_ahead);\n"
    error = refusal(build, Edit(SIOCATMARK.path, old, new))
    assert error.code == "module_differs"
    assert "unsupported relocation in alternatives section" in error.sentence


@pytest.mark.parametrize("name", ["UPPER", "a/b", "", "x" * 70])
def test_names_that_no_update_can_have(build, name):
    assert refusal(build, SIOCATMARK, name=name).code == "bad_identity"


def test_a_directory_that_is_no_tree(tmp_path):
    with pytest.raises(RebootlessError) as caught:
        read_tree(tmp_path)
    assert caught.value.code == "no_tree"
