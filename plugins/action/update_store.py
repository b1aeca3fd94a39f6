# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of update_store, which runs on the controller alone."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.action import FleetAction
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store import contribution
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.store import Store

ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "version": {"type": "str", "default": "1"},
    "cves": {"type": "list", "elements": "str", "default": []},
    "patches": {"type": "list", "elements": "path", "required": True},
    "custom": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "source": {"type": "str", "required": True},
        },
    },
    "fixed_in": {"type": "list", "elements": "str", "default": []},
    "ignore_missing": {"type": "list", "elements": "str", "default": []},
    "builds": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "release": {"type": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "build_id": {"type": "str", "required": True},
            "arch": {"type": "str", "default": ""},
            "package": {"type": "path"},
            "result": {"type": "dict", "default": {}},
            "build_host": {"type": "str", "default": ""},
            "hosts": {"type": "list", "elements": "str"},
        },
    },
}


class ActionModule(FleetAction):
    SPEC = ARGUMENTS
    _supports_check_mode = True
    _supports_diff = True

    def act(self, given, variables):
        store = Store(given["path"])
        update, files = contribution.describe(given)
        for build in given["builds"]:
            entry, package = contribution.entry(update, _build(build))
            update = update.with_kernels([entry])
            files = {**files, **package}
        change = store.add(update, files, dry=self._task.check_mode)
        result = {
            "changed": change.changed,
            "path": store.path(update.name, update.version),
            "manifest": change.after.to_json(),
            "manifest_sha256": change.after.digest,
            "written": change.written,
        }
        if self._task.diff:
            before = change.before.content.decode() if change.before else ""
            result["diff"] = {"before": before, "after": change.after.content.decode()}
        return result


def _build(given):
    """One of the task's builds; which hosts run the kernel is not kept."""
    return contribution.ListedBuild(
        **{name: value for name, value in given.items() if name != "hosts" and value is not None}
    )
