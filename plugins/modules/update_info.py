#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: update_info
short_description: Shows the updates of a host, and why one was refused
version_added: 0.1.0
description:
  - Shows each update that the helper module knows, refused ones included, each whose package the host keeps, and each
    that is armed for the host's next boot.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.info
  - rebootless.splice.attributes.target
  - rebootless.splice.target
options:
  name:
    description: Show only the update of this name.
    type: str
seealso:
  - module: rebootless.splice.update
  - module: rebootless.splice.kernel_info
"""

EXAMPLES = r"""
- name: Look at the updates of the host
  rebootless.splice.update_info:
  become: true
  register: found

- name: Say which are live, and since when nothing stands in the way of the others
  ansible.builtin.debug:
    msg: "{{ item.name }} {{ item.version }}: {{ item.state }} {{ item.abort.sentence | default('') }}"
  loop: "{{ found.updates }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
helper:
  description: The helper module.
  returned: always
  type: dict
  sample: {"loaded": true, "abi": 2, "build_id": 2f6b1c7e9d0a4b5c8e1f3a6d7b9c0e2f4a5b6c7d}
  contains:
    loaded:
      description: Whether it is loaded.
      returned: always
      type: bool
    abi:
      description: The version of its interface.
      returned: when loaded
      type: int
    build_id:
      description: The module's own GNU build ID in hex.
      returned: when loaded
      type: str
