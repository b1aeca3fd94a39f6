# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache: whole directories or none."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache, sha256_of
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk, locks
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


def test_a_directory_appears_when_it_is_finished(tmp_path):
    cache = Cache(tmp_path)
    with cache.made_once("trees", "x") as directory:
        assert directory is not None
        (directory / "file").write_text("1")
        assert not cache.path("trees", "x").exists()
    assert (cache.path("trees", "x") / "file").read_text() == "1"
    with cache.made_once("trees", "x") as directory:
        assert directory is None
    assert [path.name for path in cache.path("trees").iterdir()] == ["x"]


def test_a_failure_leaves_nothing(tmp_path):
    cache = Cache(tmp_path)
    with pytest.raises(ValueError), cache.made_once("trees", "x") as directory:
        assert directory is not None
        (directory / "file").write_text("half")
        raise ValueError
    assert list(cache.path("trees").iterdir()) == []


def make_slowly(root, started):
    with Cache(root).made_once("trees", "x") as directory:
        assert directory is not None
        (directory / "half").write_text("half")
        started.set()
        time.sleep(60)


def make_counted(root, results):
    with Cache(root).made_once("trees", "x") as directory:
        results.put(directory is not None)
        time.sleep(0.05)


def test_a_killed_maker_leaves_no_half_directory(tmp_path):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    maker = context.Process(target=make_slowly, args=(tmp_path, started))
    maker.start()
    assert started.wait(10)
    os.kill(maker.pid or 0, signal.SIGKILL)
    maker.join()
    cache = Cache(tmp_path)
    assert not cache.path("trees", "x").exists()
    with cache.made_once("trees", "x") as directory:
        assert directory is not None and list(directory.iterdir()) == []
    assert [path.name for path in cache.path("trees").iterdir()] == ["x"]


def test_two_makers_wait_for_each_other(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    makers = [context.Process(target=make_counted, args=(tmp_path, results)) for _unused in range(4)]
    for maker in makers:
        maker.start()
    made = [results.get(timeout=10) for maker in makers]
    for maker in makers:
        maker.join()
    assert sorted(made) == [False, False, False, True]


def test_who_waits_comes_before_who_takes_it_again(tmp_path):
    cache, context = Cache(tmp_path), multiprocessing.get_context("fork")
    order, begin = context.Queue(), context.Event()
    waiting = context.Process(target=take_turn, args=(tmp_path, order, begin))
    waiting.start()  # before the lock is taken: a child has its parent's
    with cache.turn("work"):
        begin.set()
        while not is_held(tmp_path / "locks" / "work-next"):
            time.sleep(0.01)
    with cache.turn("work"):
        order.put("again")
    assert [order.get(timeout=10) for _each in range(2)] == ["waiting", "again"]
    waiting.join()


def take_turn(root, order, begin):
    begin.wait()
    with Cache(root).turn("work"):
        order.put("waiting")
        time.sleep(0.1)


def is_held(path):
    try:
        with locks.locked(path, timeout=0):
            return False
    except locks.LockHeld:
        return True


def test_an_outdated_directory_is_replaced(tmp_path):
    cache = Cache(tmp_path)
    (cache.directory("trees", "x") / "old").write_text("old")
    with cache.making("trees", "x") as directory:
        assert directory is not None
        (directory / "new").write_text("new")
    assert [path.name for path in cache.path("trees", "x").iterdir()] == ["new"]


def test_a_cache_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RebootlessError) as caught:
        Cache(tmp_path / "file").directory("debs")
    assert caught.value.code == "cache_not_usable"


def test_digests_tell_lists_apart(tmp_path):
    assert sha256_of("ab", "c") != sha256_of("a", "bc")
    assert sha256_of("a", b"a") == sha256_of(b"a", "a")
    disk.replace(tmp_path / "deep" / "file", b"abc")
    assert (tmp_path / "deep" / "file").read_bytes() == b"abc"
    assert disk.sha256_of_file(tmp_path / "deep" / "file").startswith("ba7816bf")
    assert os.listdir(tmp_path / "deep") == ["file"]
