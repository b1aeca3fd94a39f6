#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: build_work
short_description: Says for which kernels of the fleet an update is still to be built, and shares them out
version_added: 0.1.0
description:
  - Collects what M(rebootless.splice.kernel_info) returned for all hosts into the kernels that the fleet runs, each by
    its build ID once.
  - Compares them with an update's manifest, and shares those without an answer out to build hosts.
  - Runs on the controller and does nothing elsewhere.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.info
  - rebootless.splice.attributes.controller
options:
  manifest:
    description: The update's manifest, as M(rebootless.splice.update_store) returned it.
    type: dict
    required: true
  answers:
    description:
      - Name of the variable in which each host's result of M(rebootless.splice.kernel_info) was registered. Hosts
        without it are no part of the fleet.
    type: str
    default: rebootless_running
  build_hosts:
    description: The hosts that the work is shared out to.
    type: list
    elements: str
    default: []
  build_answers:
    description:
      - Name of the variable in which a result of each build host was registered. Without a good one, a build host gets
        no work.
    type: str
  again:
    description:
      - Build IDs or releases of kernels that are built for although the manifest has an answer, or V(all).
    type: list
    elements: str
    default: []
  signed:
    description:
      - Whether the builds have a signer. Then kernels whose package in the store is not signed are built for again.
      - A package of another signer is an answer; O(again) has it replaced.
    type: bool
    default: false
seealso:
  - module: rebootless.splice.update_store
  - module: rebootless.splice.kernel_info
"""

EXAMPLES = r"""
- name: Share the work out
  rebootless.splice.build_work:
    manifest: "{{ kept.manifest }}"
    build_hosts: "{{ groups.builders }}"
  register: work

- name: Show who builds for what
  ansible.builtin.debug:
    msg: "{{ work.text }}"
"""

RETURN = r"""
kernels:
  description: The kernels that the fleet runs.
  returned: success
  type: list
  elements: dict
  sample:
    - build_id: bb603a9147d3efe4744bf83c83eee397c591cc20
      release: 6.1.0-50-cloud-amd64
      version: 6.1.176-1
      arch: x86_64
      hosts: [web1, web2]
silent:
  description: The hosts that did not say which kernel they run, and why.
  returned: success
  type: dict
  sample: {"db1": "It cannot be reached: Connection timed out."}
work:
  description: For each build host that has something to do, the kernels that it is to build for.
  returned: success
  type: dict
missing:
  description: The kernels of which the manifest says nothing at all.
  returned: success
  type: list
  elements: dict
text:
  description: The same for people, in lines.
  returned: success
  type: list
  elements: str
uncovered:
  description: Releases of the fleet's kernels for which there is no package although they may need one.
  returned: success
  type: list
  elements: str
"""
