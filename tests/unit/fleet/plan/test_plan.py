# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan is what was written, byte for byte and value for value, or it is refused."""

from __future__ import annotations

import hashlib
import json
import typing as t

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.canonical import canonical, sealed, write
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.plan import PlanHost, parse_plan, read_plan
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan.windows import Freeze
from ansible_collections.rebootless.splice.tests.support import other_numbers
from ansible_collections.rebootless.splice.tests.support.fleet import samples


def refusal(data) -> RebootlessError:
    with pytest.raises(RebootlessError) as caught:
        parse_plan(data)
    return caught.value


def test_round_trip(tmp_path):
    path = tmp_path / "plan.json"
    write(path, sealed(samples.plan()))
    plan = read_plan(path)
    assert plan.content == path.read_bytes()
    assert plan.digest == hashlib.sha256(canonical(samples.plan())).hexdigest()
    assert json.loads(path.read_text())["digest"] == plan.digest
    rest = [line for line in path.read_bytes().splitlines(True) if not line.startswith(b' "digest": ')]
    assert hashlib.sha256(b"".join(rest)).hexdigest() == plan.digest, "as documented, without any library"
    assert plan.hosts["web1"] == PlanHost(**samples.plan()["hosts"]["web1"])
    assert [batch.hosts for batch in plan.batches] == [["web1"], ["web2", "web3"]]
    assert plan.left_out["db1"].code == "unsafe_change"


def test_one_content_has_one_digest():
    plan = samples.plan()
    backwards = dict(reversed(plan.items()))
    assert parse_plan(plan).digest == parse_plan(backwards).digest
    assert parse_plan(plan).digest != parse_plan(samples.plan(tries=12)).digest


def test_a_plan_has_the_digest_that_it_had_in_earlier_releases():
    digest = "22a19d9434af6cb877a02ee25d99e066d2b699c36dcbb9b4c2978ea3af4e1c9b"
    assert parse_plan(samples.plan()).digest == digest
    assert parse_plan(samples.plan(blockers="wait")).digest == digest, "as they did it without being told"
    assert parse_plan(samples.plan(blockers="signal")).digest != digest


def test_what_was_edited_by_hand_is_refused(tmp_path):
    path = tmp_path / "plan.json"
    for content in (
        b"",
        b"[]\n",
        b"{",
        sealed(samples.plan()) + b"\n",
        sealed(samples.plan()).replace(b"\n ", b"\n"),
        sealed(samples.plan()).replace(b'"deadline": 1500', b'"deadline": 1501'),
        sealed(samples.plan()).replace(b'"persist": true', b'"persist": false'),
        canonical({**samples.plan(), "digest": "0" * 64}),
        canonical({**samples.plan(), "digest": {}}),
        canonical(samples.plan()),
    ):
        path.write_bytes(content)
        with pytest.raises(RebootlessError) as caught:
            read_plan(path)
        assert caught.value.code == "plan_damaged"
    with pytest.raises(RebootlessError) as caught:
        read_plan(tmp_path / "none.json")
    assert caught.value.code == "plan_missing"


def test_every_field_is_needed_and_no_other():
    for name in samples.plan():
        short = samples.plan()
        del short[name]
        assert refusal(short).code == "bad_plan"
        assert name in refusal(short).sentence
    assert "'colour'" in refusal(samples.plan(colour="red")).sentence


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 2),
        ("kind", "revert"),
        ("store", "store"),
        ("store_url", "ftp://store"),
        ("deadline", "1500"),
        ("concurrency", -1),
        ("concurrency", True),
        ("persist", 1),
        ("revert_scope", "all"),
        ("tries", 0),
        ("blockers", "kill"),
        ("created", "yesterday"),
        ("expires", "2026-12-24T18:00:00"),
        ("check_times", [60, 300]),
        ("check_times", [0, 300, 60]),
        ("failure_budget", {"hosts": 0, "percent": 101}),
        ("failure_budget", {"hosts": 0}),
        ("policy", {"uncovered": "ignore"}),
        ("approvals", {"required": -1}),
        ("batches", [{"name": "canary", "hosts": ["web1"]}]),
        ("batches", [{"name": "all", "hosts": ["web1", "web2", "web3"]}]),
        ("batches", [{"name": "a", "hosts": ["web1"]}, {"name": "b", "hosts": ["web2", "web3", "web2"]}]),
        ("batches", [{"name": "a", "hosts": ["web1"]}, {"name": "b", "hosts": ["web2", "web3", "web4"]}]),
        ("batches", [*samples.plan()["batches"], {"name": "none", "hosts": []}]),
        ("left_out", {"web1": samples.plan()["left_out"]["db1"]}),
    ],
)
def test_bad_values(field, value):
    assert refusal(samples.plan(**{field: value})).code == "bad_plan"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("package", "../../etc/passwd"),
        ("package", "-x.rbl.tar.gz"),
        ("sha256", "AB" * 32),
        ("build_id", ""),
        ("size", 0),
        ("batch", 1),
        ("ring", ""),
    ],
)
def test_bad_hosts(field, value):
    data = samples.plan()
    data["hosts"]["web1"][field] = value
    assert refusal(data).code == "bad_plan"
    assert "web1" in refusal(data).sentence


