#!/usr/bin/python
# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: update_build
short_description: Builds an update from source patches for one kernel
version_added: 0.1.0
description:
  - Compiles the sources that the patches change, as they were and as they will be, compares the objects, and makes a
    package of the replacement code and of what proves, on a host, that the running code is the code it was made for.
  - That proof is done at once on the distribution's own kernel, so a wrong tree or compiler is found before any host is
    touched.
  - A change that cannot be made live by exchanging code, such as a changed structure, is refused with its name.
  - Patches that change nothing in this kernel are no error. The result says why in RV(not_applicable), and there is no
    package.
author:
  - The rebootless.splice authors (@rebootless)
extends_documentation_fragment:
  - rebootless.splice.attributes
  - rebootless.splice.attributes.build_host
  - rebootless.splice.build
  - rebootless.splice.build.jobs
  - rebootless.splice.build.inputs
  - rebootless.splice.build.urgent
  - rebootless.splice.build.sign
  - rebootless.splice.attributes.sending
attributes:
  check_mode:
    support: full
    details:
      - Applies the patches to copies of the sources and says which units they touch; nothing is compiled. What has been
        built with the same inputs is returned as it was.
  diff_mode:
    support: full
    details:
      - Shows the functions and data that the update changes, with their sizes.
  idempotent:
    support: full
    details:
      - The same patches, kernel, sources of the collection and signer are the same build, which is found in O(cache).
options:
  name:
    description:
      - Name of the update. Lower-case letters, digits, dots, dashes and underscores, up to 63 of them.
    type: str
    required: true
  version:
    description: Version of the update.
    type: str
    default: "1"
  cves:
    description: The CVEs that the update fixes.
    type: list
    elements: str
    default: []
  patches:
    description:
      - Paths on the build host of the patches, in the order in which they are applied.
      - Unified diffs as git or C(diff -Nup) make them, with one path component to strip. Their context has to fit
        exactly.
      - A change of a header, or of a source that others include, rebuilds every unit of this kernel that includes it
        and comes out otherwise.
      - New and deleted files, and changes of makefiles, are refused by name.
    type: list
    elements: path
    required: true
  ignore_missing:
    description:
      - Paths, as the patches have them without the first component, of files that this kernel's source need not have.
      - A patch that changes any other file which the source does not have is refused as C(file_not_found), since half
        of a fix is none. Files of documentation, of tools and of other architectures are not looked for.
    type: list
    elements: str
    default: []
  custom:
    description:
      - Custom code for what exchanging code cannot bring about. C(docs/custom-code.md) is about writing it.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path on the build host of a C file.
        type: path
        required: true
      source:
        description: The kernel source at whose end it is compiled; one that the patches change.
        type: str
        required: true
  dest:
    description:
      - Directory on the build host into which the package is copied. It is made if it is not there.
      - Without it, the package stays in O(cache).
    type: path
  not_applicable:
    description: What to do if the update changes nothing in this kernel.
    type: str
    default: report
    choices:
      report:
        - Succeed without a package.
      fail:
        - Fail with the code V(not_applicable).
seealso:
  - module: rebootless.splice.kernel_tree
  - module: rebootless.splice.update
"""

EXAMPLES = r"""
- name: Prepare the kernel tree
  rebootless.splice.kernel_tree:
    release: 6.1.0-50-cloud-amd64
  register: tree

- name: Build the update
  rebootless.splice.update_build:
    name: cve-2026-52928
    version: "1.0"
    cves: [CVE-2026-52928]
    patches: [/srv/patches/af_unix-reject-siocatmark.patch]
    tree: "{{ tree.path }}"
  register: build

- name: Show what changes
  ansible.builtin.debug:
    msg: "{{ build.functions if build.applicable else build.not_applicable }}"

- name: Build a fix of which this kernel does not need the part for a file that came later
  rebootless.splice.update_build:
    name: cve-2026-52928
    patches: [/srv/patches/af_unix-reject-siocatmark-and-vma.patch]
    ignore_missing: [mm/vma.c]
    tree: "{{ tree.path }}"

