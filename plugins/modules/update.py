#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: update
short_description: Applies, reverses or removes an update of the running kernel
version_added: 0.1.0
description:
  - Brings one update on one host into the wanted state, without a reboot and without stopping any process for longer
    than the time that RV(pause_ns) reports.
  - An update is applied only where every byte of the running code that it concerns is proven to be the code that it
    was built for. Anything else refuses it, with a code, a sentence and a next step, and leaves the kernel as it was.
  - In check mode the same proof is done through C(/proc/kcore); nothing is loaded into the kernel and nothing is
    written.
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
    details:
      - For O(state=applied), runs the match against the running kernel, and fails if it does. Whether a task is
        inside one of the functions is only found out when the update is applied.
  diff_mode:
    support: full
    details:
      - Shows for each function of the update whether its original or its replacement code runs.
  idempotent:
    support: full
    details:
      - An update that was applied with O(deadline) and has reversed itself meanwhile is applied again.
options:
  state:
    description: The state in which the update should be.
    type: str
    default: applied
    choices:
      applied:
        - The replacement code runs. The package is kept on the host, under O(state_directory).
      reversed:
        - The original code runs. The update's module may stay loaded, so that it can be applied again.
        - The update is not applied at the host's next boot either.
        - An update that the host does not know is in this state already.
      absent:
        - The original code runs, the update's module is unloaded, and its package is removed from
          O(state_directory). With the last update the helper module is unloaded too.
  package:
    description:
      - Path on the host of the package that M(rebootless.splice.update_build) made for this host's kernel.
      - Without it, O(state=applied) uses the package of the update O(name) that is kept on the host.
    type: path
  name:
    description:
      - Name of the update. Not needed with O(package), which knows its own.
      - Needed without O(package).
    type: str
  digest:
    description:
      - SHA-256 that the package file must have, in hex, as M(rebootless.splice.update_build) returned it.
      - Without it the package's own checksums find damage, but not an exchanged package.
    type: str
  deadline:
    description:
      - Seconds after which the helper module reverses the update by itself, unless O(confirm=true) came first.
      - V(0) means no deadline. Cannot be combined with O(confirm=true).
      - It counts from when the update is applied; a task that finds the update applied does not change it.
    type: int
    default: 0
  confirm:
    description:
      - Whether to tell the host that the applied update may stay, which ends its deadline.
      - Has an effect only with O(state=applied).
    type: bool
    default: false
  tries:
    description:
      - How often to try before a task that stays inside one of the functions refuses the operation. The pause after the
        first try is 10 ms, and twice as long after each other one.
      - Without it, the helper module's own setting holds. It is 11 unless it was changed on the host, which takes 10
        seconds in all.
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
      - Whether an update may be applied to a host that keeps CPUs free of interruptions (the boot parameters
        C(nohz_full) and C(isolcpus), isolated partitions of cpusets). A switch stops all CPUs for the time that
        RV(pause_ns) reports, and what runs there may count on that it is never stopped.
      - It is not asked for the way back, by a task or at a deadline, nor when an update is applied again at boot.
    type: str
    default: refuse
    choices:
      refuse:
        - No. The task is refused with C(isolated_cpus), which names the CPUs.
      window:
        - As long as O(isolated_cpus_window) is open.
      apply:
        - Yes.
  isolated_cpus_window:
    description:
      - When an update may be applied to a host with isolated CPUs, with O(isolated_cpus=window).
      - Both are times of ISO 8601 with their offset, and are compared with the host's clock.
    type: dict
    suboptions:
      start:
        description: From when on, such as V(2026-12-24T22:00:00+01:00).
        type: str
        required: true
      end:
        description: Until when.
        type: str
        required: true
  force:
    description:
      - Whether to bring the original code back although tasks are in the replacement code, as the helper module itself
        does at a deadline. They finish what they have begun there, and the update's module stays loaded until then.
      - Has an effect only with O(state=reversed) and O(state=absent). With O(state=absent) the task is refused with
        C(module_held) as long as there are such tasks, with the original code back.
    type: bool
    default: false
seealso:
  - module: rebootless.splice.update_build
  - module: rebootless.splice.update_info
"""

EXAMPLES = r"""
- name: Apply an update, which reverses itself unless it is confirmed within ten minutes
  rebootless.splice.update:
    package: "{{ package }}"
    digest: "{{ package_sha256 }}"
    deadline: 600
  become: true
  register: applied

