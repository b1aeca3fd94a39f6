#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: helper_build
short_description: Builds the helper module for one kernel
version_added: 0.1.0
description:
  - Builds the kernel module that matches, applies and reverses updates, for the kernel of a tree that
    M(rebootless.splice.kernel_tree) has prepared, and the match library that check mode uses.
  - The sources are copied, so O(kmod) is only read. What was built is kept in O(cache) and found there by the kernel
    and the content of the sources.
  - Packages that M(rebootless.splice.update_build) makes hold the helper module already. This module is for those who
    want to install it by themselves.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.build_host
  - rebootless.splice.build
  - rebootless.splice.build.inputs
  - rebootless.splice.build.urgent
  - rebootless.splice.build.sign
  - rebootless.splice.attributes.sending
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: rebootless.splice.kernel_tree
  - module: rebootless.splice.update_build
"""

EXAMPLES = r"""
- name: Prepare the kernel tree
  rebootless.splice.kernel_tree:
    release: 6.1.0-50-cloud-amd64
  register: tree

- name: Build the helper module
  rebootless.splice.helper_build:
    tree: "{{ tree.path }}"
  register: helper

- name: Build it for hosts with Secure Boot, signed by a key in a token
  rebootless.splice.helper_build:
    tree: "{{ tree.path }}"
    sign:
      certificate: /etc/rebootless/signer.pem
      pkcs11: pkcs11:token=fleet;object=modules;type=private
      pin: "{{ vault_token_pin }}"
"""

RETURN = r"""
path:
  description: The helper module.
  returned: when it is built
  type: str
  sample: /home/builder/.cache/rebootless/helpers/be6a5386/rebootless.ko
symvers:
  description: The list of what it exports to update modules.
  returned: when it is built
  type: str
  sample: /home/builder/.cache/rebootless/helpers/be6a5386/Module.symvers
library:
  description: The match library.
  returned: when it is built
  type: str
  sample: /home/builder/.cache/rebootless/helpers/be6a5386/libmatch.so
signer:
  description: Who signed the module.
  returned: with O(sign)
  type: dict
  contains:
    subject:
      description: The subject of the certificate.
      returned: always
      type: str
      sample: CN=Fleet module signing
    issuer:
      description: The issuer of the certificate.
      returned: always
      type: str
      sample: CN=Fleet module signing
    serial:
      description: Its serial number, hex.
      returned: always
      type: str
      sample: 4b45c73ab1133fb2708011f9bb52caa4a3b0790b
    fingerprint:
      description: SHA-256 of the certificate, hex.
      returned: always
      type: str
      sample: 9b3c1f0d5e7a2846b0c9d8e7f60518293a4b5c6d7e8f90a1b2c3d4e5f6071829
    key_id:
      description: What the kernel calls the key, in C(/proc/keys) behind the subject.
      returned: always
      type: str
      sample: 36b692bb139848f14b9a478d0065177c71d45ff0
    hash:
      description: The hash algorithm of the signature.
      returned: always
      type: str
      sample: sha256
    not_before:
      description: From when the certificate is valid, UTC.
      returned: always
      type: str
      sample: "2026-01-31 12:00:00Z"
    not_after:
      description: Until when the certificate is valid, UTC. Kernels do not look at it.
      returned: always
      type: str
      sample: "2036-01-31 12:00:00Z"
build_digest:
  description: What names the build by its inputs, of which the signer's certificate is one.
  returned: success
  type: str
  sample: be6a53865318761c1446fc643106307ee42ea6869ce7ff49cdd09126bb8be76c
release:
  description: The kernel's release.
  returned: success
  type: str
  sample: 6.1.0-50-cloud-amd64
build_id:
  description: The kernel's build ID.
  returned: success
  type: str
  sample: bb603a9147d3efe4744bf83c83eee397c591cc20
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: helper_build_failed
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: The helper module does not build for 6.1.0-50-cloud-amd64.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Report it with the output of the tools.
details:
  description: Facts of the refusal, such as the end of the compiler's output.
  returned: failure
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts import helper
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.progress import teller
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.waiting import working
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.options import SIGN, signer_of, tell
from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish


def build(module: AnsibleModule) -> dict:
    cache = Cache(module.params["cache"])
    tree = read_tree(module.params["tree"])
    signer = signer_of(module.params["sign"])
    tree.check_compiler()
    subject = f"helper_build {tree.release}"
    with working(subject, teller(cache, subject, module.log), module.params["urgent"]):
        kmod = helper.keep_sources(module.params["kmod"], cache)
        found = helper.find(tree, kmod, cache, signer)
        built = found is None
        if found is None and not module.check_mode:
            found = helper.make(tree, kmod, cache, signer)
    result = {
        "changed": built,
        "release": tree.release,
        "build_id": tree.build_id,
        "build_digest": helper.digest_of(tree, kmod, signer),
    }
    if signer is not None:
        result["signer"] = signer.facts()
        tell(module, signer)
    if found is not None:
        result.update(path=str(found.module), symvers=str(found.symvers), library=str(found.library))
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "tree": {"type": "path", "required": True},
            "kmod": {"type": "path"},
            "urgent": {"type": "bool", "default": False},
            "cache": {"type": "path", "default": "~/.cache/rebootless"},
            "sign": SIGN,
        },
        supports_check_mode=True,
    )
    finish(module, lambda: build(module))


if __name__ == "__main__":
    main()
