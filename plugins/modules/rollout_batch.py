#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_batch
short_description: Begins a batch of a rollout, judges it, or waits for the end of its soak
version_added: 0.1.0
description:
  - The gates of a rollout. Each runs once for the hosts of the play's batch, on the controller, and connects to
    none of them.
  - Counts what became of every host that the plan has in the batch, also of those that were lost or never heard of.
  - Needs the strategy C(ansible.builtin.linear); strategies that run hosts independently refuse it.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.controller
attributes:
  check_mode:
    support: full
    details:
      - Judges, but stops nothing, and does not wait.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A gate that is run again says the same.
options:
  step:
    description: What to do.
    type: str
    required: true
    choices:
      begin:
        - Tells whether the hosts of the batch are inside their windows, with room for the whole batch.
      gate:
        - Compares the hosts that failed with the plan's budget, and stops the rollout if they are more.
      soak:
        - Waits until the last health check of every host of the batch is over. The hosts run them by themselves.
  run:
    description: The directory of the run, as M(rebootless.splice.rollout_run) returns it.
    type: path
    required: true
  phase:
    description: What the hosts were asked for before the gate. Needed with O(step=gate).
    type: str
    choices: [apply, confirm, reverse]
  hold:
    description: Whether hosts that have not begun were told to wait.
    type: bool
    default: false
  until:
    description: As for M(rebootless.splice.rollout_step).
    type: float
    default: 0
seealso:
  - module: rebootless.splice.rollout_step
  - module: rebootless.splice.rollout_run
"""

EXAMPLES = r"""
- name: Judge the batch
  rebootless.splice.rollout_batch:
    step: gate
    phase: apply
    run: "{{ hostvars.localhost.rebootless_run.run }}"
  run_once: true
  register: judged

- name: End the rollout unless the batch may go on
  ansible.builtin.meta: end_play
  when: not judged.go
"""

RETURN = r"""
go:
  description: Whether the play may go on.
  returned: O(step=begin) and O(step=gate)
  type: bool
  sample: true
hold:
  description: Whether only the hosts that have begun may go on.
  returned: O(step=begin)
  type: bool
  sample: false
stop:
  description: Whether the run was stopped here.
  returned: O(step=gate)
  type: bool
  sample: false
batch:
  description: The number of the batch, from 0.
  returned: O(step=begin)
  type: int
  sample: 0
run:
  description: The directory of the run.
  returned: O(step=begin)
  type: str
  sample: /root/.rebootless/rollouts/0123456789ab
concurrency:
  description: How many hosts may be worked on at once, V(0) for no limit.
  returned: O(step=begin)
  type: int
  sample: 0
deadline:
  description: Seconds after which an update of this batch reverses itself, with room for all of its hosts.
  returned: O(step=begin)
  type: int
  sample: 1800
until:
  description: The end of the time in which hosts of the batch may begin, by the controller's monotonic clock.
  returned: O(step=begin)
  type: float
  sample: 40325.12
task_files:
  description: Files with tasks that the plan has for health checks.
  returned: O(step=begin)
  type: list
  elements: str
  sample: []
guard:
  description: The host that stands for the gate of this batch in plays with such tasks.
  returned: O(step=begin)
  type: str
  sample: rebootless-gate-0
seconds:
  description: How long the soak was waited for.
  returned: O(step=soak)
  type: int
  sample: 902
code:
  description: Why not, an identifier that does not change between releases; empty if all is well.
  returned: failure
  type: str
  sample: no_match
sentence:
  description: What is wrong.
  returned: failure, and O(step=gate)
  type: str
  sample: Running code differs from the code that the update was made for.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Look for what changed the code.
"""
