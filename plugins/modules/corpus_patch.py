#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: corpus_patch
short_description: Derives the patch of a fix from two versions of a kernel's source package
version_added: 0.1.0
description:
  - A fix that Debian has shipped in a newer kernel is a few hunks of the difference between two of its source packages.
    This module takes them out, as a patch for M(rebootless.splice.update_build).
  - The packages are downloaded by apt and kept in O(cache).
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.build_host
  - rebootless.splice.build
requirements:
  - apt, dpkg, diffutils, tar and xz.
attributes:
  check_mode:
    support: full
    details:
      - Downloads nothing. While the sources are not in O(cache), a patch that is there is taken to be right.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  package:
    description: Name of the source package.
    type: str
    required: true
  before:
    description: Its version without the fix.
    type: str
    required: true
  after:
    description: Its version with the fix.
    type: str
    required: true
  hunks:
    description:
      - For each file of the kernel source the ascending numbers of the fix's hunks, counted from 1, as C(diff -Nup)
        makes them between the two versions.
    type: dict
    required: true
  dest:
    description: Path of the patch. Its directory has to be there.
    type: path
    required: true
seealso:
  - module: rebootless.splice.update_build
"""

EXAMPLES = r"""
- name: Take the fix of CVE-2026-52928 from a newer kernel
  rebootless.splice.corpus_patch:
    package: linux-source-6.1
    before: 6.1.176-1
    after: 6.1.187-1
    hunks:
      net/unix/af_unix.c: [6]
    dest: /srv/patches/cve-2026-52928.patch
"""

RETURN = r"""
path:
  description: The patch's path.
  returned: success
  type: str
  sample: /srv/patches/cve-2026-52928.patch
sha256:
  description: SHA-256 of the patch.
  returned: when the patch is known
  type: str
  sample: 6a7f1f0d7c3b2ab4b1a4e51f6d8e2c3b4a5968778695a4b3c2d1e0f0918273a4
patch:
  description: The patch.
  returned: when the patch is known
  type: str
files:
  description: The files that it changes.
  returned: success
  type: list
  elements: str
  sample: [net/unix/af_unix.c]
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: no_such_hunk
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: The hunks of net/unix/af_unix.c have to be ascending numbers from 1 to 12.
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Count the hunks that 'diff -Nup' prints for this file between the two versions.
details:
  description: Facts of the refusal.
  returned: failure
  type: dict
"""

import hashlib
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._build.distribution.debian import corpus
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish


def derive(module: AnsibleModule) -> dict[str, Any]:
    options = module.params
    cache = Cache(options["cache"])
    fix = corpus.Fix(options["package"], options["before"], options["after"], options["hunks"])
    path = Path(options["dest"])
    result: dict[str, Any] = {"path": str(path), "files": sorted(fix.hunks)}
    present = path.read_bytes() if path.is_file() else None
    if module.check_mode and not corpus.is_at_hand(cache, fix):
        return {**result, "changed": present is None}
    patch = corpus.derive(cache, fix)
    changed = patch != present
    if changed and not module.check_mode:
        disk.replace(path, patch)
    text = patch.decode(errors="replace")
    result.update(changed=changed, patch=text, sha256=hashlib.sha256(patch).hexdigest())
    if module._diff:
        result["diff"] = {"before": (present or b"").decode(errors="replace"), "after": text}
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "package": {"type": "str", "required": True},
            "before": {"type": "str", "required": True},
            "after": {"type": "str", "required": True},
            "hunks": {"type": "dict", "required": True},
            "dest": {"type": "path", "required": True},
            "cache": {"type": "path", "default": "~/.cache/rebootless"},
        },
        supports_check_mode=True,
    )
    finish(module, lambda: derive(module))


if __name__ == "__main__":
    main()
