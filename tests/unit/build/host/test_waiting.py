# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who waits for a lock, in processes that really run: what they are told, who comes first, and who is killed."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import signal
import time

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.host import waiting
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.progress import teller
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

FORK = multiprocessing.get_context("fork")
NAME = "builds/abc"
SINCE = r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def work(root, subject, urgent, order, release, name, way):
    """Takes the lock, says so, and has it until it is told to let it go."""
    cache = Cache(root)
    with waiting.working(subject, teller(cache, subject, lambda text: None), urgent), getattr(cache, way)(name):
        order.put(subject)
        assert release.wait(30)


class Worker:
    def __init__(self, root, subject, urgent=False, name=NAME, way="lock"):
        self.order, self.release = FORK.Queue(), FORK.Event()
        self.subject = subject
        arguments = (root, subject, urgent, self.order, self.release, name, way)
        self.process = FORK.Process(target=work, args=arguments, daemon=True)
        self.process.start()

    @property
    def pid(self):
        return self.process.pid

    def has_it(self, seconds=20.0):
        """Waits until it has the lock."""
        assert self.order.get(timeout=seconds) == self.subject

    def waits(self):
        time.sleep(3 * waiting.POLL)
        assert self.order.empty() and self.process.is_alive()

    def ends(self):
        self.release.set()
        self.process.join(20)
        assert self.process.exitcode == 0

    def dies(self):
        os.kill(self.pid, signal.SIGKILL)
        self.process.join(20)


@pytest.fixture
def worker(tmp_path):
    begun = []

    def begin(*arguments, **options):
        begun.append(Worker(tmp_path, *arguments, **options))
        return begun[-1]

    yield begin
    for one in begun:
        with contextlib.suppress(ProcessLookupError):
            one.dies()


@pytest.fixture
def told(tmp_path):
    """What a worker has been told so far, without its times; waits until it is so many lines."""

    def read(subject, lines):
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(FileNotFoundError):
                rows = (tmp_path / "progress.log").read_text().splitlines()
                found = [row.partition(f" {subject}: ")[2] for row in rows if f" {subject}: " in row]
                if len(found) >= lines:
                    return found
            assert time.monotonic() < end, f"{subject} was told less than {lines} lines"
            time.sleep(0.02)

    return read


def gate(root, name=NAME):
    return root / "locks" / f"{name.replace('/', '@')}.urgent"


def until_at_gate(root, name=NAME):
    """Until an urgent process is seen to wait, and has said who it is."""
    end = time.monotonic() + 20
    lock = root / "locks" / name.replace("/", "@")
    while not (waiting._is_gate_locked(lock) and gate(root, name).read_bytes()):
        assert time.monotonic() < end
        time.sleep(0.01)


# ---- what is told


def test_who_waits_is_told_for_what_and_for_whom(worker, told, tmp_path):
    first = worker("update_build a 1 6.1.0-50")
    first.has_it()
    second = worker("update_build b 1 6.1.0-50")
    (line,) = told(second.subject, 1)
    lock = f"{NAME} in {tmp_path}"
    who = rf"process {first.pid} \(update_build a 1 6\.1\.0-50\) has had {SINCE}"
    assert re.fullmatch(rf"waits for the lock {re.escape(lock)}, which {who}", line)
    first.ends()
    second.has_it()
    line = told(second.subject, 2)[1]
    assert re.fullmatch(rf"has the lock {re.escape(lock)}, after \d+\.\d s", line)
    second.ends()
    assert (tmp_path / "locks" / "builds@abc").read_bytes() == b"", "who has gone is no holder"


def test_who_need_not_wait_is_told_nothing(worker, tmp_path):
    for urgent in (False, True):
        one = worker("update_build a", urgent=urgent)
        one.has_it()
        one.ends()
    assert not (tmp_path / "progress.log").exists()
    assert not gate(tmp_path).exists()