- name: Build a fix that cannot wait for the builds that are on their way
  rebootless.splice.update_build:
    name: cve-2026-52928
    patches: [/srv/patches/af_unix-reject-siocatmark.patch]
    tree: "{{ tree.path }}"
    urgent: true

- name: Build the update for hosts with Secure Boot
  rebootless.splice.update_build:
    name: cve-2026-52928
    patches: [/srv/patches/af_unix-reject-siocatmark.patch]
    tree: "{{ tree.path }}"
    sign:
      certificate: /etc/rebootless/signer.pem
      key: /etc/rebootless/signer.key
      passphrase: "{{ vault_signer_passphrase }}"

- name: See which units a patch touches, without building anything
  rebootless.splice.update_build:
    name: cve-2026-52928
    patches: [/srv/patches/af_unix-reject-siocatmark.patch]
    tree: "{{ tree.path }}"
  check_mode: true
"""

RETURN = r"""
name:
  description: The update's name.
  returned: success
  type: str
  sample: cve-2026-52928
version:
  description: The update's version.
  returned: success
  type: str
  sample: "1.0"
release:
  description: The kernel's release.
  returned: success
  type: str
  sample: 6.1.0-50-cloud-amd64
build_id:
  description: The kernel's build ID, which names the only kernel that the package fits.
  returned: success
  type: str
  sample: bb603a9147d3efe4744bf83c83eee397c591cc20
applicable:
  description: Whether the update changes anything in this kernel.
  returned: success
  type: bool
  sample: true
package:
  description: The package's path on the build host.
  returned: when it is built
  type: str
  sample: /srv/updates/cve-2026-52928-1.0-bb603a9147d3.rbl.tar.gz
digest:
  description: SHA-256 of the package file, for the option O(rebootless.splice.update#module:digest).
  returned: when it is built
  type: str
  sample: d8ce081d1f7468d23b866e246021dee56f73ef4931deb9347f9de698a143b3a1
size:
  description: Bytes of the package file.
  returned: when it is built
  type: int
  sample: 91668
build_digest:
  description: What names the build by all its inputs, as the package and the helper module show it.
  returned: success
  type: str
  sample: 9bd1a61c5f1fbfd758bf36b990ca1bff42f808a03b192915d390929de928d375
signer:
  description: Who signed the modules.
  returned: when it is built, with O(sign)
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
units:
  description: The optimization units that change; in check mode, those that the patches touch.
  returned: success
  type: list
  elements: str
  sample: [net/unix/af_unix.o]
functions:
  description: The functions that change, are new, or are gone.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: unix_ioctl, unit: net/unix/af_unix.o, object: vmlinux, change: changed, pre_size: 468, post_size: 492}
  contains:
    name:
      description: The function's name.
      returned: always
      type: str
    unit:
      description: The optimization unit that it belongs to.
      returned: always
      type: str
    object:
      description: V(vmlinux), or the name of the loadable module that it belongs to.
      returned: always
      type: str
    change:
      description: V(changed), V(new) or V(removed).
      returned: always
      type: str
    pre_size:
      description: Bytes before the patch, V(0) if it is new.
      returned: always
      type: int
    post_size:
      description: Bytes after the patch, V(0) if it is gone.
      returned: always
      type: int
data:
  description: The data that are new, gone or exchanged.
  returned: success
  type: list
  elements: dict
  sample: []
  contains:
    name:
      description: The name.
      returned: always
      type: str
    unit:
      description: The optimization unit that it belongs to.
      returned: always
      type: str
    object:
      description: V(vmlinux), or the name of the loadable module that it belongs to.
      returned: always
      type: str
    change:
      description: V(new), V(exchanged) in place, V(changed) or V(removed).
      returned: always
      type: str
    size:
      description: Bytes.
      returned: always
      type: int
custom:
  description: The custom code of the update.
  returned: success
  type: list
  elements: dict
  sample: []
  contains:
    name:
      description: Name of the file.
      returned: always
      type: str
    source:
      description: The kernel source that it belongs to.
      returned: always
      type: str
    sha256:
      description: SHA-256 of the file.
      returned: always
      type: str
    handles:
      description: The findings that it takes care of, each with the finding's code and the thing that it is about.
      returned: when its unit changes
      type: list
      elements: list
    hooks:
      description: The stages at which it is called, such as V(pre_apply).
      returned: when its unit changes
      type: list
      elements: str
