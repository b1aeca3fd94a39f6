#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: update_store
short_description: Keeps updates and their builds in a directory on the controller
version_added: 0.1.0
description:
  - Brings a version of an update into the store, with its patches, and the outcome of its build for any number of
    kernels. What was built before stays.
  - Each version has a directory with a manifest that names all its files by their SHA-256. The whole store can be
    served by any web server as it is.
  - Files are written before the manifest that names them, and each appears as a whole, so the store can be read, and be
    written by others, at any time.
  - Every file of the version is verified each time. What is damaged is replaced if it is at hand; a damaged package
    that is not becomes an entry that says so, and is built again next time.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.controller
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows the manifest.
  idempotent:
    support: full
    details:
      - When and where something was built is kept from the first time.
requirements:
  - Python 3.8 or newer where the store is; nothing outside its standard library.
options:
  path:
    description: Directory of the store. It is made if it is not there.
    type: path
    required: true
  name:
    description:
      - Name of the update. Lower-case letters, digits, dots, dashes and underscores, up to 63 of them.
    type: str
    required: true
  version:
    description:
      - Version of the update. A version is one content; with other patches than the store has, it is refused.
    type: str
    default: "1"
  cves:
    description: The CVEs that the update fixes.
    type: list
    elements: str
    default: []
  patches:
    description: Paths of the patches, in the order in which they are applied.
    type: list
    elements: path
    required: true
  custom:
    description: Custom code of the update.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path of a C file.
        type: path
        required: true
      source:
        description: The kernel source at whose end it is compiled.
        type: str
        required: true
  fixed_in:
    description:
      - Versions of the distribution's kernel packages from which on the fix is in, one for each series such as 6.1.
      - A kernel of such a version does not need the update.
    type: list
    elements: str
    default: []
  ignore_missing:
    description:
      - Patched files that a kernel's source need not have, as O(rebootless.splice.update_build#module:ignore_missing).
        A package that was built with others is refused.
      - Files may be added to those that the store has. To leave one out again after there was a package is another
        version.
    type: list
    elements: str
    default: []
  builds:
    description: Outcomes of builds, each for one kernel.
    type: list
    elements: dict
    default: []
    suboptions:
      release:
        description: The kernel's release.
        type: str
        required: true
      version:
        description: Version of the distribution's package, if it is known.
        type: str
        default: ""
      build_id:
        description: The kernel's build ID, which names the entry.
        type: str
        required: true
      arch:
        description: The machine, as C(uname -m) has it.
        type: str
        default: ""
      package:
        description: Path of the package, if there is one. It is checked like on a target.
        type: path
      result:
        description:
          - Without O(builds[].package), what the task returned that ended the build, of
            M(rebootless.splice.kernel_tree), M(rebootless.splice.helper_build) or M(rebootless.splice.update_build).
          - With it, only C(remarks) are taken from it.
        type: dict
        default: {}
      build_host:
        description: Where it was built.
        type: str
        default: ""
      hosts:
        description: The hosts that run it; not kept.
        type: list
        elements: str
seealso:
  - module: rebootless.splice.update_build
  - module: rebootless.splice.build_work
"""

EXAMPLES = r"""
- name: Keep what was built
  rebootless.splice.update_store:
    path: /srv/rebootless/store
    name: cve-2026-52928
    version: "1.0"
    cves: [CVE-2026-52928]
    patches: [/srv/patches/af_unix-reject-siocatmark.patch]
    fixed_in: [6.1.187-1]
    builds:
      - release: "{{ build.release }}"
        build_id: "{{ build.build_id }}"
        package: "{{ build.package }}"
  delegate_to: localhost
  register: kept

- name: Show for which kernels there is a package
  ansible.builtin.debug:
    msg: "{{ kept.manifest.kernels | selectattr('status', 'eq', 'built') | map(attribute='release') }}"
"""

RETURN = r"""
path:
  description: The directory of this version of the update.
  returned: success
  type: str
  sample: /srv/rebootless/store/cve-2026-52928/1.0
manifest:
  description:
    - The manifest, as it is in the store. C(docs/fleet.md) describes all of it.
  returned: success
  type: dict
  contains:
    name:
      description: The update's name.
      returned: always
      type: str
    version:
      description: The update's version.
      returned: always
      type: str
    cves:
      description: The CVEs that it fixes.
      returned: always
      type: list
      elements: str
    fixed_in:
      description: By source package, the versions from which on the fix is in.
      returned: always
      type: dict
    patches:
      description: The patches, with C(name), C(sha256) and C(size).
      returned: always
      type: list
      elements: dict
    custom:
      description: The custom code, with C(name), C(source), C(sha256) and C(size).
      returned: always
      type: list
      elements: dict
    ignore_missing:
      description: Patched files that a kernel's source need not have.
      returned: if there are any
      type: list
      elements: str
    kernels:
      description: What became of the update for each kernel.
      returned: always
      type: list
      elements: dict
manifest_sha256:
  description: SHA-256 of the manifest's file.
  returned: success
  type: str
written:
  description: The files that were written, or would be, below RV(path).
  returned: success
  type: list
  elements: str
  sample: [cve-2026-52928-1.0-bb603a9147d3.rbl.tar.gz, manifest.json]
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: update_differs
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: The store has cve-2026-52928 1.0 with other patches.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Give the update another version; hosts may run the one that is there.
details:
  description: Facts of the refusal.
  returned: failure
  type: dict
"""