def test_the_next_holder_is_told_of_as_well(worker, told):
    first, others = worker("a"), [worker("b"), worker("c")]
    first.has_it()
    for other in others:
        told(other.subject, 1)
    first.ends()
    end = time.monotonic() + 20
    while all(other.order.empty() for other in others):
        assert time.monotonic() < end
        time.sleep(0.01)
    second, third = others if not others[0].order.empty() else others[::-1]
    assert f"process {second.pid} ({second.subject})" in told(third.subject, 2)[1]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe\x00",
        b"{",
        b"[]",
        b'{"pid": "x"}',
        b"9" * 5000,
        json.dumps({"pid": 1, "start": 0, "place": "", "subject": 3, "since": 0}).encode(),
        json.dumps({"pid": 1, "start": 0, "place": "", "subject": "s", "since": 1e300}).encode(),
    ],
)
def test_a_lock_file_without_a_note_still_has_a_holder(worker, told, tmp_path, text):
    """As one of an earlier release is, or one that something else has written to."""
    holder = worker("holder")
    holder.has_it()
    (tmp_path / "locks" / "builds@abc").write_bytes(text)
    waiter = worker("waiter")
    assert told("waiter", 1)[0].endswith(f", which process {holder.pid} has")
    holder.ends()
    waiter.has_it()


def test_what_a_killed_one_wrote_is_not_believed(worker, told, tmp_path):
    killed = worker("killed")
    killed.has_it()
    killed.dies()
    path = tmp_path / "locks" / "builds@abc"
    note = path.read_bytes()
    assert b"killed" in note
    holder = worker("holder")
    holder.has_it()
    path.write_bytes(note)
    worker("waiter")
    assert told("waiter", 1)[0].endswith(f", which process {holder.pid} has")


def test_a_note_of_another_container_is_told_as_such(worker, told, tmp_path):
    worker("holder").has_it()
    path = tmp_path / "locks" / "builds@abc"
    path.write_text(json.dumps({**json.loads(path.read_text()), "place": "elsewhere", "pid": 7, "subject": "a\nb"}))
    worker("waiter")
    who = rf"process 7 of another container or machine \(ab\) has had {SINCE}"
    assert re.search(rf", which {who}$", told("waiter", 1)[0])


def test_a_lock_that_cannot_be_opened_is_refused(tmp_path):
    cache = Cache(tmp_path)
    cache.directory("locks", "work")
    for way in (cache.lock, cache.turn):
        with pytest.raises(RebootlessError, match="cache cannot be taken: Is a directory") as refused, way("work"):
            pass
        assert refused.value.code == "cache_not_usable"
    with pytest.raises(IsADirectoryError), cache.lock("other"):
        raise IsADirectoryError  # of the work itself: it is none of the lock's


# ---- who comes first


@pytest.mark.parametrize("way", ["lock", "turn"])
def test_an_urgent_one_comes_before_those_that_have_waited_longer(worker, told, tmp_path, way):
    holder = worker("holder", way=way)
    holder.has_it()
    slow = [worker(f"slow{number}", way=way) for number in range(3)]
    for one in slow:
        told(one.subject, 1)
    urgent = worker("urgent", urgent=True, way=way)
    until_at_gate(tmp_path)
    holder.ends()
    urgent.has_it()
    for one in slow:
        one.waits()
    urgent.ends()
    for one in slow:
        one.release.set()
    for one in slow:
        one.has_it()


def test_who_stands_behind_an_urgent_one_is_told_so(worker, told, tmp_path):
    """The lock is free, since its holder was killed, and the urgent one that gets it is stopped before it does."""
    holder = worker("holder")
    holder.has_it()
    urgent = worker("urgent", urgent=True)
    until_at_gate(tmp_path)
    os.kill(urgent.pid, signal.SIGSTOP)
    holder.dies()
    slow = worker("slow")
    assert re.search(rf", which process {urgent.pid} \(urgent\), urgent {SINCE}, gets first$", told("slow", 1)[0])
    slow.waits()
    os.kill(urgent.pid, signal.SIGCONT)
    urgent.has_it()
    urgent.ends()
    slow.has_it()


@pytest.mark.parametrize("way", ["lock", "turn"])
def test_a_killed_holder_and_a_killed_urgent_waiter_hold_nobody_up(worker, tmp_path, way):
    holder = worker("holder", way=way)
    holder.has_it()
    killed = worker("killed", urgent=True, way=way)
    until_at_gate(tmp_path)
    slow = worker("slow", way=way)
    slow.waits()
    killed.dies()
    holder.dies()
    slow.has_it()
    slow.ends()
    assert killed.order.empty()


