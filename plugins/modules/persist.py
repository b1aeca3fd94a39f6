#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: persist
short_description: Has confirmed updates applied again when a host boots
version_added: 0.1.0
description:
  - Installs what applies armed updates again early at boot, before the network is up, and arms single updates for it.
  - An armed update is applied only to the very build of the kernel that it is for. It is applied with a deadline, and
    confirmed when the host has run for O(settle) seconds with it.
  - A host that crashes before that does not get the update a second time; it is then in quarantine, see
    M(rebootless.splice.update_info). A reboot in order is no crash, however early it comes.
  - If something goes wrong, the boot goes on without the update. The journal of the unit C(rebootless-boot.service)
    says what it was, and M(rebootless.splice.update_info) too.
  - The kernel argument C(rebootless=off) and the file C(/etc/rebootless/off) keep everything from being applied.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.target
  - rebootless.splice.target
  - rebootless.splice.target.lock
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
requirements:
  - systemd on the target.
options:
  state:
    description: What should be on the host.
    type: str
    default: present
    choices:
      present:
        - What applies updates at boot is installed, as the other options say.
      absent:
        - It is not. The records of what is armed stay, and count again when it is installed.
      armed:
        - The update O(name) is applied again at boot. What does it is installed if it is missing.
      disarmed:
        - The update O(name) is not applied again at boot.
  name:
    description: The update to arm or disarm.
    type: str
  again:
    description:
      - Arm the update although the host crashed soon after it was applied at an earlier boot.
      - It releases an update from quarantine that is not live now; it is applied at the next boot.
    type: bool
    default: false
  fixed_in:
    description:
      - Versions of the distribution's kernel package from which on the fix is in, one for each series of kernels.
      - A host that boots such a kernel does not need the update, and says so.
    type: list
    elements: str
    default: []
  plan:
    description: Digest of the plan of the rollout that arms the update, to be kept with it.
    type: str
    default: ""
  settle:
    description: Seconds that a host has to run until its boot counts as a good one.
    type: int
    default: 120
  deadline:
    description:
      - Seconds after which an update that was applied at boot reverses itself, if the boot has not become a good one.
      - It is longer than O(settle), since timers of systemd start later than the update is applied.
    type: int
    default: 1800
  metrics_directory:
    description:
      - Directory of the textfile collector of Prometheus' node exporter, in which C(rebootless.prom) is written every
        minute; none if this is not given.
    type: path
  fact_file:
    description: Whether other playbooks find what M(rebootless.splice.kernel_info) says in C(ansible_local.rebootless).
    type: bool
    default: true
  switched_off:
    description:
      - With V(true), nothing that is armed is applied at boot; C(/etc/rebootless/off) is there.
      - With V(false), that file is removed. If this is not given, it stays as it is.
    type: bool
seealso:
  - module: rebootless.splice.update
  - module: rebootless.splice.update_info
  - module: rebootless.splice.kernel_info
"""

EXAMPLES = r"""
- name: Install what applies confirmed updates again at boot
  rebootless.splice.persist:
    metrics_directory: /var/lib/prometheus/node-exporter
  become: true

- name: Have a confirmed update applied again at each boot of this kernel
  rebootless.splice.persist:
    state: armed
    name: cve-2026-52928
    fixed_in: [6.1.187-1, 6.12.107-1]
  become: true

- name: Let it go on after the crash was found to have another cause
  rebootless.splice.persist:
    state: armed
    name: cve-2026-52928
    again: true
  become: true
  when: crash_explained | default(false)
"""

RETURN = r"""
files:
  description: What was written or removed, or would be in check mode.
  returned: O(state=present) and O(state=absent)
  type: list
  elements: path
  sample: [/etc/systemd/system/rebootless-boot.service]
boot:
  description: What the next boot of this kernel does with the update; as in M(rebootless.splice.update_info).
  returned: O(state=armed) and O(state=disarmed)
  type: dict
  sample: {"state": unarmed}
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: no_systemd
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: This host is not run by systemd, so nothing can be applied again at its boot.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: After a reboot roll the update out again, or reboot into a fixed kernel.
details:
  description: Facts of the refusal.
  returned: failure
  type: dict
  sample: {}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish
from ansible_collections.rebootless.splice.plugins.module_utils._target.boot import persist, persist_request
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import store


def main() -> None:
    defaults = persist.Settings()
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "default": "present", "choices": ["present", "absent", "armed", "disarmed"]},
            "name": {"type": "str"},
            "again": {"type": "bool", "default": False},
            "fixed_in": {"type": "list", "elements": "str", "default": []},
            "plan": {"type": "str", "default": ""},
            "settle": {"type": "int", "default": defaults.settle},
            "deadline": {"type": "int", "default": defaults.deadline},
            "metrics_directory": {"type": "path"},
            "fact_file": {"type": "bool", "default": defaults.fact_file},
            "switched_off": {"type": "bool"},
            "lock_timeout": {"type": "int", "default": 60},
            "state_directory": {"type": "path", "default": store.DIRECTORY},
        },
        required_if=[("state", "armed", ["name"]), ("state", "disarmed", ["name"])],
        supports_check_mode=True,
    )
    finish(module, lambda: persist_request.run(persist_request.PersistRequest(**module.params), module.check_mode))


if __name__ == "__main__":
    main()