- name: Show how long the machine stood still
  ansible.builtin.debug:
    msg: "{{ applied.name }} {{ applied.version }}: {{ applied.pause_ns }} ns"

- name: Let the applied update stay
  rebootless.splice.update:
    name: "{{ applied.name }}"
    confirm: true
  become: true

- name: Apply an update to a host with isolated CPUs, if it is the time for it
  rebootless.splice.update:
    package: "{{ package }}"
    deadline: 600
    isolated_cpus: window
    isolated_cpus_window:
      start: "2026-12-24T22:00:00+01:00"
      end: "2026-12-25T04:00:00+01:00"
  become: true

- name: Only prove that the update fits the running code
  rebootless.splice.update:
    package: "{{ package }}"
  become: true
  check_mode: true

- name: Go back to the original code
  rebootless.splice.update:
    name: "{{ applied.name }}"
    state: reversed
  become: true

- name: Go back although a task hangs in the replacement code
  rebootless.splice.update:
    name: "{{ applied.name }}"
    state: reversed
    force: true
  become: true

- name: Remove the update without a trace
  rebootless.splice.update:
    name: "{{ applied.name }}"
    state: absent
  become: true
"""

RETURN = r"""
name:
  description: The update's name.
  returned: success
  type: str
  sample: cve-2026-52928
version:
  description: The update's version.
  returned: O(state=applied)
  type: str
  sample: "1.0"
digest:
  description: SHA-256 of the package file.
  returned: O(state=applied)
  type: str
  sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
build_digest:
  description: What names the build, as the helper module shows it.
  returned: O(state=applied)
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
cves:
  description: The CVEs that the update fixes.
  returned: O(state=applied)
  type: list
  elements: str
  sample: [CVE-2026-52928]
state_before:
  description: The update's state in the kernel before the task.
  returned: always, once the package could be read
  type: str
  sample: absent
state_after:
  description:
    - The update's state in the kernel after the task, as the helper module has it, or V(absent).
    - In check mode, the state in which it would be.
  returned: always, once the package could be read
  type: str
  sample: applied
functions:
  description: The functions that the update replaces, adds or makes superfluous.
  returned: always, once the package could be read
  type: list
  elements: dict
  sample: [{"name": unix_ioctl, "unit": net/unix/af_unix.o, "object": vmlinux, "change": changed}]
  contains:
    name:
      description: The function's name.
      returned: always
      type: str
    unit:
      description: The optimization unit that it belongs to.
      returned: when the package is at hand
      type: str
    object:
      description: V(vmlinux), or the name of the loadable module that it belongs to.
      returned: when the package is at hand
      type: str
    change:
      description: V(changed), V(new) or V(removed).
      returned: when the package is at hand
      type: str
    pre_size:
      description: Bytes of the original code, V(0) if it is new.
      returned: when the package is at hand
      type: int
    post_size:
      description: Bytes of the replacement code, V(0) if it is gone.
      returned: when the package is at hand
      type: int
replaced:
  description: The version of the update that was applied before, and that this one took the place of in one step.
  returned: when another version was applied
  type: dict
  sample: {"version": "1.0", "build_digest": 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752}
  contains:
    version:
      description: Its version.
      returned: always
      type: str
    build_digest:
      description: What names its build.
      returned: always
      type: str
objects:
  description:
    - The kernel and the loadable modules that the update patches, each V(applied), or V(absent) if it is not loaded;
      a module is patched when it is loaded later, before it begins to work.
  returned: O(state=applied), when the update is loaded
  type: list
  elements: dict
  sample: [{"name": vmlinux, "state": applied}, {"name": sctp, "state": absent}]
  contains:
    name:
      description: V(vmlinux), or the module's name; with V(:init) behind it, what it runs when it is loaded.
      returned: always
      type: str
    state:
      description: V(absent), V(matched) or V(applied).
      returned: always
      type: str
