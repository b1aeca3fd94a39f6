#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_host
short_description: Takes one host through one step of a rollout
version_added: 0.1.0
description:
  - A rollout is two steps on each host, V(apply) and V(confirm), with the soak between them. The playbook
    C(rebootless.splice.rollout) takes the options from its plan; there is seldom a reason to use the module by itself.
  - V(apply) applies the update with a deadline, runs the health checks, and leaves a process on the host that runs them
    again at the other times of the soak, watches the kernel log meanwhile, and reverses the update at once if one of
    them fails. V(confirm) lets the update stay only if all of that was good, and the host has not been rebooted since.
  - If no V(confirm) comes, because the network is down for example, the helper module reverses the update when its
    deadline has passed.
  - Each step can be interrupted at any moment and run again. It changes nothing that is done already.
  - What is refused is a result with RV(state), RV(code), RV(sentence) and RV(next_step).
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.target
  - rebootless.splice.target
  - rebootless.splice.target.lock
attributes:
  check_mode:
    support: partial
    details:
      - In check mode O(step=apply) is O(step=preflight), O(step=reverse) says what would be taken back, and the other
        steps only look, like O(step=status).
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - An update that has reversed itself meanwhile, after a soak in which nothing was wrong, is applied again.
options:
  step:
    description: What to do on the host.
    type: str
    required: true
    choices:
      preflight:
        - Proves that the running code is what the update was made for. Changes nothing.
      apply:
        - Applies the update with O(deadline), runs the health checks, and begins the soak.
        - An update that is live already by O(plan) gets O(deadline) once more, and a new watcher if its own has died.
      confirm:
        - Waits for the end of the soak if there is little of it left, and lets the update stay if all checks were and
          are good. Anything else reverses it.
      reverse:
        - Takes the update back, so that it does not come again at the next boot either.
        - With O(plan), an update that another plan has put there is left alone.
      status:
        - Tells what the host knows. Changes nothing.
  name:
    description: Name of the update.
    type: str
    required: true
  version:
    description: The version that the package must have.
    type: str
  plan:
    description: Digest of the plan, which tells one rollout from another.
    type: str
  package:
    description:
      - Path on the host of the package that the plan has for it.
      - Not needed where the host keeps that package already, or can get it from O(url).
    type: path
  url:
    description: Where the host gets the package from, if it has none.
    type: str
  ca_path:
    description: File on the host with the certificates to trust for O(url), instead of the system's.
    type: path
  digest:
    description: SHA-256 that the package must have, in hex.
    type: str
  size:
    description: Bytes of the package; not more than that is read from O(url).
    type: int
  build_id:
    description: GNU build ID that the running kernel must have, in hex.
    type: str
  deadline:
    description:
      - Seconds after which the helper module reverses the update by itself unless it is confirmed. It has to leave
        room for the last of O(check_times), the time that the checks take, and the confirmation.
    type: int
    default: 1500
  checks:
    description:
      - Health checks, each a dictionary with a C(kind), a C(name) for people, and the options of its kind.
      - Those called built-in are always run; to name one changes its options.
      - 'V(kernel_log), built-in: since the apply the kernel has logged no oops, BUG, WARNING, lockup, hung task or RCU
        stall, and no refusal of the helper module. C(patterns) are regular expressions of more lines that are bad,
        C(ignore) of lines that are not; C(lost_ok) allows for lines that were overwritten before they could be read.'
      - 'V(taint), built-in: the kernel has no new taint besides those of any live patch, and C(allow).'
      - 'V(load), built-in: the load of the last minute is below C(max_load_per_cpu); V(0), the default, allows any.'
      - 'V(update_state), built-in: the update is live, in the build of the plan.'
      - 'V(command): C(argv), a list, or C(cmd), for the shell, ends with C(rc), which is V(0) if not given.'
      - 'V(url): C(url) answers with C(status), V(200) if not given, and the answer contains C(contains). C(ca) is a
        file on the host with the certificates to trust.'
      - 'V(port): C(port) of C(host), which is V(127.0.0.1) if not given, takes TCP connections.'
      - 'V(unit): the unit C(unit) of systemd is active.'
      - 'V(tasks): a C(file) with tasks that the controller runs before it confirms; passed over here.'
      - All but the first, second, fourth and last of these kinds have C(retries) after the first try, C(delay) between
        tries, and a C(timeout) for each try, in seconds, V(2), V(5) and V(30) if not given.
    type: list
    elements: dict
    default: []
  check_times:
    description: Seconds after the apply at which the health checks are run; V(0) always is one of them.
    type: list
    elements: int
    default: [0, 60, 300, 900]
  persist:
    description: Whether the confirmed update is applied again whenever this kernel is booted.
    type: bool
    default: false
  fixed_in:
    description:
      - Versions of the distribution's kernel package from which on the fix is in. A host that runs one of them, or a
        later one of the same series, does not need the update.
    type: list
    elements: str
    default: []
  tries:
    description: How often to try before a task that stays inside one of the functions refuses the operation.
    type: int
  blockers:
    description:
      - What to do about tasks that stay inside of one of the functions.
    type: str
    default: wait
    choices:
      wait:
        - They are waited for, as often as O(tries) says; then the operation is refused.
      signal:
        - Those that are there after that are sent out of the kernel, as the kernel's own live patching does it, and
          wait at its edge until the switch is made. No handler sees that, and no task is killed; a system call that
          waited is restarted. Some, such as C(epoll_wait), return C(EINTR) instead, as they do when a process is
          stopped and continued. A task that sleeps uninterruptibly stays, and the operation is refused.
      refuse:
        - The operation is refused at once, and the tasks are named.
  isolated_cpus:
    description:
      - Whether an update may be applied to a host that keeps CPUs free of interruptions, as in
        M(rebootless.splice.update).
      - A rollout gives V(apply) to a host with maintenance windows whose plan says V(window), since it visits the host
        in them only; V(window) itself refuses, for there is none.
    type: str
    default: refuse
    choices: [refuse, window, apply]
  retry:
    description: Whether an update that has failed on this host under this O(plan) is tried again.
    type: bool
    default: false
  remove:
    description: Whether O(step=reverse) also unloads the update's module, and removes its package and the record.
    type: bool
    default: false
  reason:
    description: Why the update is reversed, for the record.
    type: str
  metrics_directory:
    description: Directory of the node exporter's textfile collector, to write metrics of the host's updates to.
    type: path
