# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of modules that need the helper module's sources: it sends the collection's own.

Every build host gets them, also one that is the controller: whether a connection ends on the same machine, in the same
container, and as a user who may read the collection cannot be told from here.
"""

from __future__ import annotations

import os
import tempfile
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.vars import merge_hash

from ansible_collections.rebootless.splice.plugins.module_utils._common import helper_source
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.records import Row

KMOD = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", "..", "kmod"))
ARCHIVE = "kmod.zip"


class BuildAction(ActionBase):
    """Runs the module of the same name; a task without ``kmod`` gets the sources of the installed collection."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: t.Any = None, task_vars: Row | None = None) -> Row:
        """The module's result, or a refusal if the collection lacks the sources."""
        result = super().run(tmp, task_vars)
        in_background = bool(self._task.async_val and not self._connection.has_native_async)
        arguments = dict(self._task.args)
        try:
            if not arguments.get("kmod"):
                arguments["kmod"] = self._sent(helper_source.pack(_own_sources()))
            done = self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=in_background)
        except RebootlessError as error:
            return {**result, "failed": True, "changed": False, **error.result()}
        if not in_background:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return merge_hash(result, done)

    def _sent(self, archive: bytes) -> str:
        """The path of the archive on the build host, in a directory that Ansible removes after the task."""
        directory = self._connection._shell.tmpdir or self._make_tmp_path()
        remote = self._connection._shell.join_path(directory, ARCHIVE)
        with tempfile.NamedTemporaryFile(suffix=f"-{ARCHIVE}") as file:
            file.write(archive)
            file.flush()
            self._transfer_file(file.name, remote)
        self._fixup_perms2((directory, remote))
        return str(remote)


def _own_sources() -> helper_source.Sources:
    return helper_source.read_sources(KMOD, "Install the collection again; its directory kmod is a part of it.")