remarks:
  description:
    - What an operator should know of a fix that is made live, such as objects that exist already and stay as they are.
    - Each is a warning of the task as well.
  returned: success
  type: list
  elements: dict
  sample: []
  contains:
    code:
      description:
        - What kind of remark, an identifier that does not change between releases.
        - C(init_has_run) means that a changed function is init code of a loadable module. A host that has loaded the
          module refuses the update; on others the function is replaced whenever the module is loaded.
        - C(existing_objects) means that a changed function runs only when something is set up, such as a device when it
          is bound, and does nothing for what is set up already; or that it sets a member of objects which it makes from
          now on.
        - C(state_missing) means that new code asks for a flag, a value, a lock or the like that only new code sets or
          initialises in objects. Those that exist do not have it, and are treated as before.
        - C(meaning_changed) means that other values are stored in a member than before, and that it is read in another
          way. Objects that exist hold what the old code stored.
        - C(stays_loaded) means that the update's module cannot be unloaded once it was applied, since objects may hold
          the address of a new function, new data, or a string or constant of it.
        - C(ignored_missing) means that O(ignore_missing) had a file left out, whose part of the fix is not live.
        - C(signer_expired) and C(signer_not_yet_valid) mean that the signer's certificate is not valid now.
      returned: always
      type: str
    sentence:
      description: The remark.
      returned: always
      type: str
    details:
      description: The function and the unit that it is about, among others.
      returned: always
      type: dict
not_applicable:
  description: Patched files that have no part in this kernel, and why.
  returned: success
  type: list
  elements: dict
  sample:
    - file: Documentation/networking/af_unix.rst
      code: documentation
      reason: Documentation/networking/af_unix.rst is documentation.
  contains:
    file:
      description: The file's path in the kernel source.
      returned: always
      type: str
    code:
      description:
        - Why, an identifier that does not change between releases. C(not_built), C(other_architecture),
          C(documentation), C(not_in_kernel), C(boot_only), C(already_applied), C(same_object) or C(no_effect).
      returned: always
      type: str
    reason:
      description: Why, in a sentence.
      returned: always
      type: str
asked:
  description:
    - How many of the units that include a patched file were left out, and why. Those that are left were compiled,
      before and after.
  returned: success
  type: dict
  sample:
    not_named: 4175
    same_source: 4
    differs: 1
  contains:
    not_named:
      description: Nothing in their sources mentions what changes, in whichever way.
      returned: if there are any
      type: int
    not_read:
      description: The compiler does not read the patched file for them, under this configuration.
      returned: if there are any
      type: int
    same_source:
      description: Their preprocessed source is the same as before.
      returned: if there are any
      type: int
    unused:
      description: Only declarations and macros differ that they do not use.
      returned: if there are any
      type: int
    same_code:
      description: The compiler alone makes an object that says the same.
      returned: if there are any
      type: int
    differs:
      description: What was left to be compiled.
      returned: if there are any
      type: int
    no_command:
      description: What was compiled without having been asked, since only Kbuild knows how it is compiled.
      returned: if there are any
      type: int
timings:
  description: Seconds that each phase took.
  returned: success
  type: dict
  sample: {"apply patches": 0.2, "compile pre": 3.1, "compile post": 1.6, "offline match": 0.6}
code:
  description: Why the task was refused, an identifier that does not change between releases.
  returned: failure
  type: str
  sample: patch_does_not_apply
sentence:
  description: What is wrong.
  returned: failure
  type: str
  sample: "Hunk 1 of fs/exec.c in the patch fix.patch does not apply: line 81 should be 'int answ;' and is ''."
next_step:
  description: What to do about it.
  returned: failure
  type: str
  sample: Take the version of the fix that was made for this kernel; context is never guessed.
details:
  description:
    - Facts of the refusal, such as C(findings) with C(code), C(sentence) and C(details) of each, C(errors) with the
      compiler's messages, or C(hunk), C(line), C(expected) and C(found).
  returned: failure
  type: dict
