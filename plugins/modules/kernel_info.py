#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_info
short_description: Shows which kernel a host runs, and what of it has been fixed live
version_added: 0.1.0
description:
  - Shows the running kernel's release and build ID, which together with the architecture say which build of an
    update it needs.
  - Shows what decides whether it can be patched live (lockdown, enforced signatures), and what has been.
  - Works as any user; what only root may read is then missing.
  - Sets the fact C(rebootless) to the same. Where M(rebootless.splice.persist) has installed its fact file, every play
    that gathers facts finds it in C(ansible_local.rebootless), too.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.info
  - rebootless.splice.attributes.target
  - rebootless.splice.target
seealso:
  - module: rebootless.splice.update
  - module: rebootless.splice.update_info
"""

EXAMPLES = r"""
- name: Ask for the running kernel
  rebootless.splice.kernel_info:
  become: true
  register: running

- name: Say what runs
  ansible.builtin.debug:
    msg: "{{ running.kernel.effective_release }}, build ID {{ running.kernel.build_id }}"

- name: Stop where the fix is not live
  ansible.builtin.assert:
    that: "'CVE-2026-52928' in ansible_facts.rebootless.cves_fixed_live"
  when: fix_required | default(false)
"""

RETURN = r"""
ansible_facts:
  description: What is set for the tasks that follow.
  returned: always
  type: dict
  contains:
    rebootless:
      description: The same as RV(kernel).
      returned: always
      type: dict
      sample: {"release": 6.1.0-50-cloud-amd64, "cves_fixed_live": [CVE-2026-52928]}
kernel:
  description: The running kernel.
  returned: always
  type: dict
  contains:
    release:
      description: Its release, as C(uname -r) has it.
      returned: always
      type: str
      sample: 6.1.0-50-cloud-amd64
    effective_release:
      description: The release, with name and version of each update that is live appended.
      returned: always
      type: str
      sample: 6.1.0-50-cloud-amd64+cve-2026-52928-1.0
    version:
      description: Version of the distribution's package that it came in; empty if it does not say one.
      returned: always
      type: str
      sample: 6.1.176-1
    build_id:
      description: Its GNU build ID in hex, which names one build of one kernel; empty if it has none.
      returned: always
      type: str
      sample: 6c1a0b4d2e9f0a1b2c3d4e5f60718293a4b5c6d7
    arch:
      description: The machine, as C(uname -m) has it.
      returned: always
      type: str
      sample: x86_64
    lockdown:
      description: V(none), V(integrity), V(confidentiality), or V(unknown) where the kernel does not say.
      returned: always
      type: str
      sample: none
    secure_boot:
      description:
        - V(on), V(off), or V(unknown) where the firmware's variables cannot be read (C(efivarfs) is not mounted).
      returned: always
      type: str
      sample: "on"
    signatures_enforced:
      description: Whether the kernel loads only signed modules, also without lockdown.
      returned: always
      type: bool
    module_keys:
      description:
        - The keys by which the kernel verifies signatures of modules; null where it does not say.
        - Kernels of Debian look at all of these keyrings, upstream ones not at C(.platform).
      returned: always
      type: list
      elements: dict
      sample:
        - keyring: .platform
          name: Fleet module signing
          key_id: 36b692bb139848f14b9a478d0065177c71d45ff0
      contains:
        keyring:
          description: C(.builtin_trusted_keys), C(.secondary_trusted_keys), C(.machine) or C(.platform).
          returned: always
          type: str
        name:
          description: The certificate's subject, as the kernel shortens it.
          returned: always
          type: str
        key_id:
          description: The certificate's subject key identifier, hex.
          returned: always
          type: str
    modules_disabled:
      description: Whether loading of modules has been switched off until the next boot.
      returned: always
      type: bool
    isolated_cpus:
      description:
        - The CPUs that the host keeps free of interruptions, and which a switch stops like all others; those that are
          online, as the kernel writes lists, empty if there are none.
      returned: always
      type: dict
      sample: {"all": "2-5", "nohz_full": "2-3", "isolated": "2-3", "cpusets": "4-5"}
      contains:
        all:
          description: All of them.
          returned: always
          type: str
        nohz_full:
          description: Those without a tick, by the boot parameter C(nohz_full).
          returned: always
          type: str
        isolated:
          description: Those that the scheduler leaves out, by the boot parameter C(isolcpus).
          returned: always
          type: str
        cpusets:
          description: Those of isolated partitions of cpusets.
          returned: always
          type: str
    taint:
      description: What taints it.
      returned: always
      type: dict
      sample: {"value": 12288, "flags": [out_of_tree_module, unsigned_module]}
      contains:
        value:
          description: As C(/proc/sys/kernel/tainted) has it.
          returned: always
          type: int
        flags:
          description: The same by name.
          returned: always
          type: list
          elements: str
    boot_id:
      description: Changes with every boot, and with nothing else.
      returned: always
      type: str
      sample: 6f1c3f52-5f8a-4b57-9c53-0a4d5ed3b6de
    uptime:
      description: Seconds since it was booted.
      returned: always
      type: float
      sample: 8123.41
    installed:
      description: The kernels in C(/boot), as their images describe themselves.
      returned: always
      type: list
      elements: dict
      sample: [{"release": 6.1.0-50-cloud-amd64, "version": 6.1.176-1}]
      contains:
        release:
          description: The release, as C(uname -r) would have it.
          returned: always
          type: str
        version:
          description: Version of the distribution's package; empty if the image does not say one.
          returned: always
          type: str
    helper:
      description: The helper module, as in M(rebootless.splice.update_info).
      returned: always
      type: dict
      sample: {"loaded": false}
    updates:
      description: The updates that are live, with C(name), C(version), C(digest), C(state), C(cves) and C(deadline).
      returned: always
      type: list
      elements: dict
      sample: []
    bypassed:
      description:
        - The updates that are applied and not in effect, since something else has taken one of their functions away;
          what they fix is not fixed.
      returned: always
      type: list
      elements: str
      sample: []
    held:
      description: The updates that were reversed while tasks were in their code, which have yet to leave it.
      returned: always
      type: list
      elements: str
      sample: []
    boot:
      description: What becomes of updates when the host boots this kernel, see M(rebootless.splice.persist).
      returned: always
      type: dict
      sample: {"off": "", "armed": [cve-2026-52928], "quarantined": []}
      contains:
        "off":
          description: What keeps all updates from being applied at boot; empty if nothing does.
          returned: always
          type: str
          sample: ""
        armed:
          description: The updates that are applied again.
          returned: always
          type: list
          elements: str
          sample: [cve-2026-52928]
        quarantined:
          description: The updates that are not, since the host crashed soon after that.
          returned: always
          type: list
          elements: str
          sample: []
    cves_fixed_live:
      description: The CVEs that live updates fix, as far as their packages are kept on the host.
      returned: always
      type: list
      elements: str
      sample: [CVE-2026-52928]
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
        argument_spec={"state_directory": {"type": "path", "default": store.DIRECTORY}},
        supports_check_mode=True,
    )
    finish(module, lambda: _found(store.Store(module.params["state_directory"])))


def _found(kept: store.Store) -> dict:
    kernel = inventory.kernel(kept)
    return {"kernel": kernel, "ansible_facts": {"rebootless": kernel}}


if __name__ == "__main__":
    main()
