# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: described
short_description: What a playbook lacks to begin
version_added: 0.1.0
description:
  - Looks whether operators have described what a playbook works on, before it asks any host for anything.
  - Returns what is wrong, with its code and what to do next; nothing if all is well.
author:
  - The rebootless.splice authors (@rebootless)
options:
  _terms:
    description:
      - What the playbook cannot do without. V(update) is an update that O(update) names or describes, V(patches) one
        whose patches it gives, V(plan) is O(plan), V(either) a plan or an update.
    type: list
    elements: str
    required: true
  update:
    description: C(rebootless_update), if it is there.
    type: raw
  plan:
    description: C(rebootless_plan), if it is there.
    type: raw
"""

EXAMPLES = r"""
- name: See what is asked for
  ansible.builtin.assert:
    that: wrong | length == 0
    fail_msg: "{{ wrong | join(' ') }}"
    quiet: true
  vars:
    wrong: "{{ query('rebootless.splice.described', 'patches', update=rebootless_update | default('')) }}"
"""

RETURN = r"""
_raw:
  description: Sentences.
  type: list
  elements: str
"""

from ansible.plugins.lookup import LookupBase  # noqa: E402

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError  # noqa: E402
from ansible_collections.rebootless.splice.plugins.plugin_utils._fleet import described  # noqa: E402


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        try:
            for needed in terms:
                described.demand(needed, self.get_option("update"), self.get_option("plan"))
        except RebootlessError as error:
            return [f"[{error.code}] {error}"]
        return []