def test_health_checks_are_checked():
    assert refusal(samples.plan(deadline=900)).code == "bad_check_times"
    assert refusal(samples.plan(checks=[{"kind": "port", "port": 0}])).code == "bad_check"
    others: tuple[t.Any, ...] = ([], {}, None, 1, "ports")
    for kind in others:
        assert refusal(samples.plan(checks=[{"kind": kind}])).code == "bad_check"


def test_times_that_utc_has_no_year_for():
    for value in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert value in refusal(samples.plan(created=value)).sentence
        assert refusal(samples.plan(expires=value)).code == "bad_plan"
        assert refusal(samples.plan(freezes=[{"start": value, "end": value, "reason": ""}])).code == "bad_freeze"


def test_windows_and_freezes_are_checked():
    assert refusal(samples.plan(windows=[{**samples.NIGHT, "start": "25:00"}])).code == "bad_window"
    assert refusal(samples.plan(windows=[{**samples.NIGHT, "timezone": "Europe/Atlantis"}])).code == "timezone_unknown"
    assert refusal(samples.plan(freezes=[{"start": "x", "end": "y", "reason": ""}])).code == "bad_freeze"
    data = samples.plan()
    data["hosts"]["web2"]["windows"] = [{**samples.NIGHT, "days": ["sunday"]}]
    assert refusal(data).code == "bad_window"


def test_a_host_has_the_freezes_of_the_plan_and_its_own():
    plan = parse_plan(samples.plan())
    assert [freeze.reason for freeze in plan.freezes] == ["end of the year"]
    assert plan.hosts["web1"].freezes == []
    assert plan.hosts["web3"].freezes == [Freeze(**samples.FAIR)]
    data = samples.plan()
    for rows, code in (([], "bad_plan"), ([{**samples.FAIR, "end": "2026"}], "bad_freeze")):
        data["hosts"]["web3"]["freezes"] = rows
        assert refusal(data).code == code


def test_the_budget_is_the_larger_of_two():
    plan = parse_plan(samples.plan(failure_budget={"hosts": 0, "percent": 50}))
    assert [plan.budget(0), plan.budget(1)] == [0, 1]
    plan = parse_plan(samples.plan(failure_budget={"hosts": 2, "percent": 50}))
    assert [plan.budget(0), plan.budget(1)] == [2, 2]


# Options of health checks that are seconds, of which there can be parts.
SECONDS = {"delay", "timeout", "max_load_per_cpu"}


def test_whole_numbers_are_no_others():
    plan = samples.plan(checks=[{"kind": "port", "port": 22, "retries": 2, "delay": 5, "timeout": 30}])
    parse_plan(plan)
    seen = set()
    for place, other, changed in other_numbers.variants(plan):
        if isinstance(other, float) and place[-1] in SECONDS:
            continue
        with pytest.raises(RebootlessError) as caught:
            parse_plan(changed)
        assert caught.value.code in ("bad_plan", "bad_check", "bad_check_times"), (place, other)
        seen.add(place[0])
    assert seen >= {"format", "hosts", "check_times", "deadline", "failure_budget", "approvals", "checks", "tries"}
