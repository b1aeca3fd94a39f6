# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets the update, who does not and why, and in which order."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import canonical
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import display
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.batches import (
    make_batches,
    read_rings,
    read_sizes,
)
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import parse_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.planning import Asked, make_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.windows import Freeze, Window
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.work import demand_work
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.slices import slices_of_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import (
    KernelEntry,
    Manifest,
    empty_kernel,
)
from ansible_collections.rebootless.splice.tests.support.fleet import samples
from ansible_collections.rebootless.splice.tests.support.fleet.samples import BUILD_ID, RELEASE

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
POLICY = {
    "batches": [1, "100%"],
    "rings": [],
    "checks": [],
    "check_times": [0, 60],
    "deadline": 300,
    "task_timeout": 60,
    "failure_budget": {},
    "revert_scope": "batch",
    "concurrency": 0,
    "persist": True,
    "windows": [],
    "timezone": "UTC",
    "freezes": [],
    "uncovered": "report",
    "reboot_pending": "patch",
    "tries": 11,
    "blockers": "wait",
    "isolated_cpus": "refuse",
    "metrics_directory": None,
    "expires": None,
    "approvals": 0,
    "store_url": None,
}
DIGEST = "ab" * 32
SIGNER = {"subject": "CN=Fleet", "fingerprint": "ab" * 32, "key_id": "36b6", "hash": "sha256"}
KEY = {"keyring": ".machine", "name": "Fleet", "key_id": "36b6"}


def entry(kernel: str, **more) -> KernelEntry:
    row = empty_kernel(RELEASE[kernel], "", BUILD_ID[kernel], "x86_64")
    built = {
        "status": "built",
        "package": f"x-1-{kernel}.rbl.tar.gz",
        "sha256": kernel * 32,
        "size": 9,
        "build_digest": DIGEST,
    }
    return dataclasses.replace(row, **{**built, "built": "2026-11-23T12:00:00Z", **more})


def without(kernel: str, status: str, code: str) -> KernelEntry:
    nothing = {"package": "", "sha256": "", "size": 0, "build_digest": ""}
    return entry(kernel, **nothing, status=status, code=code, sentence="It is so.", next_step="Live with it.")


def manifest(*kernels: KernelEntry) -> Manifest:
    return Manifest("x", "1", ["CVE-1"], {"linux": ["6.1.187-1"]}, [], [], list(kernels))


def answer(kernel: str = "50", version: str = "6.1.176-1", **more) -> dict:
    return {
        "kernel": {
            "release": RELEASE[kernel],
            "build_id": BUILD_ID[kernel],
            "version": version,
            "arch": "x86_64",
            "installed": [],
            "updates": [],
            **more,
        }
    }


def live(state: str, digest: str = DIGEST, name: str = "x") -> list[dict]:
    return [{"name": name, "version": "1", "digest": digest, "state": state}]


NEWER = [{"release": "6.1.0-53-cloud-amd64", "version": "6.1.187-1"}]
BOTH = manifest(entry("47"), entry("50"))
SIGNED = manifest(entry("50", signer=SIGNER))


def plan(hosts: dict, update: Manifest = BOTH, **policy):
    asked = {name: host if isinstance(host, Asked) else Asked(host) for name, host in hosts.items()}
    return make_plan(asked, update, "/store", {**POLICY, **policy}, "me@here", NOW)


