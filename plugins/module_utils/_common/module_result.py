# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How every module of the collection ends."""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import strict_json
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError


def finish(module: t.Any, work: t.Callable[[], dict[str, t.Any]], known: t.Mapping[str, t.Any] | None = None) -> None:
    """Does a module's ``work`` and ends the module (``AnsibleModule``) with its result.

    A refusal fails the task with its code, sentence, next step and details, and with what ``known`` has been filled
    with by then.  What JSON has no words for is said as text: Ansible would write NaN, which no other reader takes.
    """
    try:
        result = work()
    except RebootlessError as error:
        module.fail_json(**strict_json.plain({**(known or {}), **error.result()}))
    module.exit_json(**strict_json.plain(result))
