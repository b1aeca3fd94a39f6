#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_tree
short_description: Prepares what it takes to reproduce one distribution kernel's objects
version_added: 0.1.0
description:
  - Makes a kernel tree on the build host, the source, configuration, headers and tools from which single objects of a
    distribution's kernel can be rebuilt byte for byte. Updates are built in it by M(rebootless.splice.update_build).
  - Nothing is installed. Everything is kept in O(cache), and the sources of one version are shared by all flavours.
  - A tree appears whole or not at all, so a run that was killed leaves none. Two runs at the same time wait for each
    other.
  - The compiler has to be of exactly the version that built the kernel, and the configuration has to come out of the
    kernel's own tools as it went in; otherwise the tree is refused, with the name of what differs.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.build_host
  - rebootless.splice.build
  - rebootless.splice.build.jobs
  - rebootless.splice.build.urgent
attributes:
  check_mode:
    support: full
    details:
      - Says whether a tree would be prepared, and whether apt offers its kernel, without downloading anything.
  diff_mode:
    support: none
  idempotent:
    support: full
requirements:
  - On the build host, make, the C compiler of the kernel, binutils, bc, bison, flex, perl, tar and the headers of
    libelf and OpenSSL; pahole for kernels with BTF.
  - For O(source=debian) also apt, dpkg and xz.
options:
  release:
    description: The kernel's release, as C(uname -r) says it.
    type: str
  build_id:
    description:
      - The GNU build ID of the running kernel, in hex, as M(rebootless.splice.kernel_info) returns it.
      - Without O(release), the cached trees and then the image packages that apt offers are searched for it, the newest
        ones first.
    type: str
  version:
    description:
      - Version of the distribution's packages, if the release alone does not say it.
      - Without it, apt's preferred version is taken.
    type: str
  source:
    description: Where the parts of the tree come from.
    type: str
    default: debian
    choices:
      debian:
        - Debian's packages of image, headers and source, downloaded by apt.
      directory:
        - What the operator brings in O(directory).
  directory:
    description: The operator's own parts of the tree, for O(source=directory). They are used where they lie.
    type: dict
    suboptions:
      source:
        description: The kernel's source, as it was built, but without anything built in it.
        type: path
        required: true
      headers:
        description: What modules for this kernel are built against, with C(Module.symvers).
        type: path
        required: true
      config:
        description: The kernel's configuration, as the distribution ships it.
        type: path
        required: true
      vmlinuz:
        description: The bootable image of the distribution's kernel.
        type: path
        required: true
      modules:
        description:
          - The distribution's modules of this kernel, such as C(/lib/modules/6.1.0-50-cloud-amd64).
          - Needed for updates that change modules.
        type: path
  compiler:
    description:
      - The command that runs the C compiler.
      - Without it, the one that the distribution's configuration names is tried, then C(gcc).
    type: str
  extra_sources:
    description:
      - Further package sources, one line each as in C(sources.list), for versions that have left the mirrors that the
        build host's apt knows. A snapshot archive, for example.
      - apt checks their signatures as ever; the build host's own configuration is not changed.
    type: list
    elements: str
    default: []
  search_limit:
    description: How many image packages may be downloaded to search for O(build_id).
    type: int
    default: 8
notes:
  - What is done at the moment is written to C(progress.log) in O(cache).
seealso:
  - module: rebootless.splice.helper_build
  - module: rebootless.splice.update_build
"""

EXAMPLES = r"""
- name: Prepare the tree of the kernel that a host runs
  rebootless.splice.kernel_tree:
    release: 6.1.0-50-cloud-amd64
  register: tree

- name: Prepare a tree by build ID, from packages that only a snapshot archive still has
  rebootless.splice.kernel_tree:
    release: "{{ kernel_release }}"
    build_id: "{{ kernel_build_id }}"
    extra_sources:
      - "deb [check-valid-until=no] {{ snapshot_url }} bookworm main"

- name: Prepare a tree of a kernel of one's own
  rebootless.splice.kernel_tree:
    source: directory
    directory:
      source: /srv/kernels/6.1.176/source
      headers: /srv/kernels/6.1.176/headers
      config: /srv/kernels/6.1.176/config
      vmlinuz: /srv/kernels/6.1.176/vmlinuz
      modules: /srv/kernels/6.1.176/modules
    compiler: /opt/gcc-12.2/bin/gcc
"""

RETURN = r"""
path:
  description: The tree's directory, for the option O(rebootless.splice.update_build#module:tree).
  returned: when the tree is there
  type: str
  sample: /home/builder/.cache/rebootless/trees/6.1.0-50-cloud-amd64-bb603a9147d3
