#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_image
short_description: Makes the images that lab machines boot
version_added: 0.1.0
description:
  - Makes a small Debian root file system, shared by all machines of a lab, and for each kernel an initial root and an
    image of its modules. The kernels are the distribution's own, unmodified.
  - Images are named by what went into them, made once, and found again by later runs.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.build_host
requirements:
  - mmdebstrap, e2fsprogs, kmod, busybox-static, and fakeroot for users other than root.
attributes:
  check_mode:
    support: full
    details:
      - RV(root) is the path that the image has or would have; RV(kernels) lists only existing images.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  kernels:
    description:
      - Releases of the kernels, as in the names of Debian's C(linux-image-*) packages, which also says the flavour.
      - V(RELEASE=VERSION) names the version of the package too, where a release has several.
    type: list
    elements: str
    required: true
  packages:
    description: Debian packages of the root file system, beside the essential ones.
    type: list
    elements: str
    required: true
  masked_units:
    description: Units of systemd that never start in the lab.
    type: list
    elements: str
    default: []
  overlay:
    description: Directory whose files are laid over the root file system, all of them owned by root.
    type: path
    required: true
  size:
    description: Size of the root file system in MiB. Only what is used takes up space.
    type: int
    default: 2048
  boot_loader:
    description:
      - Whether to fetch Debian's shim and GRUB, for machines with
        O(rebootless.splice.lab_machine#module:firmware=shim). They are not installed on this host.
    type: bool
    default: false
  cache:
    description: Directory that keeps images (below C(images)) and downloaded packages (below C(debs)).
    type: path
    default: ~/.cache/rebootless
seealso:
  - module: rebootless.splice.lab_machine
"""

EXAMPLES = r"""
- name: Make the images of two kernels
  rebootless.splice.lab_image:
    kernels:
      - 6.1.0-47-cloud-amd64
      - 6.1.0-50-cloud-amd64
    packages: [systemd-sysv, openssh-server, python3, kmod, iproute2]
    overlay: "{{ playbook_dir }}/files/root"
  register: images
"""

RETURN = r"""
root:
  description: Path of the root file system's image.
  returned: success
  type: str
  sample: /root/.cache/rebootless/images/root-1f6b2a90c4d85e73/root.ext4
kernels:
  description: For each kernel asked for, the files that a machine boots.
  returned: success
  type: dict
  sample:
    6.1.0-50-cloud-amd64:
      release: 6.1.0-50-cloud-amd64
      version: 6.1.176-1
      vmlinuz: /root/.cache/rebootless/images/kernel-6.1.0-50-cloud-amd64-05d8c1f2/vmlinuz
      initramfs: /root/.cache/rebootless/images/kernel-6.1.0-50-cloud-amd64-05d8c1f2/initramfs.cpio
      modules: /root/.cache/rebootless/images/kernel-6.1.0-50-cloud-amd64-05d8c1f2/modules.ext4
boot_loader:
  description: The signed boot loader.
  returned: O(boot_loader=true), when it is there
  type: dict
  sample:
    shim: /root/.cache/rebootless/images/loader-05d8c1f2/shimx64.efi.signed
    grub: /root/.cache/rebootless/images/loader-05d8c1f2/grubx64.efi.signed
made:
  description: What was made by this run, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [6.1.0-50-cloud-amd64, root]
accelerator:
  description: V(kvm) where the processor can run machines in hardware, else V(tcg).
  returned: success
  type: str
  sample: tcg
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: no_package_sources
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: apt knows no Debian package source on this machine, or has no package lists yet.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Run 'apt-get update', and check /etc/apt/sources.list and /etc/apt/sources.list.d.
details:
  description: Facts of the refusal, such as the end of a tool's output.
  returned: failure
  type: dict
"""

import os
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab import (
    boot_loader,
    kernel_image,
    machine,
    root_image,
)
from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish


def make(module: AnsibleModule) -> dict:
    cache = Cache(module.params["cache"])
    recipe = root_image.RootRecipe(
        packages=tuple(module.params["packages"]),
        masked_units=tuple(module.params["masked_units"]),
        overlay=module.params["overlay"],
        size_mib=module.params["size"],
    )
    made, kernels = [], {}
    for kernel in module.params["kernels"]:
        if module.check_mode:
            image = kernel_image.read_kernel_image(cache, kernel)
            is_new = image is None
        else:
            image, is_new = kernel_image.make_kernel_image(cache, kernel)
        if is_new and kernel not in made:
            made.append(kernel)
        if image:
            kernels[kernel] = asdict(image)
    if module.check_mode:
        root = root_image.root_image_path(cache, recipe)
        is_new = not os.path.exists(root)
    else:
        root, is_new = root_image.make_root_image(cache, recipe)
    if is_new:
        made.append("root")
    loader = None
    if module.params["boot_loader"]:
        loader = boot_loader.read_boot_loader(cache)
        made += [] if loader else ["boot_loader"]
        if loader is None and not module.check_mode:
            loader, _is_new = boot_loader.make_boot_loader(cache)
    return {
        **({"boot_loader": asdict(loader)} if loader else {}),
        "changed": bool(made),
        "root": root,
        "kernels": kernels,
        "made": made,
        "accelerator": machine.usable_accelerator(),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kernels": {"type": "list", "elements": "str", "required": True},
            "packages": {"type": "list", "elements": "str", "required": True},
            "masked_units": {"type": "list", "elements": "str", "default": []},
            "overlay": {"type": "path", "required": True},
            "size": {"type": "int", "default": 2048},
            "boot_loader": {"type": "bool", "default": False},
            "cache": {"type": "path", "default": "~/.cache/rebootless"},
        },
        supports_check_mode=True,
    )
    finish(module, lambda: make(module))


if __name__ == "__main__":
    main()
