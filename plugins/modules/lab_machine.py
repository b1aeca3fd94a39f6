#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_machine
short_description: Starts, stops or removes a machine of the lab
version_added: 0.1.0
description:
  - Runs one machine with a stock kernel in QEMU, reached by SSH on a loopback port.
  - The machine writes to overlays of the lab's images. Its disk stays until O(state=absent), or until it is started
    from another root image; its kernel can be exchanged from start to start.
  - The machine reaches nothing outside.
  - A process is only ended after it was found to be this machine's own.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.build_host
requirements:
  - qemu-system-x86, qemu-utils and openssh-client; for O(firmware=secure_boot) also ovmf and openssl.
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - O(state=restarted) always restarts the machine.
options:
  directory:
    description: Directory of the machine. Its last part is the machine's name.
    type: path
    required: true
  state:
    description: The state in which the machine should be.
    type: str
    default: started
    choices:
      started:
        - The machine runs, made as the other options say. One that runs otherwise is restarted.
        - One that panicked is reported.
      restarted:
        - The machine was switched off, if it ran, and runs anew.
      stopped:
        - The machine is switched off and keeps its disk.
      absent:
        - The machine is switched off and its directory is removed.
  kernel:
    description:
      - The kernel's files, as M(rebootless.splice.lab_image) returns them in
        RV(rebootless.splice.lab_image#module:kernels).
    type: dict
    suboptions:
      release:
        description: The kernel's release.
        type: str
        required: true
      version:
        description: The version of its package.
        type: str
        required: true
      vmlinuz:
        description: Path of the kernel.
        type: path
        required: true
      initramfs:
        description: Path of its part of the initial root.
        type: path
        required: true
      modules:
        description: Path of the image of its modules.
        type: path
        required: true
  root:
    description: Path of the root file system's image.
    type: path
  authorized_key:
    description: The public SSH key with which root can log in.
    type: str
  cpus:
    description: Number of processors.
    type: int
    default: 2
  memory:
    description: Memory in MiB.
    type: int
    default: 512
  accelerator:
    description: What runs the machine's processors.
    type: str
    default: auto
    choices:
      auto:
        - V(kvm) where the processor flags C(svm) or C(vmx) and C(/dev/kvm) can be opened, else V(tcg).
      kvm:
        - The hardware.
      tcg:
        - QEMU's emulator, with a thread for each processor.
      tcg_single:
        - QEMU's emulator, with one thread for all processors, which take turns.
        - For kernels that write over code which other processors run at that time, as they do to switch tracepoints of
          the scheduler on or off. With a thread for each processor one of them may go on running the old code for ever.
  on_panic:
    description: What happens when the kernel panics. Its serial console tells it either way.
    type: str
    default: pause
    choices:
      pause:
        - The machine stands still, and can be looked at through its monitor.
      reboot:
        - The machine starts again by itself, at once.
  kernel_arguments:
    description: More words for the kernel's command line.
    type: list
    elements: str
    default: []
  firmware:
    description: What starts the kernel.
    type: str
    default: bios
    choices:
      bios:
        - QEMU, through a BIOS. Nothing is verified.
      secure_boot:
        - UEFI firmware with Secure Boot. It starts the kernel since it trusts the certificate that it was signed with,
          and the kernel locks itself down and loads signed modules only. Needs the package C(ovmf).
      shim:
        - The same firmware, which starts shim and GRUB as on an installed Debian, and they the kernel. Shim hands on
          the certificates that the machine's owner has enrolled. Needs O(boot_loader).
  certificates:
    description:
      - Certificates (PEM) that firmware with Secure Boot trusts too, in its C(db). The kernel loads modules that were
        signed with their keys.
    type: list
    elements: str
    default: []
  owner_certificates:
    description:
      - Certificates (PEM) that count as enrolled by the machine's owner (MOK), with O(firmware=shim). The kernel loads
        modules that were signed with their keys.
    type: list
    elements: str
    default: []
  boot_loader:
    description: The boot loader, as RV(rebootless.splice.lab_image#module:boot_loader). Required with O(firmware=shim).
    type: dict
    suboptions:
      shim:
        description: Path of shim, signed for the firmware.
        type: path
        required: true
      grub:
        description: Path of GRUB, signed for shim.
        type: path
        required: true
  ssh_port:
    description: The loopback port that leads to the machine's SSH server. V(0) takes a free one and keeps it.
    type: int
    default: 0
  wait:
    description: Whether to wait until the machine's SSH server answers.
    type: bool
    default: true
  timeout:
    description: Seconds to wait.
    type: int
    default: 300
seealso:
  - module: rebootless.splice.lab_image
  - module: rebootless.splice.lab_info
"""

EXAMPLES = r"""
- name: Start a machine and wait for it
  rebootless.splice.lab_machine:
    directory: ~/.cache/rebootless/lab/default/lab1
    kernel: "{{ images.kernels['6.1.0-50-cloud-amd64'] }}"
    root: "{{ images.root }}"
    authorized_key: "{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"
  register: machine

- name: Switch it off
  rebootless.splice.lab_machine:
    directory: ~/.cache/rebootless/lab/default/lab1
    state: stopped

- name: Remove it
  rebootless.splice.lab_machine:
    directory: ~/.cache/rebootless/lab/default/lab1
    state: absent
"""

RETURN = r"""
machine:
  description:
    - The machine, as M(rebootless.splice.lab_info) returns it in RV(rebootless.splice.lab_info#module:machines).
  returned: success
  type: dict
  sample:
    name: lab1
    state: running
    directory: /root/.cache/rebootless/lab/default/lab1
    pid: 4711
    kernel: 6.1.0-50-cloud-amd64
    accelerator: tcg
    ssh_host: 127.0.0.1
    ssh_port: 34567
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8m0ZVcZ7mO lab1
    console: /root/.cache/rebootless/lab/default/lab1/console.log
    monitor: /root/.cache/rebootless/lab/default/lab1/qmp.sock
    panic: null
waited:
  description: Seconds until the machine answered.
  returned: when it was waited for
  type: float
  sample: 16.25
started_anew:
  description:
    - How often the machine was started once more because the emulator had lost a timer interrupt of its boot, which
      would never have ended. The kernel says so on the serial console.
  returned: when it was waited for
  type: int
  sample: 0
code:
  description:
    - Why the task was refused, an identifier that does not change between releases.
    - Of the machine itself speak V(machine_panicked), V(machine_exited), V(machine_lost_timer) and V(machine_timeout).
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
  description:
    - Facts of the refusal, such as C(panic) of a machine that panicked, the path of its C(console), and the last lines
      of it as C(tail).
  returned: failure
  type: dict
  sample: {"machine": lab1, "panic": sysrq triggered crash, "console": /root/lab/lab1/console.log}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.machine import (
    BIOS,
    SECURE_BOOT,
    SHIM,
    Machine,
    MachineSpec,
    usable_accelerator,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish

KERNEL_FILES = {
    "release": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "vmlinuz": {"type": "path", "required": True},
    "initramfs": {"type": "path", "required": True},
    "modules": {"type": "path", "required": True},
}


LOADER_FILES = {name: {"type": "path", "required": True} for name in ("shim", "grub")}


def specify(params: dict[str, Any]) -> MachineSpec:
    if params["owner_certificates"] and params["firmware"] != SHIM:
        raise RebootlessError(
            "no_shim",
            f"Firmware {params['firmware']} starts no shim, which alone knows certificates that an owner has enrolled.",
            "Take firmware shim, or give the certificates to the firmware (certificates).",
            firmware=params["firmware"],
        )
    accelerator = params["accelerator"]
    kernel = params["kernel"]
    return MachineSpec(
        release=kernel["release"],
        vmlinuz=kernel["vmlinuz"],
        initramfs=kernel["initramfs"],
        modules=kernel["modules"],
        root_image=params["root"],
        authorized_key=params["authorized_key"].strip(),
        cpus=params["cpus"],
        memory_mib=params["memory"],
        accelerator=usable_accelerator() if accelerator == "auto" else accelerator,
        on_panic=params["on_panic"],
        kernel_arguments=params["kernel_arguments"],
        firmware=params["firmware"],
        certificates=params["certificates"],
        owner_certificates=params["owner_certificates"],
        boot_loader=params["boot_loader"] if params["firmware"] == SHIM else None,
    )


def start(machine: Machine, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    spec = specify(params)
    changed = params["state"] == "restarted" or not machine.runs(spec)
    if check_mode:
        return {"changed": changed}
    if changed:
        machine.start(spec, params["ssh_port"])
    if not params["wait"]:
        machine.check()
        return {"changed": changed}
    waited, anew = machine.come_up(params["timeout"])
    return {"changed": changed or anew > 0, "waited": round(waited, 2), "started_anew": anew}


def stop(machine: Machine, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    return {"changed": machine.pid() is not None if check_mode else machine.stop()}


def remove(machine: Machine, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    return {"changed": bool(machine.record()) if check_mode else machine.remove()}


ACTIONS = {"started": start, "restarted": start, "stopped": stop, "absent": remove}


def act(module: AnsibleModule) -> dict[str, Any]:
    machine = Machine(module.params["directory"])
    result = ACTIONS[module.params["state"]](machine, module.params, module.check_mode)
    return {**result, "machine": machine.status()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "state": {"type": "str", "default": "started", "choices": list(ACTIONS)},
            "kernel": {"type": "dict", "options": KERNEL_FILES},
            "root": {"type": "path"},
            "authorized_key": {"type": "str", "no_log": False},
            "cpus": {"type": "int", "default": 2},
            "memory": {"type": "int", "default": 512},
            "accelerator": {"type": "str", "default": "auto", "choices": ["auto", "kvm", "tcg", "tcg_single"]},
            "on_panic": {"type": "str", "default": "pause", "choices": ["pause", "reboot"]},
            "kernel_arguments": {"type": "list", "elements": "str", "default": []},
            "firmware": {"type": "str", "default": BIOS, "choices": [BIOS, SECURE_BOOT, SHIM]},
            "certificates": {"type": "list", "elements": "str", "default": []},
            "owner_certificates": {"type": "list", "elements": "str", "default": []},
            "boot_loader": {"type": "dict", "options": LOADER_FILES},
            "ssh_port": {"type": "int", "default": 0},
            "wait": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 300},
        },
        required_if=[
            ("state", "started", ("kernel", "root", "authorized_key")),
            ("state", "restarted", ("kernel", "root", "authorized_key")),
            ("firmware", SHIM, ("boot_loader",)),
        ],
        supports_check_mode=True,
    )
    finish(module, lambda: act(module))


if __name__ == "__main__":
    main()