@pytest.mark.parametrize(
    ("host", "update", "state", "code"),
    [
        (answer(), BOTH, "", ""),
        (answer(updates=live("confirmed")), BOTH, "not needed", "live_already"),
        # not there to stay, another build of it, another update: the host has its part in the rollout
        (answer(updates=live("applied")), BOTH, "", ""),
        (answer(updates=live("confirmed", "cd" * 32)), BOTH, "", ""),
        (answer(updates=live("confirmed", name="y")), BOTH, "", ""),
        (answer(version="6.1.187-1"), BOTH, "not needed", "kernel_has_fix"),
        (answer(version="6.1.190-1"), manifest(), "not needed", "kernel_has_fix"),
        # a later series may be older than the fix
        (answer(version="6.12.90-1"), manifest(), "uncovered", "no_build"),
        (answer(version=""), manifest(), "uncovered", "no_build"),
        (answer(), manifest(entry("47")), "uncovered", "no_build"),
        (answer(), manifest(without("50", "refused", "unsafe_change")), "uncovered", "unsafe_change"),
        (answer(), manifest(without("50", "failed", "package_not_found")), "uncovered", "package_not_found"),
        (answer(), manifest(without("50", "not_applicable", "not_built")), "not needed", "not_built"),
        # a fixed kernel waits on disk
        (answer(installed=NEWER), BOTH, "", ""),
        (answer(installed=NEWER), manifest(), "reboot needed", "fixed_kernel_installed"),
        (
            answer(installed=NEWER),
            manifest(without("50", "refused", "unsafe_change")),
            "reboot needed",
            "fixed_kernel_installed",
        ),
        (answer(installed=NEWER), manifest(without("50", "not_applicable", "not_built")), "not needed", "not_built"),
        ({"unreachable": True, "msg": "No route to host."}, BOTH, "unreachable", "unreachable"),
        ({"failed": True, "timedout": {"period": 60}, "msg": "Timed out."}, BOTH, "unreachable", "timeout"),
        ({"failed": True, "msg": "no python"}, BOTH, "uncovered", "kernel_unknown"),
        (answer(build_id=""), BOTH, "uncovered", "kernel_unknown"),
        # kernels that demand signatures
        (answer(lockdown="none", signatures_enforced=False, module_keys=[]), BOTH, "", ""),
        (answer(lockdown="integrity", module_keys=[KEY]), BOTH, "uncovered", "unsigned_module"),
        (answer(lockdown="confidentiality", module_keys=None), BOTH, "uncovered", "unsigned_module"),
        (answer(lockdown="none", signatures_enforced=True), BOTH, "uncovered", "unsigned_module"),
        (answer(lockdown="integrity", module_keys=[KEY]), SIGNED, "", ""),
        (answer(lockdown="integrity", module_keys=None), SIGNED, "", ""),
        (answer(lockdown="integrity", module_keys=[]), SIGNED, "uncovered", "signer_not_trusted"),
        (answer(lockdown="none", signatures_enforced=True, module_keys=[]), SIGNED, "uncovered", "signer_not_trusted"),
    ],
)
def test_who_is_left_out(host, update, state, code):
    made = plan({"host": host}, update)
    if not state:
        assert list(made.hosts) == ["host"] and not made.left_out
        return
    row = made.left_out["host"]
    assert (row.state, row.code) == (state, code)
    assert row.sentence
    assert not made.hosts and made.batches == []


def test_policy_may_prefer_the_reboot():
    hosts = {"a": answer(installed=NEWER), "b": answer()}
    made = plan(hosts, reboot_pending="reboot")
    assert made.left_out["a"].state == "reboot needed"
    assert list(made.hosts) == ["b"]
    live_already = plan({"a": answer(installed=NEWER, updates=live("confirmed"))}, reboot_pending="reboot")
    assert live_already.left_out["a"].state == "not needed"


def test_each_host_gets_the_package_of_its_kernel():
    made = plan({"a": answer("47"), "b": answer("50")})
    assert (made.hosts["a"].package, made.hosts["a"].sha256) == ("x-1-47.rbl.tar.gz", "47" * 32)
    assert (made.hosts["b"].package, made.hosts["b"].build_id) == ("x-1-50.rbl.tar.gz", BUILD_ID["50"])
    assert made.update.manifest_sha256 == BOTH.digest
    assert parse_plan(canonical.parse(made.content, "plan", "", seal=True)).digest == made.digest


def test_a_slow_host_is_given_more_time():
    """It was up; "see that it can be reached" leads nowhere."""
    left = plan({"a": {"failed": True, "timedout": {"period": 60}, "msg": "Timed out."}}).left_out["a"]
    assert "60 seconds" in left.sentence and "rebootless_survey_timeout" in left.next_step
    (silent,) = plan({"a": {"failed": True, "msg": "no python"}}).left_out.values()
    assert "reached" not in silent.next_step, "it was reached"


