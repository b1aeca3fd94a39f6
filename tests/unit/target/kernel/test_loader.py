# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told when a module does not load, and what module files say of themselves."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._common import module_signature
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import loader, modinfo
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.memory_file import memory_file
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import lock, store

SOURCE = """
#define INFO(name, text) static const char name[] __attribute__((used, section(".modinfo"), aligned(1))) = text
INFO(a, "name=rbl_demo");
INFO(b, "vermagic=6.1.0-50-cloud-amd64 SMP preempt mod_unload modversions ");
INFO(c, "license=GPL");
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("module") / "module.o"
    subprocess.run(["gcc", "-x", "c", "-c", "-o", path, "-"], input=SOURCE.encode(), check=True)
    subprocess.run(["ld", "-r", "--build-id=0x0123456789abcdef", "-o", path.with_suffix(".ko"), path], check=True)
    return path.with_suffix(".ko").read_bytes()


def test_modinfo(image):
    said = modinfo.read_modinfo(image, "module.ko")
    assert said["name"] == "rbl_demo"
    assert said["vermagic"].split()[0] == "6.1.0-50-cloud-amd64"


def test_build_id_of_a_module(image):
    assert modinfo.module_build_id(image, "module.ko") == "0123456789abcdef"


def test_a_signed_module_says_the_same(image):
    signed = module_signature.append(image, b"signature")
    assert modinfo.read_modinfo(signed, "module.ko") == modinfo.read_modinfo(image, "module.ko")
    assert modinfo.module_build_id(signed, "module.ko") == "0123456789abcdef"


@given(st.data())
def test_damaged_modules_are_refused_or_read(image, data):
    length = data.draw(st.integers(0, len(image)))
    damaged = bytearray(image[:length])
    for at in data.draw(st.lists(st.integers(0, max(length - 1, 0)), max_size=4)) if length else []:
        damaged[at] ^= data.draw(st.integers(1, 255))
    try:
        said = modinfo.read_modinfo(bytes(damaged), "module.ko")
    except RebootlessError as error:
        assert error.code == "bad_module"
    else:
        assert all(key.encode() in damaged for key in said if "\ufffd" not in key)


@pytest.mark.parametrize(("table", "verb"), [(loader.LOAD_ERRORS, "loaded"), (loader.UNLOAD_ERRORS, "unloaded")])
@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_errno_is_a_sentence(table, verb, number):
    code, sentence, next_step = loader.explain(table, number, "failed", verb, "rbl_demo")
    assert code.isidentifier()
    assert "rbl_demo" in sentence or number == errno.ENOSYS
    assert sentence.endswith(".") and next_step.endswith(".")
    assert "{" not in sentence + next_step


def test_memory_files_are_read_as_written():
    with memory_file(b"content" * 100000, "label") as path:
        descriptor = os.open(path, os.O_RDONLY)
    try:
        assert os.read(descriptor, 1 << 20) == b"content" * 100000
    finally:
        os.close(descriptor)


def test_the_lock_is_for_one(tmp_path):
    path = str(tmp_path / "lock")
    with lock.host_lock(0, path):
        with pytest.raises(RebootlessError) as refused, lock.host_lock(0.2, path):
            pass
        assert refused.value.code == "host_locked"
    with lock.host_lock(0, path):
        pass


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    kept = store.Store(str(tmp_path / "file"))
    with pytest.raises(RebootlessError) as refused:
        kept.stage(type("Package", (), {"name": "demo", "content": b""})())
    assert refused.value.code == "store_failed"


def test_what_is_not_kept_leaves_nothing(tmp_path):
    kept = store.Store(str(tmp_path / "state"))
    with kept.stage(type("Package", (), {"name": "demo", "content": b"x"})()):
        pass
    assert not os.path.exists(tmp_path / "state")


def test_what_a_power_cut_left_is_removed(tmp_path):
    """The power went before the package was in its place: its update is not there, and the next task cleans up."""
    kept = store.Store(str(tmp_path / "state"))
    kept.stage(type("Package", (), {"name": "demo", "content": b"x"})())
    assert (kept.names(), kept.remove("demo")) == ([], False)
    assert not os.path.exists(tmp_path / "state")


def test_what_is_not_kept_leaves_the_others(tmp_path):
    kept = store.Store(str(tmp_path / "state"))
    with kept.stage(type("Package", (), {"name": "other", "content": b"x"})()) as staged:
        staged.keep()
    with kept.stage(type("Package", (), {"name": "demo", "content": b"x"})()):
        pass
    assert kept.names() == ["other"]
