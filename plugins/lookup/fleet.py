# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet
short_description: The hosts of a play that must not be without any
version_added: 0.1.0
description:
  - Returns the patterns that it gets, for C(hosts), and fails where no host of the inventory matches them.
  - Ansible skips a play without hosts and ends well, so that a mistyped group would look like a fleet that was worked
    on.
  - The same with C(--limit), which takes away the controller, and with it the plays that decide and judge. It is
    refused unless O(limited).
author:
  - The rebootless.splice authors (@rebootless)
options:
  _terms:
    description: Patterns of hosts, or lists of them.
    type: list
    elements: raw
    required: true
  limited:
    description: Whether C(--limit) may leave a part of the hosts. It must not leave none.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Ask the fleet
  hosts: "{{ query('rebootless.splice.fleet', rebootless_targets | default('all')) }}"
  gather_facts: false
  tasks:
    - name: Ask for the running kernel
      rebootless.splice.kernel_info:
"""

RETURN = r"""
_raw:
  description: The patterns.
  type: list
  elements: str
"""

from ansible import context  # noqa: E402
from ansible.errors import AnsibleError, AnsibleLookupError  # noqa: E402
from ansible.inventory.manager import InventoryManager  # noqa: E402
from ansible.plugins.lookup import LookupBase  # noqa: E402

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError  # noqa: E402
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import targets  # noqa: E402


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        patterns = targets.flat(terms)
        if context.CLIARGS.get("syntax"):  # a playbook that is only looked at has no inventory
            return patterns
        variables = variables or {}
        limit = str(variables.get("ansible_limit") or "")
        try:
            if not self.get_option("limited"):
                targets.demand_unlimited(limit)
                limit = ""
            found = self._matching(variables.get("groups", {}), patterns, limit)
            targets.demand_some(found, patterns, limit)
        except RebootlessError as error:
            # Ansible would say the cause once more.
            raise AnsibleLookupError(f"[{error.code}] {error}") from None
        return patterns

    def _matching(self, groups, patterns, limit):
        """The hosts that Ansible will find for the play."""
        manager = InventoryManager(self._loader, parse=False)
        for group, hosts in groups.items():
            manager.add_group(group)
            for host in hosts:
                manager.add_host(host, group=group)
        try:
            manager.subset(limit or None)
            return [host.name for host in manager.get_hosts(pattern=patterns)]
        except AnsibleError:
            return []
