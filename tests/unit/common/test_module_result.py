# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules end."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish


@pytest.fixture
def end(capsys):
    """What a module that does ``work`` says, and its exit status."""

    def end(work, known=None):
        with patch_module_args({}):
            module = AnsibleModule(argument_spec={})
            with pytest.raises(SystemExit) as ended:
                finish(module, work, known)
        answer = json.loads(capsys.readouterr().out)
        answer.pop("invocation")
        return answer, ended.value.code

    return end


def test_a_result(end):
    assert end(lambda: {"changed": True, "path": "/x"}) == ({"changed": True, "path": "/x"}, 0)


def test_a_refusal_says_what_was_found_before_it(end):
    known: dict[str, t.Any] = {"changed": False}

    def work():
        known.update(changed=True, name="fix")
        raise RebootlessError("no_match", "Code differs.", "Look.", unit="a.o")

    answer, status = end(work, known)
    assert status == 1
    assert answer == {
        "failed": True,
        "changed": True,
        "name": "fix",
        "msg": "Code differs. Look.",
        "code": "no_match",
        "sentence": "Code differs.",
        "next_step": "Look.",
        "details": {"unit": "a.o"},
    }


def test_what_json_has_no_words_for_is_text(end):
    """Ansible itself would write NaN, which its own reader takes, and no other."""
    odd = {"load": float("nan"), "rows": [{"seconds": float("inf")}], "name": "web\udcff"}
    plain = {"load": "nan", "rows": [{"seconds": "inf"}], "name": "web\\udcff"}
    assert end(lambda: {"changed": False, **odd}) == ({"changed": False, **plain}, 0)

    def refuse():
        raise RebootlessError("bad", "It is.", "Try again.", **odd)

    answer, status = end(refuse, {"load": float("nan")})
    assert (status, answer["details"], answer["load"]) == (1, plain, "nan")
