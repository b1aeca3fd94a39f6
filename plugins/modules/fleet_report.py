#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: Reports how the hosts of a fleet stand with their live patches
version_added: 0.1.0
description:
  - First each host is asked (O(step=gather)), then one report is written (O(step=write)) from the answers and from what
    the controller keeps below O(directory), which is plans, evidence of rollouts, and the store of updates.
  - The report is an HTML page (one file that loads nothing), a table for spreadsheets (CSV), and JSON.
  - A host that does not answer is said to be so, and fails nothing. What is recorded of it is reported, and what it
    said the last time it was asked.
  - Where a host's kernel and the record disagree, the kernel is right; a host that was confirmed, and on which the
    update is not live any more, is reported as failed.
  - The hash chain of the evidence is verified, and the report says what was found.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.target
attributes:
  check_mode:
    support: full
    details:
      - Hosts are asked, and nothing is written.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A report that says what the last one said, but for the time of writing, is no change.
  action:
    description: Has an action plugin, which does part of the work on the controller.
    support: full
options:
  step:
    description:
      - V(gather) asks the host, and keeps its answer on the controller. It runs once for each host.
      - V(write) writes the report. It runs once, under C(run_once), in the same play.
    type: str
    choices: [gather, write]
    required: true
  directory:
    description: The directory on the controller where the collection keeps its plans, evidence, store and answers.
    type: path
    default: ~/.rebootless
  others:
    description:
      - More directories of this kind, such as those of other controllers or of other slices of the fleet. Their plans,
        evidence and stores are reported together with those of O(directory).
    type: list
    elements: path
    default: []
  dest:
    description:
      - The directory on the controller that the report is written into, as C(report.html), C(hosts.csv) and
        C(report.json).
      - If omitted, C(report) in O(directory).
    type: path
  hosts:
    description:
      - The hosts that the report is about. They are to have been asked by O(step=gather) in the same run.
      - If omitted, all hosts of the play.
      - With an empty list the report is written from plans and evidence alone, about the hosts that they name.
    type: list
    elements: str
  updates:
    description: The names of the updates to report. If omitted, all that a plan, the store or a host knows.
    type: list
    elements: str
    default: []
  retired:
    description:
      - The names of updates that are over, such as one that was taken back for good, or an experiment. They are
        reported only while a host has them live.
    type: list
    elements: str
    default: []
  state_directory:
    description: Where hosts keep the packages of their updates.
    type: path
    default: /var/lib/rebootless
seealso:
  - module: rebootless.splice.kernel_info
  - module: rebootless.splice.update_info
"""

EXAMPLES = r"""
- name: Ask each host
  rebootless.splice.fleet_report:
    step: gather
  become: true

- name: Write the report
  rebootless.splice.fleet_report:
    step: write
    dest: /srv/www/rebootless
  run_once: true

- name: Write a report from the evidence alone
  rebootless.splice.fleet_report:
    step: write
    hosts: []
  run_once: true
"""

RETURN = r"""
reachable:
  description: Whether the host answered.
  returned: O(step=gather)
  type: bool
why:
  description: Why it did not.
  returned: O(step=gather), if the host did not answer
  type: str
  sample: "Connection timed out"
files:
  description: Paths of the report on the controller.
  returned: O(step=write)
  type: dict
  sample:
    html: /root/.rebootless/report/report.html
    csv: /root/.rebootless/report/hosts.csv
    json: /root/.rebootless/report/report.json
states:
  description: How many hosts are in each state; a host counts by its worst update.
  returned: O(step=write)
  type: dict
  sample: {"failed": 1, "unknown": 0, "pending": 0, "uncovered": 1, "reboot needed": 0, "applied": 0, "confirmed": 3}
cves:
  description: For each CVE the share of the fleet that is fixed, in per cent.
  returned: O(step=write)
  type: dict
  sample: {"CVE-2026-52928": 66.7}
evidence:
  description:
    - For each rollout, by the digest of its plan, whether its chain of hashes is V(intact), V(incomplete), V(broken),
      or V(none).
  returned: O(step=write)
  type: dict
  sample: {"baedfd9402e9": "intact"}
summary:
  description: The report in a sentence.
  returned: O(step=write)
  type: str
  sample: "6 hosts: 1 failed, 1 uncovered, 3 confirmed, 1 not needed; 6 of 6 answered."
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: sysfs_hidden
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: >-
    What the kernel shows in /sys/kernel is not to be seen here, as in a container, so it cannot be told what to do
    with an update, and what is applied is not known.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Run the task on the host itself.
details:
  description: Facts of the refusal, such as the path that is missing.
  returned: failure
  type: dict
  sample: {"path": /sys/kernel}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish
from ansible_collections.rebootless.splice.plugins.module_utils._target import inventory
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import store


def main() -> None:
    # What runs on a host: the one question that the report asks. The options of other steps are the controller's.
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": ["gather", "write"], "required": True},
            "directory": {"type": "path", "default": "~/.rebootless"},
            "others": {"type": "list", "elements": "path", "default": []},
            "dest": {"type": "path"},
            "hosts": {"type": "list", "elements": "str"},
            "updates": {"type": "list", "elements": "str", "default": []},
            "retired": {"type": "list", "elements": "str", "default": []},
            "state_directory": {"type": "path", "default": store.DIRECTORY},
        },
        supports_check_mode=True,
    )
    finish(module, lambda: _found(store.Store(module.params["state_directory"])))


def _found(kept: store.Store) -> dict:
    known = inventory.updates(kept)
    keys = ("name", "version", "digest", "state", "cves", "deadline", "held_by", "abort", "pause_ns")
    updates = [{key: row[key] for key in keys} for row in known]
    return {"kernel": inventory.kernel(kept), "updates": updates}


if __name__ == "__main__":
    main()