def test_a_plan_that_brings_no_host_anything_is_refused_unless_none_needs_it():
    """As where no host answers: a rollout of it would be "done", with every host as vulnerable as before."""
    demand_work(plan({"a": answer("47"), "b": {"unreachable": True, "msg": "no route"}}))
    has_it = answer("47", updates=live("confirmed"))
    demand_work(plan({"a": has_it}))
    for asked, said in (
        ({"a": {"unreachable": True, "msg": "no route"}, "c": has_it}, "unreachable [unreachable]: a."),
        ({"a": {"msg": "no"}}, "uncovered [kernel_unknown]: a."),
        ({"a": answer(installed=NEWER)}, "reboot needed [fixed_kernel_installed]: a."),
        ({}, "no host that was asked"),
    ):
        made = plan(asked, reboot_pending="reboot")
        with pytest.raises(RebootlessError) as refused:
            demand_work(made)
        assert refused.value.code == "nothing_to_roll_out"
        assert said in refused.value.sentence


def test_windows_of_hosts():
    night = {"days": ["sat"], "start": "22:00", "end": "04:00"}
    hosts = {
        "plain": answer(),
        "own": Asked(answer(), windows=[{**night, "days": ["sun"]}], timezone="Asia/Tokyo"),
        "always": Asked(answer(), windows=[]),
        "fair": Asked(answer(), freezes=[samples.FAIR]),
    }
    made = plan(hosts, windows=[night], timezone="Europe/Berlin")
    assert made.hosts["plain"].windows == made.windows == [Window(("sat",), "22:00", "04:00", "Europe/Berlin")]
    assert made.hosts["own"].windows == [Window(("sun",), "22:00", "04:00", "Asia/Tokyo")]
    assert made.hosts["own"].timezone == "Asia/Tokyo"
    assert made.hosts["always"].windows == []
    assert made.hosts["fair"].freezes == [Freeze(**samples.FAIR)]
    # what holds for all is said once
    assert plan({"fair": hosts["fair"]}, freezes=[samples.FAIR]).hosts["fair"].freezes == []


def test_hosts_with_cpus_that_are_not_to_be_stopped():
    quiet = answer(isolated_cpus={"all": "2-3", "nohz_full": "2-3", "isolated": "", "cpusets": ""})
    hosts = {
        "plain": answer(isolated_cpus={"all": ""}),
        "quiet": quiet,
        "night": Asked(quiet, windows=[samples.NIGHT]),
        "fixed": answer(version="6.1.187-1", isolated_cpus={"all": "2-3"}),
    }
    for policy, taken in (
        ("refuse", {"plain"}),
        ("window", {"plain", "night"}),
        ("apply", {"plain", "quiet", "night"}),
    ):
        made = plan(hosts, isolated_cpus=policy)
        assert set(made.hosts) == taken
        left_out = [made.left_out[name] for name in ("quiet", "night") if name in made.left_out]
        assert all(row.code == "isolated_cpus" and "CPUs 2-3" in row.sentence for row in left_out)
        assert all(row.state == "uncovered" and "plan again" in row.next_step.lower() for row in left_out)
        assert made.left_out["fixed"].code == "kernel_has_fix"
        shown = "\n".join(display.plan_lines(made, BOTH))
        assert ("quiet: 2-3" in shown) == ("quiet" in taken)
        told = {name: host.options("apply")["isolated_cpus"] for name, host in slices_of_plan(made).items()}
        # The rollout sees to the windows, so a host that has some need not know them.
        assert told == {name: "apply" if name == "night" else policy for name in taken}
    own = plan({"quiet": quiet}, isolated_cpus="window", windows=[samples.NIGHT])
    assert set(own.hosts) == {"quiet"}, "the plan's windows are windows, too"
    assert "isolated_cpus" not in slices_of_plan(own)["quiet"].options("reverse")


@pytest.mark.parametrize(
    ("value", "expires"),
    [(None, None), ("", None), ("12", "2026-11-24T00:00:00Z"), ("2026-12-01T00:00:00+01:00", "2026-11-30T23:00:00Z")],
)
def test_expiry(value, expires):
    assert plan({"a": answer()}, expires=value).expires == expires


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({"expires": "2026-11-01T00:00:00Z"}, "plan_expired"),
        ({"expires": "soon"}, "bad_plan"),
        ({"expires": "²"}, "bad_plan"),
        ({"expires": "99999999999"}, "bad_plan"),
        ({"deadline": 60}, "bad_check_times"),
        ({"checks": [{"kind": "prayer"}]}, "bad_check"),
        ({"windows": [{"days": ["sat"]}]}, "bad_window"),
        ({"timezone": "Nowhere", "windows": [{"days": ["sat"], "start": "1:00", "end": "2:00"}]}, "bad_window"),
        ({"freezes": [{"start": "2026-01-01T00:00:00Z"}]}, "bad_freeze"),
        ({"batches": []}, "bad_batches"),
        ({"batches": ["some"]}, "bad_batches"),
        ({"batches": [0]}, "bad_batches"),
        ({"rings": ["a", "a"]}, "bad_batches"),
        ({"rings": [{"name": "a"}]}, "bad_batches"),
        ({"rings": [{"group": "a", "batches": "120%"}]}, "bad_batches"),
        ({"failure_budget": {"percent": 120}}, "bad_plan"),
    ],
)
def test_bad_policies(policy, code):
    with pytest.raises(RebootlessError) as caught:
        plan({"a": answer()}, **policy)
    assert caught.value.code == code