@pytest.mark.parametrize("way", ["lock", "turn"])
def test_of_two_urgent_ones_each_gets_it(worker, told, tmp_path, way):
    holder, slow = worker("holder", way=way), None
    holder.has_it()
    slow = worker("slow", way=way)
    urgent = [worker(f"urgent{number}", urgent=True, way=way) for number in range(2)]
    for one in urgent:
        told(one.subject, 1)
    holder.ends()
    for one in urgent:
        one.release.set()
    for one in urgent:
        one.has_it()
    slow.has_it()


def test_a_killed_one_of_two_urgent_ones_does_not_open_the_gate(worker, told, tmp_path):
    holder = worker("holder")
    holder.has_it()
    slow, killed, urgent = worker("slow"), worker("killed", urgent=True), worker("urgent", urgent=True)
    for one in (slow, killed, urgent):
        told(one.subject, 1)
    killed.dies()
    holder.ends()
    urgent.has_it()
    slow.waits()


def test_urgent_portions_alternate(tmp_path):
    """Who has just had a portion does not take the next one from another that is urgent, too."""
    order, begin = FORK.Queue(), FORK.Event()
    other = FORK.Process(target=take_a_turn, args=(tmp_path, order, begin), daemon=True)
    other.start()
    cache = Cache(tmp_path)
    with waiting.working("again", lambda text: None, True):
        with cache.turn("work"):
            begin.set()
            until_at_gate(tmp_path, "work")
        with cache.turn("work"):
            order.put("again")
    assert [order.get(timeout=20) for _each in range(2)] == ["other", "again"]
    other.join(20)


def take_a_turn(root, order, begin):
    begin.wait(20)
    with waiting.working("other", lambda text: None, True), Cache(root).turn("work"):
        order.put("other")


# ---- who holds what an urgent one waits for


def hold_one_and_wait_for_another(root, order, first, second):
    cache = Cache(root)
    with waiting.working("holder", teller(cache, "holder", lambda text: None)), cache.lock(first):
        order.put("holder has the first")
        with cache.turn(second):
            order.put("holder has the second")


def test_what_an_urgent_one_waits_for_becomes_urgent(worker, told, tmp_path):
    """An urgent build of what another one builds already, which stands behind a third update in the kernel's tree."""
    tree = worker("tree", name="objects", way="turn")
    tree.has_it()
    slow = worker("slow", name="objects", way="turn")
    told("slow", 1)
    order = FORK.Queue()
    arguments = (tmp_path, order, NAME, "objects")
    holder = FORK.Process(target=hold_one_and_wait_for_another, args=arguments, daemon=True)
    holder.start()
    assert order.get(timeout=20) == "holder has the first"
    told("holder", 1)
    urgent = worker("urgent", urgent=True)
    until_at_gate(tmp_path)
    slow.waits()
    until_at_gate(tmp_path, "objects-next")
    killed = tree
    killed.dies()
    # The slow one was promised the next turn; the holder's is the one after it, before all others.
    slow.has_it()
    late = worker("late", name="objects", way="turn")
    told("late", 1)
    slow.ends()
    assert order.get(timeout=20) == "holder has the second"
    urgent.has_it()
    late.has_it()
    holder.join(20)


def test_who_is_no_longer_needed_urgently_still_gets_its_lock(worker, tmp_path, told):
    """The urgent one is killed: the holder has locked the gate of its own wait by then."""
    other = worker("other", name="objects")
    other.has_it()
    order = FORK.Queue()
    holder = FORK.Process(target=hold_one_and_wait_for_another, args=(tmp_path, order, NAME, "objects"), daemon=True)
    holder.start()
    order.get(timeout=20)
    told("holder", 1)
    urgent = worker("urgent", urgent=True)
    until_at_gate(tmp_path, "objects")
    urgent.dies()
    time.sleep(2 * waiting.POLL)
    other.ends()
    assert order.get(timeout=20) == "holder has the second"
    holder.join(20)
