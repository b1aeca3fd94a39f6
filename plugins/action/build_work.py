# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of build_work, which runs on the controller alone."""

from __future__ import annotations

import dataclasses

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.action import FleetAction
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.plan import answers, display, spread
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.store.manifest import parse_manifest

ARGUMENTS = {
    "manifest": {"type": "dict", "required": True},
    "answers": {"type": "str", "default": "rebootless_running"},
    "build_hosts": {"type": "list", "elements": "str", "default": []},
    "build_answers": {"type": "str"},
    "again": {"type": "list", "elements": "str", "default": []},
    "signed": {"type": "bool", "default": False},
}


class ActionModule(FleetAction):
    SPEC = ARGUMENTS
    _supports_check_mode = True

    def act(self, given, variables):
        manifest = parse_manifest(given["manifest"], "The update's manifest")
        hosts = answers.registered(variables["hostvars"], given["answers"])
        found = spread.survey({name: host.answer for name, host in hosts.items()})
        if not found.kernels:
            raise _no_kernels(found.silent)
        wanted = spread.unbuilt(found.kernels, manifest, given["again"], given["signed"])
        builders = given["build_hosts"]
        if given["build_answers"]:
            builders = answers.answering(variables["hostvars"], builders, given["build_answers"])
        work = spread.spread(wanted, builders)
        return {
            "changed": False,
            "kernels": _rows(found.kernels),
            "silent": found.silent,
            "work": {host: _rows(kernels) for host, kernels in work.items()},
            "missing": _rows([kernel for kernel in found.kernels if manifest.kernel(kernel.build_id) is None]),
            "uncovered": spread.uncovered(found.kernels, manifest),
            "text": display.build_lines(found, manifest, work),
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