def test_growing_batches():
    hosts = {f"h{number:03}": () for number in range(100)}
    made, rings = make_batches(hosts, read_rings([], read_sizes([1, "10%", "50%", "100%"], "x")))
    assert [len(batch.hosts) for batch in made] == [1, 10, 50, 39]
    assert [batch.name for batch in made] == ["batch 1", "batch 2", "batch 3", "batch 4"]
    assert set(rings.values()) == {"all"}


def test_rings():
    hosts = {"a": ["web"], "b": ["canary", "web"], "c": ["web"], "d": ["db"], "e": ["web"], "f": []}
    rings = read_rings(["canary", {"group": "web", "batches": [1, "100%"]}, "empty"], read_sizes("50%", "x"))
    made, ring_of = make_batches(hosts, rings)
    assert [(batch.name, batch.hosts) for batch in made] == [
        ("canary", ["b"]),
        ("web 1", ["a"]),
        ("web 2", ["c", "e"]),
        ("rest 1", ["d"]),
        ("rest 2", ["f"]),
    ]
    assert ring_of == {"a": "web", "b": "canary", "c": "web", "d": "rest", "e": "web", "f": "rest"}


@given(
    st.lists(st.sampled_from(["canary", "web", "db"]), max_size=30),
    st.lists(st.one_of(st.integers(1, 9), st.integers(1, 100).map("{}%".format)), min_size=1, max_size=4),
    st.booleans(),
)
def test_every_host_is_in_one_batch(groups, sizes, ringed):
    hosts = {f"h{number}": [group] for number, group in enumerate(groups)}
    made, ring_of = make_batches(hosts, read_rings(["canary", "web"] if ringed else [], read_sizes(sizes, "x")))
    assert sorted(name for batch in made for name in batch.hosts) == sorted(hosts)
    assert all(batch.hosts for batch in made)
    assert len({batch.name for batch in made}) == len(made)
    order = {"canary": 0, "web": 1, "rest": 2, "all": 0}
    rings = [order[ring_of[name]] for batch in made for name in batch.hosts]
    assert rings == sorted(rings)


def test_what_people_are_shown():
    hosts = {f"web{number}": answer("47") for number in range(1, 9)}
    hosts["db"] = answer(version="6.1.187-1")
    hosts["far"] = {"unreachable": True, "msg": "No route."}
    made = plan(hosts, failure_budget={"percent": 20}, windows=[samples.NIGHT])
    shown = manifest(entry("47", remarks=[{"sentence": "Only new ones."}], signer=SIGNER))
    text = "\n".join(display.plan_lines(made, shown))
    for part in (
        made.digest,
        "8 hosts in 2 batches",
        "batch 1: 1 host (web1); none may fail",
        "batch 2: 7 hosts (web2, web3, web4, web5, web6, web7, ...); 1 may fail",
        "window: sat, sun 22:00 to 04:00 Europe/Berlin",
        "SHA-256 " + "47" * 32 + ", signed by CN=Fleet (SHA-256 abababababababab, sha256), 8 hosts",
        f"remark ({RELEASE['47']}): Only new ones.",
        "2 hosts left out",
        "unreachable: 1 host (far). unreachable: It cannot be reached: No route. See that",
        "not needed: 1 host (db). kernel_has_fix: It runs 6.1.0-50-cloud-amd64 6.1.187-1, which has the fix.",
    ):
        assert part in text, text
    assert "No host" in "\n".join(display.plan_lines(plan({"db": hosts["db"]}), manifest()))
