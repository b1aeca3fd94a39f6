# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which health checks a plan may ask for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.rebootless.splice.plugins.module_utils._common import checks
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

WEB = {"name": "web answers", "kind": "url", "url": "https://127.0.0.1/health"}


def test_the_built_in_ones_are_always_there():
    assert [check["kind"] for check in checks.normalise([])] == ["kernel_log", "taint", "load", "update_state"]
    normal = checks.normalise([WEB, {"kind": "load", "max_load_per_cpu": 4}])
    assert [check["kind"] for check in normal] == ["kernel_log", "taint", "load", "update_state", "url"]
    assert normal[2]["max_load_per_cpu"] == 4
    assert normal[4] == {
        **WEB,
        "status": 200,
        "contains": None,
        "ca": None,
        "retries": 2,
        "delay": checks.PAUSE_S,
        "timeout": 30,
    }


def test_what_is_normal_stays_as_it_is():
    normal = checks.normalise([WEB, {"kind": "command", "cmd": "true"}])
    assert checks.normalise(json.loads(json.dumps(normal))) == normal


def test_defaults_are_not_shared():
    checks.normalise([])[0]["patterns"].append("x")
    assert checks.normalise([])[0]["patterns"] == []


@pytest.mark.parametrize(
    ("check", "word"),
    [
        ("web", "no kind"),
        ({"kind": "ping"}, "'ping' is no kind"),
        ({"kind": "url"}, "needs the option url"),
        ({"kind": "url", "url": "file:///etc/passwd"}, "url of the health check url is not a URL"),
        ({**WEB, "name": ""}, "name"),
        ({**WEB, "retry": 1}, "unknown options: retry. Known are: url, status"),
        ({**WEB, "retries": -1}, "less than 0"),
        ({**WEB, "timeout": 0}, "less than 0.1"),
        ({**WEB, "timeout": 1e9}, "seconds up to"),
        ({**WEB, "status": True}, "whole number"),
        ({"kind": "command"}, "exactly one of argv and cmd"),
        ({"kind": "command", "argv": ["true"], "cmd": "true"}, "exactly one of argv and cmd"),
        ({"kind": "command", "argv": []}, "empty argv"),
        ({"kind": "command", "argv": "true"}, "list of strings"),
        ({"kind": "port", "port": 65536}, "1 to 65535"),
        ({"kind": "kernel_log", "ignore": ["("]}, "regular expressions"),
        ({"kind": "update_state", "retries": 1}, "Known are: none"),
    ],
)
def test_a_wrong_check_is_refused_by_name(check, word):
    with pytest.raises(RebootlessError) as refused:
        checks.normalise([check])
    assert refused.value.code == "bad_check"
    assert word in refused.value.sentence
    assert refused.value.next_step


def test_names_tell_checks_apart():
    with pytest.raises(RebootlessError, match="called web answers"):
        checks.normalise([WEB, WEB])
    with pytest.raises(RebootlessError, match="given twice"):
        checks.normalise([{"kind": "taint"}, {"kind": "taint", "name": "again"}])


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)
OPTIONS = sorted({key for kind in checks.KINDS.values() for key in kind.options})


@given(st.sampled_from(list(checks.KINDS)), st.dictionaries(st.sampled_from(OPTIONS), JSON, max_size=4))
def test_anything_is_refused_or_normal(kind, options):
    try:
        normal = checks.normalise([{"kind": kind, **options}])
    except RebootlessError as error:
        assert error.code == "bad_check"
    else:
        assert checks.normalise(normal) == normal


def test_allowance():
    assert checks.allowance([]) == 0
    assert checks.allowance([{"kind": "load", "max_load_per_cpu": 4}]) == 3 * 30 + 2 * 5
    slow = {"kind": "command", "cmd": "true", "retries": 3, "delay": 10, "timeout": 20}
    assert checks.allowance([slow]) == 4 * 20 + 3 * 10


def test_times():
    assert checks.normalise_times([300, 60, 60], 600, []) == [0, 60, 300]
    for times, deadline in (([0, 600], 600), ([-1], 600), ("0", 600), ([True], 600), ([], 0)):
        with pytest.raises(RebootlessError) as refused:
            checks.normalise_times(times, deadline, [])
        assert refused.value.code == "bad_check_times"