updates:
  description: The updates, by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The update's name.
      returned: always
      type: str
      sample: cve-2026-52928
    state:
      description:
        - V(matched), V(applied), V(confirmed), V(bypassed) (something else has taken one of its functions away, so that
          what it fixes is not fixed), V(reversed), V(replaced), V(failed), or V(absent) if the kernel does not
          know it.
      returned: always
      type: str
      sample: applied
    live:
      description: Whether its replacement code runs, and all of it does.
      returned: always
      type: bool
    version:
      description: Version of the build that the kernel knows, empty if none.
      returned: always
      type: str
      sample: "1.0"
    digest:
      description: What names the build that the kernel knows, empty if none.
      returned: always
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    cves:
      description: The CVEs that it fixes; empty unless the package of this very build is kept on the host.
      returned: always
      type: list
      elements: str
      sample: [CVE-2026-52928]
    package:
      description: Path of the package that the host keeps, V(null) if it keeps none.
      returned: always
      type: str
      sample: /var/lib/rebootless/cve-2026-52928.rbl.tar.gz
    package_version:
      description: Version of the package that the host keeps, V(null) if it keeps none.
      returned: always
      type: str
      sample: "1.0"
    boot:
      description:
        - What becomes of it when the host boots the kernel that it runs; what is armed is applied again, see
          M(rebootless.splice.persist).
      returned: always
      type: dict
      sample: {"state": unarmed}
      contains:
        state:
          description:
            - V(armed) if it is applied again, V(unarmed) if not.
            - V(quarantined) if the host crashed soon after it was applied at an earlier boot, so that it is not
              applied at boot any more.
            - V(not needed) if the running kernel has the fix, V(other kernel) if it is another build than the one that
              the update is for.
            - V(off) if the kernel argument C(rebootless=off) or the file C(/etc/rebootless/off) forbids it.
            - V(damaged) if the record of what is armed cannot be used.
          returned: always
          type: str
          sample: armed
        code:
          description: Why it is not applied at boot, an identifier that does not change between releases.
          returned: unless armed or unarmed
          type: str
          sample: quarantined
        sentence:
          description: The same in words.
          returned: unless armed or unarmed
          type: str
          sample: The host crashed soon after cve-2026-52928 1.0 was applied at its boot, so it is not applied any more.
        next_step:
          description: What to do about it.
          returned: unless armed or unarmed
          type: str
          sample: Find out from the kernel's log of that boot why.
        version:
          description: Version of the build that is armed.
          returned: unless unarmed or damaged
          type: str
          sample: "1.0"
        package:
          description: The SHA-256 of its package.
          returned: unless unarmed or damaged
          type: str
          sample: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
        build_digest:
          description: What names the build.
          returned: unless unarmed or damaged
          type: str
          sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        build_id:
          description: GNU build ID of the kernel that it is for.
          returned: unless unarmed or damaged
          type: str
          sample: 6c1a0b4d2e9f0a1b2c3d4e5f60718293a4b5c6d7
        release:
          description: Release of the kernel that it is for.
          returned: unless unarmed or damaged
          type: str
          sample: 6.1.0-50-cloud-amd64
        fixed_in:
          description: Versions of the distribution's kernel package from which on the fix is in, one for each series.
          returned: unless unarmed or damaged
          type: list
          elements: str
          sample: [6.1.187-1]
        armed_at:
          description: When it was armed, in UTC.
          returned: unless unarmed or damaged
          type: str
          sample: "2026-11-23T13:05:00Z"
        plan:
          description: Digest of the plan of the rollout that armed it; empty if none did.
          returned: unless unarmed or damaged
          type: str
          sample: ""
        boots:
          description:
            - The last boots since then, the latest last, each with C(boot_id), C(time), C(outcome), and for a refusal
              C(code) and C(sentence).
            - The outcome is V(trying) while it is not known how the boot ends, then V(settled), V(stopped) if the host
              went down in order before that, V(reversed) if the update went out before that, V(refused), V(crashed),
              V(not needed) or V(other kernel).
          returned: unless unarmed or damaged
          type: list
          elements: dict
          sample:
            - boot_id: 6f1c3f52-5f8a-4b57-9c53-0a4d5ed3b6de
              time: "2026-11-23T13:05:00Z"
              outcome: settled
    functions:
      description: The functions that it replaces.
      returned: always
      type: list
      elements: dict
      contains:
        name:
          description: The function's name.
          returned: always
          type: str
          sample: unix_ioctl
        unit:
          description: The optimization unit that it belongs to.
          returned: when the package of this very build is kept
          type: str
          sample: net/unix/af_unix.o
        old_address:
          description: Where the original code is.
          returned: always
          type: str
          sample: "0xffffffff81b3f2a0"
        new_address:
          description: Where the replacement code is.
          returned: always
          type: str
          sample: "0xffffffffc0a01000"
        jump_address:
          description: Where the jump to the replacement code is.
          returned: always
          type: str
          sample: "0xffffffff81b3f2a5"
        saved_bytes:
          description: The bytes that stood there, in hex.
          returned: always
          type: str
          sample: 4156415541
        jump:
          description: Whether the jump is in place.
          returned: always
          type: bool
        bypassed:
          description: Whether something else (another live patch) sends calls elsewhere before they come to the jump.
          returned: always
          type: bool
    objects:
      description:
        - The kernel and the loadable modules that it changes. A module that is not loaded is V(absent), and is patched
          when it comes if the update is applied.
      returned: always
      type: list
      elements: dict
      contains:
        name:
          description: V(vmlinux), or the module's name; with V(:init) behind it, what it runs when it is loaded.
          returned: always
          type: str
          sample: vmlinux
        state:
          description: V(absent), V(matched) or V(applied).
          returned: always
          type: str
          sample: applied
    data:
      description: The constants that it exchanges in place.
      returned: always
      type: list
      elements: dict
      contains:
        name:
          description: The constant's name.
          returned: always
          type: str
          sample: dummy_netdev_ops
        address:
          description: Where it is.
          returned: always
          type: str
          sample: "0xffffffffc0a02360"
        size:
          description: Its size in bytes.
          returned: always
          type: int
          sample: 632
        exchanged:
          description: Whether the update's bytes stand there.
          returned: always
          type: bool
    conflicts:
      description: The tasks that were inside a function that was about to change.
      returned: always
      type: list
      elements: dict
      sample: [{"pid": 812, "comm": dhclient, "function": unix_ioctl, "address": "0xffffffff81b3f2f1"}]
    held_by:
      description:
        - How many tasks are still in its code, after it was reversed by force or at its deadline. They finish there,
          and its module stays until then.
      returned: always
      type: int
      sample: 0
    holders:
      description: The first 16 of these tasks, as in RV(updates[].conflicts).
      returned: always
      type: list
      elements: dict
      sample: []
    abort:
      description: The last refusal, with C(code), C(sentence), C(next_step) and details; empty if there was none.
      returned: always
      type: dict
      sample: {}
    match_ns:
      description: Nanoseconds that the match took.
      returned: always
      type: int
      sample: 21350000
    resolve_ns:
      description: Nanoseconds that it took to write the addresses into the replacement code.
      returned: always
      type: int
      sample: 412000
    pause_ns:
      description: Nanoseconds for which all processors stood still in the last operation.
      returned: always
      type: int
      sample: 71000
    stop_ns:
      description: The same as the task saw it that stopped them, from its call until it went on.
      returned: always
      type: int
      sample: 98000
    tries:
      description: How often the last operation had to try.
      returned: always
      type: int
      sample: 1
    signalled:
      description: How many tasks the last operation sent out of the kernel, since they stayed in the way.
      returned: always
      type: int
      sample: 0
    deadline:
      description: Seconds left until the update reverses itself, V(0) if it will not.
      returned: always
      type: int
      sample: 0
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
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str"},
            "state_directory": {"type": "path", "default": store.DIRECTORY},
        },
        supports_check_mode=True,
    )
    finish(module, lambda: _found(store.Store(module.params["state_directory"]), module.params["name"]))


def _found(kept: store.Store, name: str | None) -> dict:
    updates = inventory.updates(kept)
    return {"helper": inventory.helper(), "updates": [row for row in updates if name in (None, row["name"])]}


if __name__ == "__main__":
    main()
