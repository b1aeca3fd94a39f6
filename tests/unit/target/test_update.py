# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One update on one host, in states that are neither applied nor reversed."""

from __future__ import annotations

import datetime
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._target import inventory, metrics
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, loader
from ansible_collections.rebootless.splice.plugins.module_utils._target.state.store import Store
from ansible_collections.rebootless.splice.plugins.module_utils._target.update import UpdateOperation, UpdateRequest
from ansible_collections.rebootless.splice.tests.support.booting_host import refusal
from ansible_collections.rebootless.splice.tests.support.package import MANIFEST
from ansible_collections.rebootless.splice.tests.support.target_host import NAME, RolloutHost

JUMP = "unix_ioctl 0xffffffff81000000 0xffffffffc0a00000 0xffffffff81000005 4157415641"


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host with the update live, and its package kept."""
    made = RolloutHost(tmp_path, monkeypatch)
    options: dict[str, t.Any] = {"package": str(made.package), "state_directory": str(made.state_directory)}
    assert UpdateOperation(UpdateRequest("applied", **options), check_mode=False).run()["changed"]
    return made


def change(host, state: str, check_mode: bool = False, **options) -> dict:
    request = UpdateRequest(state, name=NAME, state_directory=str(host.state_directory), **options)
    return UpdateOperation(request, check_mode).run()


def test_only_who_asks_for_it_reverses_by_force(host):
    assert change(host, "reversed", check_mode=True, force=True)["state_after"] == "reversed"
    assert host.commands() == ["apply"], "check mode only tells"
    change(host, "reversed", force=True)
    change(host, "applied")
    change(host, "reversed")
    assert host.commands() == ["apply", "reverse force", "apply", "reverse"]
    assert not change(host, "reversed", force=True)["changed"], "it is reversed already"


def test_what_is_done_about_tasks_that_stay_in_the_way(host):
    change(host, "reversed", blockers="signal")
    change(host, "applied", blockers="refuse", deadline=60)
    change(host, "reversed", blockers="signal", force=True)
    change(host, "applied", blockers="wait", deadline=60)
    assert host.commands() == ["apply", "reverse signal", "apply 60 refuse", "reverse force", "apply 60"]


DAY = datetime.timedelta(days=1)


def window(start: datetime.timedelta, end: datetime.timedelta) -> dict:
    """A window of a host on the other side of the world, as seen from now."""
    now = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=11)))
    return {"start": (now + start).isoformat(), "end": (now + end).isoformat()}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "(nohz_full 2-3)."),
        ({"isolated_cpus": "window"}, "no window is given"),
        ({"isolated_cpus": "window", "isolated_cpus_window": window(DAY, 2 * DAY)}, "not the time for it"),
        (
            {"isolated_cpus": "window", "isolated_cpus_window": window(-DAY, datetime.timedelta())},
            "not the time for it",
        ),
        ({"isolated_cpus": "window", "isolated_cpus_window": window(-DAY, DAY)}, ""),
        ({"isolated_cpus": "apply"}, ""),
    ],
)
def test_cpus_that_are_not_to_be_stopped(host, options, words):
    change(host, "reversed")
    assert change(host, "applied")["isolated_cpus"] == "", "the host has none"
    host.isolate("2-3")
    assert not change(host, "applied")["changed"], "it is live, and nothing is stopped"
    assert change(host, "reversed")["state_after"] == "reversed", "the way back is free"
    for check_mode in (True, False) if words else ():
        with refusal("isolated_cpus") as caught:
            change(host, "applied", check_mode, **options)
        assert words in str(caught.value) and caught.value.details["all"] == "2-3"
    if not words:
        assert change(host, "applied", **options)["isolated_cpus"] == "2-3"
    assert host.commands() == ["apply", "reverse", "apply", "reverse", *([] if words else ["apply"])]


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "22:00", "end": "2026-12-25T04:00:00+01:00"},
        {"start": "2026-12-24T22:00:00", "end": "2026-12-25T04:00:00+01:00"},
        {"start": "2026-12-25T04:00:00Z", "end": "2026-12-25T05:00:00+01:00"},
    ],
)
def test_a_window_that_is_none_is_refused_on_any_host(host, wrong):
    change(host, "reversed")
    with refusal("bad_window"):
        change(host, "applied", isolated_cpus="window", isolated_cpus_window=wrong)


def test_tasks_that_are_left_in_the_code_of_a_reversed_update(host, tmp_path):
    change(host, "reversed", force=True)
    host.show(NAME, state="reversed, held by 2 tasks", holders="812 dhclient unix_ioctl 0x0\n813 sshd unix_ioctl 0x0")
    result = change(host, "reversed", force=True)
    assert (result["state_after"], result["held_by"]) == ("reversed", 2)
    assert [row["comm"] for row in result["holders"]] == ["dhclient", "sshd"]
    with refusal("module_held"):
        change(host, "absent", force=True)
    store = Store(str(host.state_directory))
    kernel = inventory.kernel(store)
    assert (kernel["held"], kernel["cves_fixed_live"]) == ([NAME], [])
    assert f'rebootless_update_held_tasks{{name="{NAME}"}} 2' in metrics.render(kernel, inventory.updates(store))


def test_a_version_whose_strings_objects_may_hold_stays_when_another_takes_its_place(host, monkeypatch):
    unloaded: list[str] = []
    monkeypatch.setattr(loader, "unload", unloaded.append)
    host.show(f"{NAME}.previous", state="replaced", kept="1", module="rbl_old")
    host.show(f"{NAME}.previous.1", state="replaced", kept="0", module="rbl_older")
    change(host, "reversed")
    assert change(host, "applied")["changed"]
    assert unloaded == ["rbl_older"]


def test_an_update_whose_function_something_else_has_taken_away_is_not_applied(host):
    host.show(NAME, state="bypassed", functions=f"{JUMP} bypassed")
    for options in ({}, {"confirm": True}):
        with refusal("bypassed"):
            change(host, "applied", **options)
    store = Store(str(host.state_directory))
    kernel, (row,) = inventory.kernel(store), inventory.updates(store)
    assert (kernel["bypassed"], kernel["updates"], kernel["cves_fixed_live"]) == ([NAME], [], [])
    assert kernel["effective_release"] == facts.release()
    assert (row["live"], row["functions"][0]["jump"], row["functions"][0]["bypassed"]) == (False, True, True)
    text = metrics.render(kernel, [row])
    assert f'rebootless_update_bypassed{{name="{NAME}"}} 1' in text
    assert f'rebootless_update_live{{name="{NAME}"}} 0' in text and "rebootless_cve_fixed_live" not in text
    assert change(host, "reversed")["state_after"] == "reversed"
    assert MANIFEST["cves"], "which would have been told as fixed"


def test_metrics_say_what_the_last_change_left(host, tmp_path):
    """A revert by name does not say where a rollout had metrics written to."""
    collector = tmp_path / "collector"
    collector.mkdir()
    metrics.write(Store(str(host.state_directory)), str(collector))
    live = 'rebootless_cve_fixed_live{cve="CVE-2026-52928"} 1'
    assert live in (collector / metrics.FILE).read_text()
    change(host, "reversed", check_mode=True)
    assert live in (collector / metrics.FILE).read_text()
    assert "warnings" not in change(host, "reversed")
    assert live not in (collector / metrics.FILE).read_text()
    change(host, "absent")
    assert not host.state_directory.exists(), "nothing is left"
