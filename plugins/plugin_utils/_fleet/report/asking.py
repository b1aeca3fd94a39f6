# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How action plugins ask hosts: one that does not answer is a row of what is found, and no end of the run."""

from __future__ import annotations

import contextlib
import typing as t

from ansible.errors import AnsibleError

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.action import FleetAction
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.report.values import text


class AskingAction(FleetAction):
    """Base of the action plugins whose step ``gather`` asks each host by a module, and whose others gather nothing."""

    TRANSFERS_FILES = False

    def ask(self, module: str, arguments: Row, variables: Row) -> Row:
        """What a module says on the task's host, where it leaves nothing.  Raises ``AnsibleError``."""
        try:
            return t.cast(Row, self._execute_module(module_name=module, module_args=arguments, task_vars=variables))
        finally:
            with contextlib.suppress(AnsibleError):  # gone in the meantime
                self._remove_tmp_path(self._connection._shell.tmpdir)

    def ask_host(self, module: str, state_directory: str, variables: Row) -> tuple[Row, str]:
        """What the module's step ``gather`` says, and why the host gave no answer with its kernel ("" if it did)."""
        try:
            said = self.ask(module, {"step": "gather", "state_directory": state_directory}, variables)
        except AnsibleError as error:  # unreachable hosts among them
            return {}, text(error)
        if not said.get("failed") and said.get("kernel"):
            return said, ""
        why = text(said.get("module_stderr"), 400) or text(said.get("msg"))
        return said, why or "The host gave no answer that can be read."