seealso:
  - module: rebootless.splice.update
  - module: rebootless.splice.update_info
"""

EXAMPLES = r"""
- name: Apply an update, and watch over it for a minute
  rebootless.splice.rollout_host:
    step: apply
    name: "{{ update_name }}"
    package: "{{ package }}"
    digest: "{{ package_sha256 }}"
    deadline: 300
    check_times: [0, 5]
    checks:
      - name: init is there
        kind: command
        argv: [test, -d, /proc/1]
  become: true

- name: Let it stay
  rebootless.splice.rollout_host:
    step: confirm
    name: "{{ update_name }}"
  become: true

- name: Take it back
  rebootless.splice.rollout_host:
    step: reverse
    name: "{{ update_name }}"
    reason: An example
  become: true
"""

RETURN = r"""
state:
  description:
    - What became of the host. V(matched) after a preflight, V(applied) in the soak, V(confirmed), V(reversed) by
      O(step=reverse), V(not there) if it found nothing to take back, V(pending) if nothing has happened, V(not needed)
      if its kernel has the fix, V(uncovered) if the plan has no build for its kernel, V(failed) otherwise.
    - An update that failed is taken back; RV(kernel_state) tells what runs.
  returned: always
  type: str
  sample: applied
name:
  description: The update's name.
  returned: always
  type: str
  sample: cve-2026-52928
plan:
  description: Digest of the plan.
  returned: always
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
kernel_state:
  description: The update's state in the kernel after the step, as the helper module has it, or V(absent).
  returned: always
  type: str
  sample: applied
boot_id:
  description: Changes with every boot of the host.
  returned: always
  type: str
  sample: 2b6a9b1f-6a5c-4f4c-8d36-d1d3a9d1c5d7
release:
  description: Release of the running kernel.
  returned: always
  type: str
  sample: 6.1.0-50-cloud-amd64
effective_release:
  description: The release, with each update that is live.
  returned: always
  type: str
  sample: 6.1.0-50-cloud-amd64+cve-2026-52928-1.0
build_id:
  description: GNU build ID of the running kernel.
  returned: always
  type: str
  sample: bb603a9147d3efe4744bf83c83eee397c591cc20
pause_ns:
  description: Nanoseconds for which all processors stood still, last time the update was applied or reversed.
  returned: always
  type: int
  sample: 71000
deadline:
  description: Seconds left until the update reverses itself, V(0) if it will not.
  returned: always
  type: int
  sample: 1500
notes:
  description: What went wrong beside the step, in sentences, such as metrics that could not be written.
  returned: if something did
  type: list
  elements: str