"""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rebootless.splice.plugins.module_utils._build.artifacts.helper import keep_sources
from ansible_collections.rebootless.splice.plugins.module_utils._build.compilation.patches import read_patch
from ansible_collections.rebootless.splice.plugins.module_utils._build.findings.custom_code import read_custom
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.cache import Cache
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.commands import Phases
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.progress import teller
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.waiting import working
from ansible_collections.rebootless.splice.plugins.module_utils._build.kernel.tree import read_tree
from ansible_collections.rebootless.splice.plugins.module_utils._build.outcome import describe
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.options import SIGN, signer_of, tell
from ansible_collections.rebootless.splice.plugins.module_utils._build.update import Builder, UpdateSource
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.module_result import finish


def source_of(options: dict) -> UpdateSource:
    """What is to be built, from the module's options."""
    patches = tuple(read_patch(path) for path in options["patches"])
    custom = tuple(read_custom(code["path"], code["source"]) for code in options["custom"])
    return UpdateSource(
        options["name"], options["version"], tuple(options["cves"]), patches, custom, tuple(options["ignore_missing"])
    )


def build(module: AnsibleModule) -> dict:
    options = module.params
    cache = Cache(options["cache"])
    tree = read_tree(options["tree"])
    update, signer = source_of(options), signer_of(options["sign"])
    subject = f"update_build {update.name} {update.version} {tree.release}"
    phases = Phases(teller(cache, subject, module.log))
    with working(subject, phases.say, options["urgent"]):
        kmod = keep_sources(options["kmod"], cache)
        builder = Builder(tree, kmod, cache, options["jobs"] or os.cpu_count() or 1, phases, signer)
        done = builder.foresee(update) if module.check_mode else builder.build(update)
    if not done.applicable and options["not_applicable"] == "fail":
        raise RebootlessError(
            "not_applicable",
            "The update changes nothing in this kernel: "
            + " ".join(row["reason"] for row in done.facts["not_applicable"]),
            "Leave this kernel out of the rollout.",
            **done.facts,
        )
    for row in done.facts["remarks"]:
        module.warn(f"{update.name} on {tree.release}: {row['sentence']}")
    result = {
        "changed": done.built,
        "applicable": done.applicable,
        "name": update.name,
        "version": update.version,
        "release": tree.release,
        "build_id": tree.build_id,
        "build_digest": done.digest,
        **done.facts,
        "timings": phases.timings,
    }
    if done.package is not None:
        package, copied = place(done.package, options["dest"], module.check_mode)
        result.update(package=str(package), changed=done.built or copied)
    if signer is not None and done.package is not None:
        result["remarks"] = [*result["remarks"], *tell(module, signer)]
    if module._diff:
        result["diff"] = {"before": "", "after": describe(done)}
    return result


def place(package: Path, dest: str | None, check_mode: bool) -> tuple[Path, bool]:
    """Copies the package into the directory ``dest``; returns where it is, and whether that changed anything."""
    if dest is None:
        return package, False
    target = Path(dest, package.name)
    if target.is_file() and disk.sha256_of_file(target) == disk.sha256_of_file(package):
        return target, False
    if not check_mode:
        disk.replace(target, package.read_bytes())
    return target, True


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "default": "1"},
            "cves": {"type": "list", "elements": "str", "default": []},
            "patches": {"type": "list", "elements": "path", "required": True},
            "ignore_missing": {"type": "list", "elements": "str", "default": []},
            "custom": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "source": {"type": "str", "required": True},
                },
            },
            "tree": {"type": "path", "required": True},
            "kmod": {"type": "path"},
            "dest": {"type": "path"},
            "not_applicable": {"type": "str", "default": "report", "choices": ["report", "fail"]},
            "jobs": {"type": "int"},
            "urgent": {"type": "bool", "default": False},
            "cache": {"type": "path", "default": "~/.cache/rebootless"},
            "sign": SIGN,
        },
        supports_check_mode=True,
    )
    finish(module, lambda: build(module))


if __name__ == "__main__":
    main()
