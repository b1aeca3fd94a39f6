# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several modules of the build host have."""

from __future__ import annotations


class ModuleDocFragment:
    # Where the build host keeps what it makes.
    DOCUMENTATION = r"""
options:
  cache:
    description: Directory of the build host's cache.
    type: path
    default: ~/.cache/rebootless
"""

    # What is built against: a kernel tree, and the helper module's sources.
    INPUTS = r"""
options:
  tree:
    description: The kernel tree's directory, as M(rebootless.splice.kernel_tree) returned it.
    type: path
    required: true
  kmod:
    description:
      - Path on the build host of a directory with the sources of the helper module, or of a zip archive of one.
      - Without it, the controller sends those of the collection, as it is installed there.
    type: path
"""

    # Who goes first.
    URGENT = r"""
options:
  urgent:
    description:
      - Whether this task gets a lock of O(cache), or of a kernel tree in it, before all tasks that are not urgent.
      - What others have begun is not interrupted. A task that holds what an urgent one waits for becomes urgent, too.
    type: bool
    default: false
"""

    # Who signs the kernel modules.
    SIGN = r"""
options:
  sign:
    description:
      - Who signs the kernel modules, for hosts whose kernels load signed modules only (Secure Boot). Without it they
        are not signed.
      - The certificate has to be enrolled on the hosts; C(docs/secure-boot.md) says how.
      - The key is one of O(sign.key), O(sign.command) and O(sign.pkcs11). Each signature is verified with the
        certificate before it is used. Nothing asks for a passphrase or PIN; one that is missing is a failure.
      - Needs the program C(openssl), 3.0 or later, on the build host.
    type: dict
    suboptions:
      certificate:
        description:
          - Path on the build host of the signer's certificate (X.509, PEM or DER), with a key of RSA with at least 2048
            bits.
          - Can be left out if it is in the file O(sign.key).
        type: path
      key:
        description: Path on the build host of the private key (PEM).
        type: path
      passphrase:
        description: The passphrase of O(sign.key).
        type: str
      command:
        description:
          - Words of a command that signs the file whose path is given to it as one more word, and prints the detached
            signature (PKCS#7, DER, without signed attributes).
          - It is told the hash algorithm in the environment variable C(REBOOTLESS_HASH), and has nothing to read from.
          - It must not have secrets in its words; these can be read by others on the build host.
        type: list
        elements: str
      pkcs11:
        description:
          - PKCS#11 URI of a private key that stays in its token, such as an HSM.
          - Needs openssl's engine C(pkcs11) on the build host (Debian has it in C(libengine-pkcs11-openssl)).
        type: str
      pkcs11_library:
        description: Path of the token's PKCS#11 library. Without it, the tokens that p11-kit knows are looked at.
        type: path
      pin:
        description: The PIN of the token.
        type: str
      hash:
        description:
          - The hash algorithm.
          - Kernels that have V(sha384) and V(sha512) as a module, as Debian's do, load that when they verify.
        type: str
        default: sha256
        choices: [sha256, sha384, sha512]
      timeout:
        description: Seconds after which a key or command that has not signed counts as failed.
        type: int
        default: 60
"""

    # How much of the build host is used.
    JOBS = r"""
options:
  jobs:
    description: How many compilers run at the same time. Without it, one for each processor.
    type: int
"""
