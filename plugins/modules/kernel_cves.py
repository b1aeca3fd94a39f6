#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_cves
short_description: Says which CVEs a kernel has, which are fixed in it, and which commit of its series fixes each
version_added: 0.1.0
description:
  - Derives from the index that M(rebootless.splice.feed) made what one version of the distribution's kernel package has
    and lacks.
  - Which version ships a fix is told by the version of Linux in it, by the titles of commits in the changelog, and by
    the CVEs that the changelog names, since these are given long after many fixes were shipped.
  - With O(tree) it also says which CVEs concern the kernel, by the sources that it builds.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.build_host
  - rebootless.splice.build.jobs
attributes:
  check_mode:
    support: full
    details:
      - O(dest) is not written.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  path:
    description: Directory of the feed.
    type: path
    required: true
  version:
    description: Version of the distribution's kernel package.
    type: str
    required: true
  tree:
    description:
      - The kernel tree's directory, as M(rebootless.splice.kernel_tree) returned it.
      - Without it, and without one for O(build_id), RV(cves[].concerns) is V(unknown).
    type: path
  build_id:
    description: The kernel's GNU build ID, to take its kernel tree from O(cache) if it is there. O(tree) comes first.
    type: str
  cache:
    description: Directory of the build host's cache.
    type: path
    default: ~/.cache/rebootless
  dest:
    description: File on the build host that the account is written to, in JSON.
    type: path
seealso:
  - module: rebootless.splice.feed
  - module: rebootless.splice.kernel_tree
"""

EXAMPLES = r"""
- name: Say what a kernel has and lacks
  rebootless.splice.kernel_cves:
    path: /srv/rebootless/feed
    version: 6.1.176-1
    tree: "{{ tree.path }}"
    dest: /srv/rebootless/feed/6.1.176-1.json
  register: account

- name: Show the open ones that concern it
  ansible.builtin.debug:
    msg: "{{ item.cve }} {{ item.title }}"
  loop: "{{ account.cves | selectattr('state', 'eq', 'open') | selectattr('concerns', 'eq', 'built') }}"
  loop_control:
    label: "{{ item.cve }}"
"""

RETURN = r"""
format:
  description: The format of the account.
  returned: success
  type: int
  sample: 1
kernel:
  description: The kernel, with its version of Linux and its series.
  returned: success
  type: dict
  sample: {"version": "6.1.176-1", "linux": "6.1.176", "series": "6.1"}
feed:
  description: What the account was derived from, as M(rebootless.splice.feed) returned it in C(sources).
  returned: success
  type: dict
tree:
  description: The kernel tree by which it is said what concerns the kernel; none if there was none.
  returned: success
  type: str
counts:
  description: How many CVEs are in each state, and of the open ones by what concerns the kernel.
  returned: success
  type: dict
  sample: {"open": 620, "fixed": 4100, "unknown": 0, "open_by_concern": {"built": 310}, "open_without_fix": 95}
notes:
  description: What limits the account as a whole, in sentences.
  returned: success
  type: list
  elements: str
cves:
  description: The CVEs that were in this kernel or its earlier versions, or of which that is unknown.
  returned: success
  type: list
  elements: dict
  contains:
    cve:
      description: The number.
      returned: always
      type: str
      sample: CVE-2026-52928
    title:
      description: The title of the fix.
      returned: always
      type: str
    state:
      description:
        - V(open), V(fixed) or V(unknown). Unknown are those whose record cannot be read, or whose fix the series has
          taken back.
      returned: always
      type: str
    why:
      description: Why it is in this state, a sentence; empty for one that is simply not fixed yet.
      returned: always
      type: str
    files:
      description: The files that the fixes change; those that the record names where the mirror has no commit.
      returned: always
      type: list
      elements: str
    concerns:
      description: Whether the kernel builds one of them, V(built), V(not built) or V(unknown).
      returned: always
      type: str
    objects:
      description: What the sources are built into, V(vmlinux) or modules. Not for headers.
      returned: always
      type: list
      elements: str
    published:
      description: When its record was published first; none where the mirror of the records does not go back so far.
      returned: always
      type: str
      sample: "2026-07-11T06:31:21Z"
    fix:
      description: The last fix of the series, and when it was committed there; none if the series has none.
      returned: always
      type: dict
      sample:
        commit: f085971de6d6b8ef946a5e0bcd73ff24509a0f85
        version: 6.1.177
        in_mirror: true
        time: "2026-06-27T10:03:41Z"
    fixes:
      description: All fixes of the series, oldest first.
      returned: when the record can be read
      type: list
      elements: dict
    shipped:
      description: The first version of the distribution's package with the fix, and what says so; none if none has it.
      returned: always
      type: dict
      sample: {"version": "6.1.180-1", "by": ["version", "title"]}
    vector:
      description: The CVSS vector; empty if the record has none.
      returned: always
      type: str
    score:
      description: Its base score.
      returned: always
      type: float
    severity:
      description: The name of the score.
      returned: always
      type: str
    exploited:
      description: What the KEV catalogue says of it; none if it is not in there.
      returned: always
      type: dict
    likely:
      description: The EPSS probability, 0 to 1.
      returned: always
      type: float
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: no_feed
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: There is no feed in /srv/rebootless/feed.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Run the playbook rebootless.splice.feed first.
details:
  description: Facts of the refusal.
  returned: failure
  type: dict
"""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.account import account, write_account
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.concern import Built, tree_of
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.index import read_index
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish


def tell(module: AnsibleModule) -> dict:
    options = module.params
    jobs = options["jobs"] or os.cpu_count() or 1
    index = read_index(Path(options["path"]))
    tree = tree_of(options["tree"], Cache(Path(options["cache"])), options["version"], options["build_id"])
    found = account(index, options["version"], Built(tree, jobs) if tree else None)
    found["tree"] = tree.path if tree else None
    changed = bool(options["dest"]) and write_account(Path(options["dest"]), found, dry=module.check_mode)
    return {"changed": changed, **found}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "version": {"type": "str", "required": True},
            "tree": {"type": "path"},
            "build_id": {"type": "str"},
            "cache": {"type": "path", "default": "~/.cache/rebootless"},
            "dest": {"type": "path"},
            "jobs": {"type": "int"},
        },
        supports_check_mode=True,
    )
    finish(module, lambda: tell(module))


if __name__ == "__main__":
    main()
