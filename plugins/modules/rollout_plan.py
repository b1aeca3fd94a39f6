#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_plan
short_description: Writes down what a rollout will do
version_added: 0.1.0
description:
  - Makes a plan of the hosts, their kernels, the package for each, the batches and the rules, and writes it to a file.
    The SHA-256 of that file names the plan.
  - Uses what M(rebootless.splice.kernel_info) returned for the hosts, the update store, and these variables of a host
    in the inventory - C(rebootless_windows), C(rebootless_freezes) and C(rebootless_timezone), in the form of
    O(windows), O(freezes) and O(timezone).
  - Hosts for which there is nothing to do, or no package, are in the plan with the reason.
  - Every package of the update in the store is verified.
  - Runs on the controller, and touches no host.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.controller
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows the plan.
  idempotent:
    support: full
    details:
      - A plan that would differ only in who made it when is left as it is, and keeps its digest.
options:
  path:
    description: Where the plan is written, on the controller.
    type: path
    required: true
  store:
    description: Directory of the update store.
    type: path
    required: true
  name:
    description: Name of the update.
    type: str
    required: true
  version:
    description: Version of the update.
    type: str
    default: "1"
  answers:
    description:
      - Name of the variable in which each host's result of M(rebootless.splice.kernel_info) was registered. Hosts
        without it are not planned for.
    type: str
    default: rebootless_running
  store_url:
    description:
      - Where targets find the store over the network, if they are to fetch their packages themselves. Without it, the
        controller sends them.
    type: str
  batches:
    description:
      - Sizes of the batches one after the other, as numbers of hosts or as percentages such as V(10%). The last one
        holds for all that follow.
    type: list
    elements: raw
    default: [1, "10%", "50%", "100%"]
  rings:
    description:
      - Groups of the inventory that are worked through one after the other. A host belongs to the first of them that it
        is in; hosts in none of them come last, in batches of O(batches).
      - Each is the name of a group, which is then one batch, or a dictionary with C(group) and its own C(batches).
    type: list
    elements: raw
    default: []
  checks:
    description: Health checks besides those that are always made. C(docs/fleet.md) lists them.
    type: list
    elements: dict
    default: []
  check_times:
    description: When the checks are made, in seconds after the update was applied.
    type: list
    elements: int
    default: [0, 60, 300, 900]
  deadline:
    description: Seconds after which an update that was not confirmed reverses itself.
    type: int
    default: 1800
  task_timeout:
    description: Seconds that one step on one host may take.
    type: int
    default: 300
  failure_budget:
    description: How many hosts of a batch may fail. The larger one of both limits holds.
    type: dict
    default: {}
    suboptions:
      hosts:
        description: A number of hosts.
        type: int
        default: 0
      percent:
        description: A share of the batch, rounded down.
        type: int
        default: 0
  revert_scope:
    description: What goes back when a batch has more failed hosts than its budget.
    type: str
    default: batch
    choices:
      host:
        - The hosts that failed.
      batch:
        - The whole batch.
      rollout:
        - All hosts of the rollout.
  concurrency:
    description: How many hosts are applied to at the same time, if that is to be less than Ansible's forks. V(0) is no
      limit.
    type: int
    default: 0
  persist:
    description: Whether confirmed updates are applied again when the host boots the same kernel.
    type: bool
    default: true
  windows:
    description:
      - When hosts may be worked on, unless they have windows of their own. Without any, always.
      - Each has C(days), a list of V(mon) to V(sun); C(start) and C(end) as HH:MM, of which an end that is not after
        the start is on the next day; and C(timezone).
    type: list
    elements: dict
    default: []
  timezone:
    description: The time zone of windows that name none, such as V(Europe/Berlin).
    type: str
    default: UTC
  freezes:
    description:
      - When nothing may be done, within a window either. Each has C(start) and C(end), ISO 8601 times with their
        offset, and C(reason).
    type: list
    elements: dict
    default: []
  uncovered:
    description: What follows if there is no package for a host that may need one, or no word from it.
    type: str
    default: report
    choices:
      report:
        - It is reported, and left out.
      stop:
        - The task fails; the plan is written all the same, with the reasons.
  reboot_pending:
    description: What follows if a host has a kernel on disk that has the fix, and does not run it.
    type: str
    default: patch
    choices:
      patch:
        - The running kernel is patched, if there is a package for it.
      reboot:
        - The host is left out as one that needs a reboot.
  tries:
    description: How often a host tries to apply an update while a task sleeps in a function that changes.
    type: int
    default: 11
  blockers:
    description: What a host does about tasks that stay in a function that changes, as in M(rebootless.splice.update).
    type: str
    default: wait
    choices: [refuse, signal, wait]
  isolated_cpus:
    description:
      - Whether hosts that keep CPUs free of interruptions are worked on, as in M(rebootless.splice.update).
      - What is not worked on is left out of the plan, with the CPUs. The way back is never held up by it.
    type: str
    default: refuse
    choices:
      refuse:
        - No.
      window:
        - If they have maintenance windows, of their own or the plan's.
      apply:
        - Yes.
  metrics_directory:
    description: Directory on the targets where metrics for Prometheus are written, if that is wanted.
    type: str
  expires:
    description: When the plan is no longer good, as a number of hours or an ISO 8601 time with its offset.
    type: str
  approvals:
    description: How many approvals the plan needs. Nothing collects approvals yet, so a rollout refuses other values
      than V(0).
    type: int
    default: 0
seealso:
  - module: rebootless.splice.update_store
  - module: rebootless.splice.kernel_info
"""

EXAMPLES = r"""
- name: Plan the rollout
  rebootless.splice.rollout_plan:
    path: /srv/rebootless/plans/cve-2026-52928-1.0.json
    store: /srv/rebootless/store
    name: cve-2026-52928
    version: "1.0"
    rings: [canary, {group: web, batches: ["10%", "50%", "100%"]}]
    windows:
      - {days: [sat, sun], start: "22:00", end: "04:00", timezone: Europe/Berlin}
    checks:
      - {kind: url, name: web answers, url: "http://localhost/health"}
    failure_budget: {percent: 2}
  register: planned

- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ planned.text }}"
"""

RETURN = r"""
path:
  description: Where the plan is.
  returned: success
  type: str
digest:
  description: SHA-256 of the plan's file, which names the plan.
  returned: success
  type: str
  sample: 0c6bcff6fd5a4a2b9d5bd8c9a3ec1d4bbcbd3df8f6c2f9a4f3f4c4a5b2b0a111
plan:
  description: The plan. C(docs/fleet.md) describes all of it.
  returned: success
  type: dict
text:
  description: The plan for people, in lines.
  returned: success
  type: list
  elements: str
uncovered:
  description: Hosts for which there is no package although they may need one, or no word.
  returned: success
  type: list
  elements: str
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: store_damaged
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: /srv/store/cve-2026-52928/1.0/6.1.0-50-cloud-amd64.rbl.tar.gz has 0 bytes and not 60213.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Run the build playbook again, which replaces what is damaged, or take the files from a backup.
details:
  description: Facts of the refusal.
  returned: failure
  type: dict
"""