checks:
  description: The health checks that have been run, in this step and, for O(step=confirm), in the soak before it.
  returned: always
  type: list
  elements: dict
  sample: [{"name": taint, "kind": taint, "moment": soak, "at": 0, "ok": true, "seconds": 0.1, "sentence": ""}]
  contains:
    name:
      description: Its name.
      returned: always
      type: str
    kind:
      description: Its kind.
      returned: always
      type: str
    moment:
      description: V(soak), V(watch) (the kernel log, between the check times), V(confirm) or V(reverse).
      returned: always
      type: str
    at:
      description: Seconds after the apply at which it was due.
      returned: always
      type: int
    ok:
      description: Whether all is well.
      returned: always
      type: bool
    seconds:
      description: How long it took.
      returned: always
      type: float
    tries:
      description: How often it was tried.
      returned: always
      type: int
    sentence:
      description: What is wrong, or nothing.
      returned: always
      type: str
armed:
  description: Whether the update is applied again at the next boots.
  returned: O(persist=true), when the update is confirmed
  type: bool
  sample: true
signer:
  description:
    - Who signed the package's modules, as their signatures and the package's manifest say; empty if they are not
      signed.
    - The keys are those of RV(rebootless.splice.update_build#module:signer).
  returned: O(step=preflight) and O(step=apply), when matched or applied
  type: dict
  sample:
    subject: CN=Fleet module signing
    fingerprint: 9b3c1f0d5e7a2846b0c9d8e7f60518293a4b5c6d7e8f90a1b2c3d4e5f6071829
    key_id: 36b692bb139848f14b9a478d0065177c71d45ff0
    hash: sha256
match_ns:
  description: Nanoseconds that the match took in user space.
  returned: O(step=preflight), when matched
  type: int
  sample: 21350000
matched_bytes:
  description: Bytes of running code that were compared.
  returned: O(step=preflight), when matched
  type: int
  sample: 41876
record:
  description: The host's record of the rollout.
  returned: O(step=status), when there is one
  type: dict
  sample: {"plan": "9f86d081884c", "step": "applied", "applied_at": 4711.5, "check_times": [0, 60]}
watched:
  description: Whether a watcher is alive on the host.
  returned: O(step=status), when there is a record
  type: bool
  sample: true
code:
  description: Why the step ended as it did, an identifier that does not change between releases.
  returned: when there is something to say
  type: str
  sample: check_failed
sentence:
  description: What is wrong.
  returned: when there is something to say
  type: str
  sample: "The health check 'taint' failed 0 s after the apply: The kernel is tainted since the apply: warning."
next_step:
  description: What to do about it.
  returned: when there is something to say
  type: str
  sample: Find out whether the update is to blame.
details:
  description:
    - Facts of the refusal. C(reversed_by) is V(module), V(watcher), V(helper) or V(reboot) if the update went back;
      C(not_reversed) is why it could not.
  returned: when there is something to say
  type: dict
  sample: {"reversed_by": module}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._target import isolation
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout import run
from ansible_collections.rebootless.splice.plugins.module_utils._target.rollout.step import StepRequest
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import store

STEPS = ["preflight", "apply", "confirm", "reverse", "status"]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "required": True, "choices": STEPS},
            "name": {"type": "str", "required": True},
            "version": {"type": "str"},
            "plan": {"type": "str"},
            "package": {"type": "path"},
            "url": {"type": "str"},
            "ca_path": {"type": "path"},
            "digest": {"type": "str"},
            "size": {"type": "int"},
            "build_id": {"type": "str"},
            "deadline": {"type": "int", "default": 1500},
            "checks": {"type": "list", "elements": "dict", "default": []},
            "check_times": {"type": "list", "elements": "int", "default": [0, 60, 300, 900]},
            "persist": {"type": "bool", "default": False},
            "fixed_in": {"type": "list", "elements": "str", "default": []},
            "tries": {"type": "int"},
            "blockers": {"type": "str", "default": sysfs.WAIT, "choices": list(sysfs.BLOCKERS)},
            "isolated_cpus": {"type": "str", "default": isolation.REFUSE, "choices": list(isolation.POLICIES)},
            "retry": {"type": "bool", "default": False},
            "remove": {"type": "bool", "default": False},
            "reason": {"type": "str"},
            "lock_timeout": {"type": "int", "default": 60},
            "state_directory": {"type": "path", "default": store.DIRECTORY},
            "metrics_directory": {"type": "path"},
        },
        supports_check_mode=True,
    )
    request = StepRequest(**module.params)
    if module.check_mode:
        request = request._replace(step=run.LOOKS.get(request.step, "status"))
    result = run.run(request)
    if result.pop("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
