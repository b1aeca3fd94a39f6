# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that are there before anything is switched: the host is left as it was, and the rollout stops at it."""

from __future__ import annotations

import contextlib
import json
import pathlib

import pytest

from ansible_collections.rebootless.splice.tests.fleet.scene import updates
from ansible_collections.rebootless.splice.tests.fleet.scene.pair import Pair
from ansible_collections.rebootless.splice.tests.support.observe import PROBE, traces

# All but a few blocks at once, then those, root's own share too; ext4 keeps some thousand that are never given out.
FILL = """
blocks=$(($(stat -f -c %f /) - 8192))
fallocate -l $((blocks * $(stat -f -c %S /))) /root/fleet-full
cat /dev/zero > /root/fleet-full-rest
sync
test $(stat -f -c %a /) -eq 0 && ! dd if=/dev/zero of=/root/fleet-full-more bs=4096 count=1 conv=fsync
"""
FUNCTION, BEHIND_FENTRY = "unix_ioctl", 5


def refused(pair: Pair, plan: pathlib.Path, state: str, *codes: str) -> None:
    """Asserts that the first machine refused, the second one was never begun, and both kernels are what they were."""
    (first, code), second = pair.outcome(plan)
    assert (first, second) == (state, ("pending", "")), pair.evidence(plan)
    assert code in codes if codes else code, pair.evidence(plan)
    assert pair.live() == [[], []]
    assert pair.untouched() == [True, True]


def test_nothing_goes_wrong(pair):
    """What the other tests are measured by: a look, the way there, and the way back."""
    plan = pair.plan(updates.FIX)
    checked = pair.rollout(plan, "--check")
    assert f"{pair.first.name} preflight: matched" in checked.output
    assert [traces(machine) for machine in pair.machines] == ["", ""]
    assert pair.evidence(plan) == []

    pair.rollout(plan)
    assert [state for state, _code in pair.outcome(plan)] == ["confirmed", "confirmed"]
    assert pair.live() == [["fleet-fix confirmed"]] * 2
    assert pair.probes() == ["fixed", "fixed"]

    pair.revert(plan)
    assert [state for state, _code in pair.outcome(plan)] == ["reversed", "reversed"]
    assert pair.probes() == ["vulnerable", "vulnerable"]
    assert pair.untouched() == [True, True]


def test_full_disk(pair):
    plan = pair.plan(updates.FIX)
    try:
        pair.first.run(FILL)
        pair.rollout(plan, ok=False)
    finally:
        pair.first.run("rm -f /root/fleet-full*; sync")
    refused(pair, plan, "failed", "no_room")
    assert pair.first.out("ls /var/lib/rebootless/*.rbl.tar.gz 2>/dev/null || true") == "", "half a package"

    pair.rollout(plan, rebootless_retry=[pair.first.name], rebootless_continue=True)
    assert pair.live() == [["fleet-fix confirmed"]] * 2, "with room it goes on"


@contextlib.contextmanager
def module(pair: Pair, name: str, **parameters: object):
    """One of the modules of tests/integration/kmod, in the first machine's kernel."""
    machine = pair.first
    machine.put(pair.builds.test_modules(machine.release) / f"{name}.ko", f"/root/fleet-{name}.ko")
    machine.run(f"insmod /root/fleet-{name}.ko " + " ".join(f"{key}={value}" for key, value in parameters.items()))
    try:
        yield
    finally:
        machine.run(f"rmmod {name}")


def test_function_busy_for_ever(pair):
    plan = pair.plan(updates.FIX, rebootless_tries=4)
    with module(pair, "busy", symbol=FUNCTION, offset=BEHIND_FENTRY):
        pair.first.write("/root/fleet-sleeper.py", PROBE.encode())
        task = pair.first.start("exec python3 /root/fleet-sleeper.py")
        pid = pair.first.wait_until(lambda: int(pair.first.out("cat /sys/module/busy/parameters/sleeper")))
        pair.first.wait_until(lambda: pair.first.run("dmesg | grep 'busy: pid' | tail -1").stdout)
        pair.rollout(plan, ok=False)
        line = next(line for line in pair.evidence(plan) if line["code"] == "busy_function")
        assert line["details"]["task"] == f"{pid} python3"
    assert task.wait(60) == 0, "the task was let go, and goes on as if nothing had been"
    refused(pair, plan, "failed", "busy_function")


@pytest.mark.quick
def test_kprobe_in_the_function(pair):
    plan = pair.plan(updates.FIX)
    with module(pair, "probe_inside", symbol=FUNCTION, offset=BEHIND_FENTRY):
        pair.rollout(plan, ok=False)
    refused(pair, plan, "failed", "kprobe_inside")


def test_another_build_of_the_same_version(pair):
    """The kernel's build ID is another one than the plan's; its release and version are the same."""
    plan = pair.plan(updates.FIX, rebootless_policy={"uncovered": "stop"})
    build_id = bytes.fromhex(json.loads(plan.read_text())["hosts"][pair.first.name]["build_id"])
    notes = pair.first.read("/sys/kernel/notes")
    address = pair.first.symbol("__start_notes") + notes.index(build_id)
    with pair.first.debugger() as debugger:
        debugger.write(address, bytes([build_id[0] ^ 1]))
    try:
        pair.rollout(plan, ok=False)
        refused(pair, plan, "uncovered", "build_id_mismatch")
        planned = json.loads(pair.ask_and_plan(updates.FIX).read_text())
        assert list(planned["hosts"]) == [pair.second.name]
        assert planned["left_out"][pair.first.name]["state"] == "uncovered"
    finally:
        with pair.first.debugger() as debugger:
            debugger.write(address, build_id[:1])


@pytest.mark.parametrize("file", [pytest.param("package", marks=pytest.mark.quick), "manifest"])
def test_store_with_one_flipped_bit(pair, file):
    plan = pair.plan(updates.FIX)
    planned = json.loads(plan.read_text())
    version = pathlib.Path(planned["store"], planned["update"]["name"], planned["update"]["version"])
    name = planned["hosts"][pair.first.name]["package"] if file == "package" else "manifest.json"
    content = (version / name).read_bytes()
    place = len(content) // 2
    (version / name).write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
    try:
        run = pair.rollout(plan, ok=False)
    finally:
        (version / name).write_bytes(content)
    assert name in run.output, "it says which file"
    assert set(pair.states(plan).values()) <= {"pending", "failed"}
    assert pair.live() == [[], []]
    assert pair.untouched() == [True, True]
    assert pair.first.out("ls /var/lib/rebootless/*.rbl.tar.gz 2>/dev/null || true") == "", "it reached the host"
