# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of build_work, which has no other."""

from __future__ import annotations

import dataclasses

from ansible.plugins.action import ActionBase

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import answers, spread
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import display as words
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import parse_manifest

SPEC = {
    "manifest": {"type": "dict", "required": True},
    "answers": {"type": "str", "default": "rebootless_running"},
    "build_hosts": {"type": "list", "elements": "str", "default": []},
    "build_answers": {"type": "str"},
    "again": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        try:
            manifest = parse_manifest(options["manifest"], "The update's manifest")
        except RebootlessError as error:
            return {"failed": True, **error.result()}
        hosts = answers.registered(task_vars["hostvars"], options["answers"])
        found = spread.survey({name: host.answer for name, host in hosts.items()})
        if not found.kernels:
            return {"failed": True, **_no_kernels(found.silent).result()}
        wanted = spread.unbuilt(found.kernels, manifest, options["again"])
        builders = options["build_hosts"]
        if options["build_answers"]:
            builders = answers.answering(task_vars["hostvars"], builders, options["build_answers"])
        work = spread.spread(wanted, builders)
        return {
            "changed": False,
            "kernels": _rows(found.kernels),
            "silent": found.silent,
            "work": {host: _rows(kernels) for host, kernels in work.items()},
            "missing": _rows([kernel for kernel in found.kernels if manifest.kernel(kernel.build_id) is None]),
            "uncovered": spread.uncovered(found.kernels, manifest),
            "text": words.build_lines(found, manifest, work),
        }


def _no_kernels(silent):
    return RebootlessError(
        "no_host_answered",
        "No host of the fleet said which kernel it runs, so there is nothing to build for.",
        "See why the hosts do not answer, or give others in rebootless_targets.",
        silent=silent,
    )


def _rows(kernels):
    return [{**dataclasses.asdict(kernel), "hosts": list(kernel.hosts)} for kernel in kernels]
