#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: feed
short_description: Brings the index of the kernel's CVEs, their fixes, and what the distribution ships up to date
version_added: 0.1.0
description:
  - Mirrors the records of the kernel's CNA (C(vulns.git)) and the stable series of the fleet's kernels
    (C(linux-stable)), reads the changelogs of the distribution's kernel packages and, if they are named, CISA's KEV and
    FIRST's EPSS, and makes one index of them, C(index.json) in O(path).
  - The index names the commits that it was made from, and is replaced whole or not at all. Only what is new is read.
  - A source that cannot be read, is damaged, or has a branch that was rewritten fails the task and leaves the index as
    it is.
  - What M(rebootless.splice.kernel_cves) says of a kernel is derived from the index each time, so that a record that is
    taken back or changes its fix changes it.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.build_host
  - rebootless.splice.build
attributes:
  check_mode:
    support: none
    details:
      - Whether something is new is known only after it was fetched. In check mode the task is skipped.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A second run indicates a change if the sources have got something new meanwhile.
requirements:
  - On the build host, git; gpg for O(keys).
options:
  path:
    description: Directory of the feed, with the mirrors and the index.
    type: path
    required: true
  kernels:
    description:
      - Versions of the distribution's kernel packages that the fleet runs, as M(rebootless.splice.kernel_info) returns
        them.
      - Their series are mirrored, each from its oldest kernel on.
    type: list
    elements: str
    required: true
  records_url:
    description:
      - Address of the CNA's records. Everything that git takes, or the path of a git bundle on the build host.
    type: str
    default: https://git.kernel.org/pub/scm/linux/security/vulns.git
  records_branch:
    description: Branch of the records.
    type: str
    default: master
  stable_url:
    description:
      - Address of linux-stable, with the branches C(linux-6.1.y) and so on and the tags of the releases. Everything
        that git takes, or the path of a git bundle on the build host.
    type: str
    default: https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git
  keys:
    description:
      - Path on the build host of a file of OpenPGP public keys, as C(gpg --export) writes it.
      - With it, the tag of each release has to be signed by one of them. Without it, signatures are not checked.
    type: path
  changelogs:
    description:
      - Paths on the build host of changelogs of kernel packages by series, such as V(6.1).
      - Those of other series are taken from the distribution's packages.
    type: dict
    default: {}
  extra_sources:
    description: Further package sources for changelogs, one line each as in C(sources.list).
    type: list
    elements: str
    default: []
  exploited_url:
    description: Address of CISA's catalogue of known exploited vulnerabilities (KEV), in JSON. Empty for none.
    type: str
    default: ""
  likely_url:
    description: Address of FIRST's EPSS scores, in CSV, compressed or not. Empty for none.
    type: str
    default: ""
  accept_rewritten:
    description: Whether a branch may have another history than last time.
    type: bool
    default: false
  max_age:
    description: Days after which a source without anything new is named in RV(doubts); V(0) for never.
    type: float
    default: 7
  timeout:
    description: Seconds that fetching from one source may take.
    type: float
    default: 3600
  wait:
    description: Seconds to wait for another run that reads into the same feed.
    type: float
    default: 0
seealso:
  - module: rebootless.splice.kernel_cves
"""

EXAMPLES = r"""
- name: Read what is new
  rebootless.splice.feed:
    path: /srv/rebootless/feed
    kernels: [6.1.170-3, 6.1.176-1]
  register: feed

- name: Read from a bundle and a file, on a build host without network
  rebootless.splice.feed:
    path: /srv/rebootless/feed
    kernels: [6.1.176-1]
    records_url: /srv/transfer/vulns.bundle
    stable_url: /srv/transfer/linux-stable.bundle
    changelogs:
      "6.1": /srv/transfer/changelog.gz
"""

RETURN = r"""
sources:
  description: What the index was made from, its addresses, commits, versions and digests.
  returned: success
  type: dict
read:
  description: How many records and commits were read in this run.
  returned: success
  type: dict
  sample: {"records": 12, "commits": 245}
changes:
  description:
    - The CVEs that are new (C(added)), rejected or withdrawn (C(taken_back)), published after they had been taken back
      (C(published_again)), or fixed by other commits now (C(changed)), each a list.
  returned: success
  type: dict
  sample: {"added": ["CVE-2026-52928"], "taken_back": [], "published_again": [], "changed": []}
signers:
  description: How many tags of releases were signed by which key; V(not checked) without O(keys).
  returned: success
  type: dict
  sample: {"647F28654894E3BD457199BE38DBBDC86092693E": 12}
doubts:
  description: What in the sources does not agree, or cannot be read. None of it counts as fixed.
  returned: success
  type: list
  elements: dict
  contains:
    code:
      description: What kind it is, an identifier that does not change between releases.
      returned: always
      type: str
      sample: commit_missing
    sentence:
      description: What is wrong.
      returned: always
      type: str
      sample: CVE-2026-52928 is said to be fixed in 6.1.177 by f085971de6d6, which the mirror's branch has not.
    cve:
      description: The CVE.
      returned: when it is about one
      type: str
    source:
      description: The source.
      returned: when it is about one
      type: str
timings:
  description: Seconds that each phase took.
  returned: success
  type: dict
  sample: {"fetch records": 2.1, "read records": 0.8}
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: source_not_reachable
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: https://git.example.com/vulns.git cannot be read.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Check the address, the network and the proxy, or name another mirror or a git bundle.
details:
  description: Facts of the refusal, such as the end of git's output.
  returned: failure
  type: dict
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.request import FeedRequest
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.signatures import demand_keys
from ansible_collections.rebootless.splice.plugins.module_utils._build.feed.update import update_feed
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.progress import teller
from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish


def read(module: AnsibleModule) -> dict:
    options = dict(module.params)
    cache = Cache(options.pop("cache"))
    directory, keys = Path(options.pop("path")), demand_keys(options.pop("keys"))
    return update_feed(FeedRequest(directory, keys=keys, **options), cache, teller(cache, "feed", module.log))


def main() -> None:
    kernel_org = "https://git.kernel.org/pub/scm/linux"
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "kernels": {"type": "list", "elements": "str", "required": True},
            "records_url": {"type": "str", "default": f"{kernel_org}/security/vulns.git"},
            "records_branch": {"type": "str", "default": "master"},
            "stable_url": {"type": "str", "default": f"{kernel_org}/kernel/git/stable/linux.git"},
            "keys": {"type": "path"},
            "changelogs": {"type": "dict", "default": {}},
            "extra_sources": {"type": "list", "elements": "str", "default": []},
            "exploited_url": {"type": "str", "default": ""},
            "likely_url": {"type": "str", "default": ""},
            "accept_rewritten": {"type": "bool", "default": False},
            "max_age": {"type": "float", "default": 7},
            "timeout": {"type": "float", "default": 3600},
            "wait": {"type": "float", "default": 0},
            "cache": {"type": "path", "default": "~/.cache/rebootless"},
        },
    )
    finish(module, lambda: read(module))


if __name__ == "__main__":
    main()
