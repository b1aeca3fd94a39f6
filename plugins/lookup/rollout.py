# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout
short_description: The hosts of a play of a rollout, and the sizes of its batches
version_added: 0.1.0
description:
  - Reads the directory of a run, as M(rebootless.splice.rollout_run) made it, and returns the hosts of a play or the
    sizes of its batches, for C(hosts) and C(serial).
  - A play of a rollout with other hosts, or in other batches, is not the one that was planned.
author:
  - The rebootless.splice authors (@rebootless)
options:
  _terms:
    description:
      - V(rollout) are the hosts that the rollout still has to bring forward, V(revert) those that it has to take back,
        V(fail) those that failed, and V(localhost) if the run did not come to its end.
      - With V(rollout), each batch of a plan that has health checks of the kind C(tasks) ends with its guard, if the
        inventory has it (RV(rebootless.splice.rollout_run#module:guards)).
      - V(tasks) are no hosts but the files with tasks that O(plan) has for health checks.
    type: list
    elements: str
    required: true
  run:
    description:
      - The directory of the run. The default is what the task of M(rebootless.splice.rollout_run) returned that
        C(localhost) registered as C(rebootless_run); before there is one, there are no hosts.
    type: path
  plan:
    description: Path of a plan, for V(tasks).
    type: path
  serial:
    description: Whether to return the sizes of the batches instead of the hosts.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Roll out
  hosts: "{{ query('rebootless.splice.rollout', 'rollout') }}"
  serial: "{{ query('rebootless.splice.rollout', 'rollout', serial=true) }}"
  gather_facts: false
  strategy: ansible.builtin.linear
  tasks:
    - name: Bring the batch forward
      ansible.builtin.import_role:
        name: rebootless.splice.rollout
        rolespec_validate: false
"""

RETURN = r"""
_raw:
  description:
    - Hosts in the order of their batches, or numbers of hosts.
    - Hosts by their names. A name that Ansible would take for something else is a pattern that it alone matches.
  type: list
"""

from multiprocessing import current_process  # noqa: E402

from ansible import context  # noqa: E402
from ansible.errors import AnsibleLookupError  # noqa: E402
from ansible.plugins.lookup import LookupBase  # noqa: E402
from ansible.utils.display import Display  # noqa: E402

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError  # noqa: E402
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import targets  # noqa: E402
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run import interrupted  # noqa: E402
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.files import RunFiles  # noqa: E402
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet.run.selection import WHAT, task_files_of  # noqa: E402


def _registered(variables):
    """The run that localhost began; none while a playbook is only looked at."""
    try:
        return variables["hostvars"]["localhost"]["rebootless_run"]["run"]
    except (KeyError, TypeError):
        return None


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        path = self.get_option("run") or _registered(variables)
        groups = (variables or {}).get("groups", {})
        found: list = []
        if terms == ["tasks"]:
            return task_files_of(self.get_option("plan"))
        if path is None:
            return found
        files = RunFiles(path)
        if current_process().name == "MainProcess":  # ansible-playbook itself, which looks up the hosts of its plays
            interrupted.watch(path, Display().display, context.CLIARGS.get("forks") or 1)
        for term in terms:
            if term not in WHAT:
                raise AnsibleLookupError(f"{term!r} is not one of {', '.join(WHAT)}.")
            try:
                batches = [
                    [targets.exactly(host, groups) for host in batch]
                    for batch in WHAT[term](files, groups.get("all", ()))
                ]
            except RebootlessError as error:
                raise AnsibleLookupError(str(error)) from error
            for batch in batches:
                found += [len(batch)] if self.get_option("serial") else batch
        return found
