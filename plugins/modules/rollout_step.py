#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_step
short_description: Takes one step of a rollout on one host, and records what became of it
version_added: 0.1.0
description:
  - Runs M(rebootless.splice.rollout_host) on the host once, with the options that the plan has for it, after it brought
    the package there if the host does not fetch it by itself.
  - Never fails, so that the host stays in the play. A host that is not reached, or does not answer in time, gets the
    state V(lost). M(rebootless.splice.rollout_batch) counts the states and decides.
  - A host whose state is settled is not connected to.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.controller
attributes:
  check_mode:
    support: full
    details:
      - With O(step=apply), proves only that the update fits. With O(step=reverse), only looks.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A step that was taken is not taken again.
options:
  step:
    description: What to do.
    type: str
    required: true
    choices:
      apply:
        - Applies the update with a deadline, and begins the soak.
      confirm:
        - Lets the update stay, if the soak was good.
      reverse:
        - Takes the update back.
      verdict:
        - Fails the host with what is recorded of it, without a connection. It belongs to the end of a rollout.
  run:
    description: The directory of the run, as M(rebootless.splice.rollout_run) returns it.
    type: path
    required: true
  hold:
    description: Whether hosts that have not begun are left alone, since they are outside their window.
    type: bool
    default: false
  until:
    description:
      - After this time of the controller's monotonic clock no host begins. It is a result of
        M(rebootless.splice.rollout_batch); V(0) for no limit.
    type: float
    default: 0
  deadline:
    description: Seconds after which the update reverses itself. The default is the plan's.
    type: int
  checked:
    description: Whether the checks that the controller made were good. If not, O(step=confirm) takes the update back.
    type: bool
    default: true
  reason:
    description: Why the update is taken back, for the evidence.
    type: str
    default: ""
seealso:
  - module: rebootless.splice.rollout_host
  - module: rebootless.splice.rollout_batch
  - module: rebootless.splice.rollout_run
"""

EXAMPLES = r"""
- name: Apply the update of the plan
  rebootless.splice.rollout_step:
    step: apply
    run: "{{ hostvars.localhost.rebootless_run.run }}"
"""

RETURN = r"""
state:
  description: The state of the host in the rollout.
  returned: always
  type: str
  sample: applied
code:
  description: Why not, an identifier that does not change between releases; empty if all is well.
  returned: always
  type: str
  sample: no_match
sentence:
  description: What is wrong.
  returned: always
  type: str
  sample: Running code differs from the code that the update was made for.
next_step:
  description: What to do about it.
  returned: always
  type: str
  sample: Look for what changed the code.
skip_reason:
  description: Why there was nothing to do on the host.
  returned: when it was not connected to
  type: str
  sample: settled
checks:
  description: The health checks that were run, as M(rebootless.splice.rollout_host) returns them.
  returned: when the host answered
  type: list
  elements: dict
pause_ns:
  description: Nanoseconds for which the host's processors stood still.
  returned: when the host answered and the update is loaded
  type: int
  sample: 71000
kernel_state:
  description: The update's state in the kernel.
  returned: when the host answered
  type: str
  sample: applied
"""
