#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_exposure
short_description: Says which hosts of a fleet are vulnerable to what, and until when that has to be fixed
version_added: 0.1.0
description:
  - First each host is asked once (O(step=gather)) which kernel it runs, which modules it has loaded, which any of its
    users can have it load, and which updates are live. Then its answer is joined with what its kernel has and lacks
    (O(step=write)), as M(rebootless.splice.kernel_cves) says it on the host that the task is delegated to.
  - For each host its open CVEs are ranked by whether they are exploited, then by how near the code is to users of that
    host, then by score and vector, then by age; each has the day until which it has to be fixed.
  - It is written as an HTML page (one file that loads nothing), tables (CSV), JSON, and metrics for Prometheus.
  - A host that does not answer fails nothing, and counts as one that is not fixed.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.target
attributes:
  check_mode:
    support: full
    details:
      - Hosts are asked, and nothing is written; O(step=gather) returns what the host said, which is to be registered as
        C(rebootless_asked).
  diff_mode:
    support: full
    details:
      - Shows what changes in the table of open CVEs.
  idempotent:
    support: full
    details:
      - An exposure that says what the last one said, but for the time of writing, is no change.
  action:
    description: Has an action plugin, which does part of the work on the controller.
    support: full
options:
  step:
    description:
      - V(gather) asks the host, and keeps its answer on the controller. It runs once for each host.
      - V(write) writes the exposure. It runs once, under C(run_once), in the same play, delegated to the build host
        with the feed.
    type: str
    choices: [gather, write]
    required: true
  directory:
    description: The directory on the controller where the collection keeps its plans, evidence, store and answers.
    type: path
    default: ~/.rebootless
  others:
    description: More directories of this kind, such as those of other controllers.
    type: list
    elements: path
    default: []
  dest:
    description:
      - The directory on the controller that C(exposure.html), C(exposure.csv), C(hosts.csv), C(exposure.json) and
        C(exposure.prom) are written into.
      - If omitted, C(exposure/report) in O(directory).
    type: path
  feed:
    description: Directory of the feed on the build host.
    type: path
    default: ~/.cache/rebootless/feed
  trees:
    description:
      - Kernel trees on the build host, by the build ID or the version of the kernel's package, to say which CVEs
        concern a kernel. For others the tree of the same build ID in O(cache) is taken.
    type: dict
    default: {}
  cache:
    description: Directory of the build host's cache.
    type: path
    default: ~/.cache/rebootless
  deadlines:
    description:
      - The rules by which a CVE has to be fixed, of which the first one that matches counts; C(docs/service.md) has
        their fields. Or the name of bands that ship, V(bod_26_04) or V(pci_dss_4).
    type: raw
    default: bod_26_04
  exceptions:
    description:
      - CVEs that may stay open, each with C(cves), C(name), C(reason), C(end), and C(hosts) or C(groups).
    type: list
    elements: dict
    default: []
  metrics_directory:
    description: Directory of the controller's textfile collector, into which the metrics are written as well.
    type: path
  wait:
    description: Seconds to wait for another run that writes into O(dest).
    type: float
    default: 60
  state_directory:
    description: Where hosts keep the packages of their updates.
    type: path
    default: /var/lib/rebootless
seealso:
  - module: rebootless.splice.kernel_cves
  - module: rebootless.splice.fleet_report
"""

EXAMPLES = r"""
- name: Ask each host
  rebootless.splice.fleet_exposure:
    step: gather
  become: true
  register: rebootless_asked

- name: Say who is vulnerable to what
  rebootless.splice.fleet_exposure:
    step: write
    feed: /srv/rebootless/feed
    deadlines:
      - name: exploited
        exploited: true
        days: 3
        since: exploited
      - name: the others
        days: 30
    exceptions:
      - cves: [CVE-2026-52928]
        groups: [lab]
        name: J. Doe
        reason: No users there.
        end: "2026-12-31"
  run_once: true
  delegate_to: builder
  register: exposure

- name: Stop where a deadline is over
  ansible.builtin.assert:
    that: not exposure.late
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
answer:
  description: What the host said.
  returned: O(step=gather), in check mode
  type: dict
files:
  description: Paths of what was written on the controller.
  returned: O(step=write)
  type: dict
  sample: {"html": /root/.rebootless/exposure/report/exposure.html}
hosts:
  description:
    - How many hosts there are, which V(answered) and were V(silent), of which it is V(not_known) what they lack, which
      are V(exposed) to an open CVE and V(late) with one; and pairs of host and CVE.
  returned: O(step=write)
  type: dict
  sample: {"hosts": 3, "answered": 2, "silent": 1, "not_known": 0, "exposed": 3, "late": 1, "pairs": {"open": 40}}
late:
  description: The hosts with a deadline that is over.
  returned: O(step=write)
  type: list
  elements: str
  sample: [web1]
notes:
  description: What limits the whole, in sentences.
  returned: O(step=write)
  type: list
  elements: str
summary:
  description: The exposure in two sentences.
  returned: O(step=write)
  type: str
  sample: >-
    3 hosts: 3 with open CVEs, 1 late, 0 not known; 2 answered. 40 CVEs open, 1 of them exploited; 3 of 80 pairs of
    host and CVE late.
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._target.exposure import host_facts
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import store


def main() -> None:
    # What runs on a host: the one question that is asked. The options of the other step are the controller's.
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": ["gather", "write"], "required": True},
            "directory": {"type": "path", "default": "~/.rebootless"},
            "others": {"type": "list", "elements": "path", "default": []},
            "dest": {"type": "path"},
            "feed": {"type": "path", "default": "~/.cache/rebootless/feed"},
            "trees": {"type": "dict", "default": {}},
            "cache": {"type": "path", "default": "~/.cache/rebootless"},
            "deadlines": {"type": "raw", "default": "bod_26_04"},
            "exceptions": {"type": "list", "elements": "dict", "default": []},
            "metrics_directory": {"type": "path"},
            "wait": {"type": "float", "default": 60},
            "state_directory": {"type": "path", "default": store.DIRECTORY},
        },
        supports_check_mode=True,
    )
    module.exit_json(**host_facts(store.Store(module.params["state_directory"])))


if __name__ == "__main__":
    main()
