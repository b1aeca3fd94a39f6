# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins share: arguments are checked before anything is done, and a refusal is a result."""

from __future__ import annotations

import os
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row


class FleetAction(ActionBase):
    """Base of the action plugins, which all run on the controller.

    ``SPEC`` are the arguments; ``RULES`` what ``validate_argument_spec`` has to know besides, such as ``required_if``.
    """

    SPEC: t.ClassVar[Row] = {}
    RULES: t.ClassVar[Row] = {}
    _requires_connection = False

    def run(self, tmp: t.Any = None, task_vars: Row | None = None) -> Row:
        """The task's result; a ``RebootlessError`` becomes one that failed."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _validation, given = self.validate_argument_spec(self.SPEC, **self.RULES)
        try:
            done = self.act(given, variables)
        except RebootlessError as error:
            done = {"failed": True, **error.result()}
        return {**result, "changed": False, **done}

    def act(self, given: Row, variables: Row) -> Row:
        """Does the task's work; ``given`` are its arguments.  Raises ``RebootlessError``."""
        raise NotImplementedError


def playbook_process() -> int:
    """The process ID of ansible-playbook itself: each task runs in a child of it."""
    return os.getppid()
