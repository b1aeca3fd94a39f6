#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_run
short_description: Begins a rollout or goes on with it, and ends it
version_added: 0.1.0
description:
  - Checks the plan, the update store and the inventory, and locks the update against other runs, before any host is
    touched; or tells at the end how the run came out.
  - A run that was interrupted, also by a SIGKILL of the controller, goes on when it is begun again. One that was
    stopped stays so, unless O(proceed=true).
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.controller
attributes:
  check_mode:
    support: full
    details:
      - Locks nothing, and leaves the records of the run as they are.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A run that is over is not begun again.
options:
  step:
    description: What to do.
    type: str
    required: true
    choices:
      rollout:
        - Begins the rollout of O(plan), or goes on with it.
      revert:
        - Begins to take back the update of O(plan), or the update O(name) from O(hosts).
      preflight:
        - Begins to ask O(hosts) what the update O(name) of O(store) would be on them, without a plan, in check mode.
      finish:
        - Tells how the run came out, and gives its locks back.
  directory:
    description: The operator's directory on the controller, with the records of all runs.
    type: path
    required: true
  plan:
    description: Path of the plan.
    type: path
  digest:
    description: The digest that O(plan) has to have, as it was approved. Without it every intact plan is taken.
    type: str
    default: ""
  run:
    description: The directory of the run. Needed with O(step=finish).
    type: path
  name:
    description: Name of the update to take back, also if another plan rolled it out, or to ask for.
    type: str
  version:
    description: Version of the update to ask for.
    type: str
    default: "1"
  store:
    description: The update store. Needed with O(step=preflight).
    type: path
  hosts:
    description: The hosts to take O(name) back from.
    type: list
    elements: str
    default: []
  batches:
    description: Sizes of the batches of O(hosts), as numbers of hosts or as shares of them; the last one is repeated.
    type: list
    elements: str
    default: ["1", "10%", "50%", "100%"]
  checks:
    description: Health checks after the update was taken back from O(hosts), as in a plan.
    type: list
    elements: dict
    default: []
  task_timeout:
    description: Seconds until a host of O(hosts) that does not answer is lost.
    type: int
    default: 300
  concurrency:
    description: How many of O(hosts) may be worked on at once, V(0) for no limit.
    type: int
    default: 0
  failure_budget:
    description: How many hosts of a batch of O(hosts) may fail, as C(hosts) or as C(percent); the larger one counts.
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
  remove:
    description: Whether O(name) is also unloaded from O(hosts), and its package and records are removed there.
    type: bool
    default: false
  retry:
    description: Hosts that failed or went back, and are tried again.
    type: list
    elements: str
    default: []
  proceed:
    description: Whether a run that was stopped goes on.
    type: bool
    default: false
  break_lock:
    description: Whether to take the lock of a run that cannot be seen from here, as on another controller.
    type: bool
    default: false
seealso:
  - module: rebootless.splice.rollout_batch
  - module: rebootless.splice.rollout_step
"""

EXAMPLES = r"""
- name: Begin the rollout, or go on with it
  rebootless.splice.rollout_run:
    step: rollout
    directory: /root/.rebootless
    plan: /root/plan.json
  register: rebootless_run

- name: Tell how it came out
  rebootless.splice.rollout_run:
    step: finish
    directory: /root/.rebootless
    run: "{{ rebootless_run.run }}"
"""

RETURN = r"""
run:
  description: The directory of the run.
  returned: success
  type: str
  sample: /root/.rebootless/rollouts/0123456789ab
plan:
  description: The digest of the plan.
  returned: O(step=rollout) and O(step=revert)
  type: str
  sample: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
goal:
  description: V(rollout) or V(revert).
  returned: success
  type: str
  sample: rollout
batches:
  description: The batches with the numbers of their hosts.
  returned: O(step=rollout) and O(step=revert)
  type: list
  elements: dict
  sample: [{"name": canary, "hosts": 1}]
guards:
  description:
    - Hosts to have in the inventory, with a local connection, where the plan has health checks of the kind C(tasks).
    - One of them is in each batch, so that the batch still has a gate when those tasks have lost all of its hosts.
  returned: O(step=rollout)
  type: list
  elements: str
  sample: []
finished:
  description: Whether nothing is left to do.
  returned: O(step=finish)
  type: bool
  sample: true
outcome:
  description: V(done), V(reverted), V(stopped), V(waiting), V(interrupted), V(not there)
    where no host had what was to be taken back, or in check mode V(checked).
  returned: O(step=finish)
  type: str
  sample: done
states:
  description: How many hosts are in which state.
  returned: O(step=finish)
  type: dict
  sample: {"confirmed": 12}
bad:
  description: The hosts that failed.
  returned: O(step=finish)
  type: list
  elements: str
  sample: []
code:
  description: Why not, an identifier that does not change between releases; empty if all is well.
  returned: failure, and O(step=finish)
  type: str
  sample: no_match
sentence:
  description: What is wrong.
  returned: failure, and O(step=finish)
  type: str
  sample: Running code differs from the code that the update was made for.
next_step:
  description: What to do about it.
  returned: failure, and O(step=finish)
  type: str
  sample: Look for what changed the code.
"""