tree:
  description: The parts of the tree.
  returned: when the tree is there
  type: dict
  contains:
    release:
      description: The kernel's release.
      returned: always
      type: str
      sample: 6.1.0-50-cloud-amd64
    build_id:
      description: The GNU build ID of the kernel, read from its bootable image.
      returned: always
      type: str
      sample: bb603a9147d3efe4744bf83c83eee397c591cc20
    version:
      description: Version of the distribution's packages; empty if it is not known.
      returned: always
      type: str
      sample: 6.1.176-1
    arch:
      description: The machine's architecture.
      returned: always
      type: str
      sample: x86_64
    origin:
      description: Where the parts come from, V(debian) or V(directory).
      returned: always
      type: str
      sample: debian
    path:
      description: The tree's directory.
      returned: always
      type: str
    source:
      description: The kernel's source.
      returned: always
      type: str
    build:
      description: The prepared build directory.
      returned: always
      type: str
    headers:
      description: What modules are built against.
      returned: always
      type: str
    config:
      description: The distribution's configuration.
      returned: always
      type: str
    vmlinuz:
      description: The distribution's bootable image.
      returned: always
      type: str
    modules:
      description: The distribution's modules; empty if they are not known.
      returned: always
      type: str
    compiler:
      description: The command that runs the C compiler.
      returned: always
      type: str
      sample: gcc-12
    compiler_version:
      description: What the compiler says of its version.
      returned: always
      type: str
      sample: (Debian 12.2.0-14+deb12u1) 12.2.0
    variables:
      description: Variables of the kernel's makefile that the distribution built with.
      returned: always
      type: dict
    identity:
      description: SHA-256 that names all parts by their content.
      returned: always
      type: str
would_prepare:
  description: What would be prepared.
  returned: in check mode, if the tree is not there
  type: str
  sample: linux-image-6.1.0-50-cloud-amd64 6.1.176-1
timings:
  description: Seconds that each phase took; empty if the tree was there.
  returned: success
  type: dict
  sample: {"download": 14.6, "unpack": 9.0, "configure": 4.1, "prepare": 15.2, "find units": 8.7}
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: compiler_differs
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: This kernel was built with gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0, but gcc is (Debian 13.3.0-1) 13.3.0.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Install exactly that version of gcc-12, or name a compiler command of that version.
details:
  description: Facts of the refusal, such as the options that differ, or the end of a tool's output.
  returned: failure
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.sources import SOURCES, get_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.progress import teller
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.waiting import working
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.material import TreeRequest
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import summary
from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish


def prepare(module: AnsibleModule) -> dict:
    options = module.params
    cache = Cache(options["cache"])
    build_id = options["build_id"].lower() if options["build_id"] else None
    request = TreeRequest(options["release"], build_id, options["version"])
    source = SOURCES[options["source"]](cache, options)
    if module.check_mode:
        tree = source.find(cache, request)
        if tree is None:
            return {"changed": True, "would_prepare": source.check(request), "timings": {}}
        return {"changed": False, "tree": summary(tree), "path": tree.path, "timings": {}}
    subject = f"kernel_tree {request.release or request.build_id or ''}"
    say = teller(cache, subject, module.log)
    with working(subject, say, options["urgent"]):
        tree, prepared, phases = get_tree(
            cache, request, source, options["compiler"], options["jobs"] or os.cpu_count() or 1, say
        )
    return {"changed": prepared, "tree": summary(tree), "path": tree.path, "timings": phases.timings}


def main() -> None:
    parts = {name: {"type": "path", "required": True} for name in ("source", "headers", "config", "vmlinuz")}
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "str"},
            "build_id": {"type": "str"},
            "version": {"type": "str"},
            "source": {"type": "str", "default": "debian", "choices": ["debian", "directory"]},
            "directory": {"type": "dict", "options": {**parts, "modules": {"type": "path"}}},
            "compiler": {"type": "str"},
            "extra_sources": {"type": "list", "elements": "str", "default": []},
            "search_limit": {"type": "int", "default": 8},
            "jobs": {"type": "int"},
            "urgent": {"type": "bool", "default": False},
            "cache": {"type": "path", "default": "~/.cache/rebootless"},
        },
        required_if=[
            ("source", "debian", ("release", "build_id"), True),
            ("source", "directory", ("directory",)),
        ],
        supports_check_mode=True,
    )
    finish(module, lambda: prepare(module))


if __name__ == "__main__":
    main()