signer:
  description:
    - Who signed the package's modules, as their signatures and the package's manifest say; empty if they are not
      signed.
    - The keys are those of RV(rebootless.splice.update_build#module:signer).
  returned: O(state=applied)
  type: dict
  sample:
    subject: CN=Fleet module signing
    fingerprint: 9b3c1f0d5e7a2846b0c9d8e7f60518293a4b5c6d7e8f90a1b2c3d4e5f6071829
    key_id: 36b692bb139848f14b9a478d0065177c71d45ff0
    hash: sha256
isolated_cpus:
  description: The isolated CPUs that the switch stops with all others, as the kernel writes lists; empty if none are.
  returned: O(state=applied), when it was not applied before
  type: str
  sample: ""
match_ns:
  description: Nanoseconds that the match took, in the kernel, or in check mode in user space.
  returned: when the update is loaded, or was matched in check mode
  type: int
  sample: 21350000
matched_bytes:
  description: Bytes of running code that were compared.
  returned: when matched in check mode
  type: int
  sample: 41876
absent:
  description: Loadable modules that the update patches and that are not loaded, so that they could not be matched.
  returned: when matched in check mode
  type: list
  elements: str
  sample: [sctp]
resolve_ns:
  description: Nanoseconds that it took to write the addresses into the replacement code.
  returned: when the update is loaded
  type: int
  sample: 412000
pause_ns:
  description:
    - Nanoseconds for which all processors stood still, last time it was applied or reversed, from when the first of
      them had stopped until the last one went on.
  returned: when the update is loaded
  type: int
  sample: 71000
stop_ns:
  description:
    - The same as the task saw it that stopped them, from its call until it went on. A processor that comes late, as a
      virtual one does that has to wait for its turn, keeps those waiting that have come, which only this counts.
  returned: when the update is loaded
  type: int
  sample: 98000
tries:
  description: How often the last operation had to try until no task was inside the functions.
  returned: when the update is loaded
  type: int
  sample: 1
signalled:
  description: How many tasks the last operation sent out of the kernel, with O(blockers=signal).
  returned: when the update is loaded
  type: int
  sample: 0
held_by:
  description: How many tasks are still in the code of the update that was reversed, with O(force) or at a deadline.
  returned: O(state=reversed) or O(state=absent), not in check mode
  type: int
  sample: 0
holders:
  description: The first 16 of these tasks.
  returned: O(state=reversed) or O(state=absent), not in check mode
  type: list
  elements: dict
  sample: [{"pid": 812, "comm": dhclient, "function": unix_ioctl, "address": "0xffffffffc0a32f1"}]
deadline:
  description: Seconds left until the update reverses itself, V(0) if it will not.
  returned: when the update is loaded
  type: int
  sample: 600
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: no_match
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: Running code differs from the code that the update was made for.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Look for what changed the code (a kprobe, another live patch, a different build, memory corruption).
details:
  description:
    - Facts of the refusal, such as C(unit), C(function), C(offset), C(expected), C(found), C(task), C(conflicts).
  returned: failure
  type: dict
  sample: {"unit": "net/unix/af_unix.o", "offset": "0x1f40", "expected": "0f1f440000", "found": "e8c1de0301"}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish
from ansible_collections.rebootless.splice.plugins.module_utils._target import isolation, update
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.state import store


def run(module: AnsibleModule, operation: update.UpdateOperation) -> dict:
    result = operation.run()
    if module._diff:
        result["diff"] = {moment: update.describe(result, moment) for moment in ("before", "after")}
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "default": "applied", "choices": ["applied", "reversed", "absent"]},
            "package": {"type": "path"},
            "name": {"type": "str"},
            "digest": {"type": "str"},
            "deadline": {"type": "int", "default": 0},
            "confirm": {"type": "bool", "default": False},
            "tries": {"type": "int"},
            "blockers": {"type": "str", "default": sysfs.WAIT, "choices": list(sysfs.BLOCKERS)},
            "isolated_cpus": {"type": "str", "default": isolation.REFUSE, "choices": list(isolation.POLICIES)},
            "isolated_cpus_window": {
                "type": "dict",
                "options": {key: {"type": "str", "required": True} for key in ("start", "end")},
            },
            "force": {"type": "bool", "default": False},
            "lock_timeout": {"type": "int", "default": 60},
            "state_directory": {"type": "path", "default": store.DIRECTORY},
        },
        required_one_of=[("package", "name")],
        required_by={"digest": "package"},
        required_if=[("isolated_cpus", "window", ("isolated_cpus_window",))],
        supports_check_mode=True,
    )
    options = dict(module.params)
    options["sha256"] = options.pop("digest")
    operation = update.UpdateOperation(update.UpdateRequest(**options), module.check_mode)
    finish(module, lambda: run(module, operation), operation.result)


if __name__ == "__main__":
    main()
