# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``sign`` of the modules that build, and the signer that it describes."""

from __future__ import annotations

import datetime
from typing import Any, Mapping

from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.certificate import read_certificate
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.keys import (
    CommandKey,
    FileKey,
    Key,
    TokenKey,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.signer import HASHES, Signer

# plugins/doc_fragments/build.py has the same for people.  A PKCS#11 URI can hold a PIN, which is refused, but not
# before the task's arguments are recorded.
SIGN: dict[str, Any] = {
    "type": "dict",
    "options": {
        "certificate": {"type": "path"},
        "key": {"type": "path", "no_log": False},
        "passphrase": {"type": "str", "no_log": True},
        "command": {"type": "list", "elements": "str"},
        "pkcs11": {"type": "str", "no_log": True},
        "pkcs11_library": {"type": "path"},
        "pin": {"type": "str", "no_log": True},
        "hash": {"type": "str", "default": "sha256", "choices": list(HASHES)},
        "timeout": {"type": "int", "default": 60},
    },
    "mutually_exclusive": [("key", "command", "pkcs11")],
    "required_one_of": [("key", "command", "pkcs11")],
    "required_by": {
        "command": "certificate",
        "pkcs11": "certificate",
        "passphrase": "key",
        "pin": "pkcs11",
        "pkcs11_library": "pkcs11",
    },
}


def signer_of(options: Mapping[str, Any] | None) -> Signer | None:
    """The signer that a module's option ``sign`` describes; None if it is not given.

    Raises ``RebootlessError``: what ``read_certificate`` raises, ``bad_pkcs11_uri``.
    """
    if options is None:
        return None
    timeout = float(options["timeout"])
    key: Key
    if options["command"]:
        key = CommandKey(tuple(options["command"]), timeout)
    elif options["pkcs11"]:
        key = TokenKey(options["pkcs11"], options["pin"] or "", options["pkcs11_library"], timeout)
    else:
        key = FileKey(options["key"], options["passphrase"] or "", timeout)
    return Signer(read_certificate(options["certificate"] or options["key"]), key, options["hash"])


def tell(module: Any, signer: Signer) -> list[dict[str, Any]]:
    """Warns of what is odd about the signer; returns the remarks."""
    remarks = signer.certificate.remarks(datetime.datetime.now(datetime.timezone.utc))
    for row in remarks:
        module.warn(row["sentence"])
    return remarks
