#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_info
short_description: Tells the machines of a lab, their state, and whether one panicked
version_added: 0.1.0
description:
  - Returns for each machine of a lab whether it runs, how to reach it, and the reason of a kernel panic as its serial
    console tells it.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.build_host
  - rebootless.splice.attributes.info
options:
  directory:
    description: Directory of the lab.
    type: path
    required: true
  wait:
    description:
      - Whether to wait until the SSH server of every machine answers, and to fail if one panicked or does not run.
      - Check mode does not wait.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for all of them.
    type: int
    default: 300
seealso:
  - module: rebootless.splice.lab_machine
"""

EXAMPLES = r"""
- name: Look at the machines
  rebootless.splice.lab_info:
    directory: ~/.cache/rebootless/lab/default
  register: lab

- name: Wait until all of them answer
  rebootless.splice.lab_info:
    directory: ~/.cache/rebootless/lab/default
    wait: true

- name: Stop if one of them panicked
  ansible.builtin.assert:
    that: lab.machines | selectattr('panic', 'string') | length == 0
    fail_msg: "{{ lab.machines | selectattr('panic', 'string') | map(attribute='console') | join(', ') }}"
"""

RETURN = r"""
machines:
  description: The machines of the lab, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The machine's name.
      returned: success
      type: str
      sample: lab1
    state:
      description: V(running), V(panicked) (it stands still) or V(stopped).
      returned: success
      type: str
      sample: running
    directory:
      description: The machine's directory.
      returned: success
      type: str
      sample: /root/.cache/rebootless/lab/default/lab1
    pid:
      description: Its process, if it runs.
      returned: success
      type: int
      sample: 4711
    kernel:
      description: The release of the kernel that it booted.
      returned: success
      type: str
      sample: 6.1.0-50-cloud-amd64
    accelerator:
      description: V(kvm), V(tcg) or V(tcg_single).
      returned: success
      type: str
      sample: tcg
    ssh_host:
      description: The address of its SSH server, on this machine.
      returned: success
      type: str
      sample: 127.0.0.1
    ssh_port:
      description: The port of its SSH server, on this machine.
      returned: success
      type: int
      sample: 34567
    host_key:
      description: The public key of its SSH server.
      returned: success
      type: str
      sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8m0ZVcZ7mO lab1
    console:
      description: Path of its serial console's log, of all its starts.
      returned: success
      type: str
      sample: /root/.cache/rebootless/lab/default/lab1/console.log
    monitor:
      description: Path of its QEMU monitor's socket (machine protocol).
      returned: success
      type: str
      sample: /root/.cache/rebootless/lab/default/lab1/qmp.sock
    panic:
      description: The reason of the last kernel panic since it was started, V(null) if there was none.
      returned: success
      type: str
      sample: sysrq triggered crash
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: machine_panicked
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: "Machine lab1 panicked: sysrq triggered crash."
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Read its serial console; start it again with state restarted.
details:
  description: Facts of the refusal, such as C(machine), C(console), and the last lines of it as C(tail).
  returned: failure
  type: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.machine import Machine, machines_of
from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish


def wait_for(machines: list[Machine], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    for machine in machines:
        machine.wait(deadline - time.monotonic())


def look(module: AnsibleModule) -> dict[str, Any]:
    machines = machines_of(module.params["directory"])
    if module.params["wait"] and not module.check_mode:
        wait_for(machines, module.params["timeout"])
    return {"changed": False, "machines": [machine.status() for machine in machines]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "wait": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    finish(module, lambda: look(module))


if __name__ == "__main__":
    main()
