# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys by which a running kernel verifies signatures of modules.

/proc/keys lists all keys, but not which keyring each is in; the keyrings are read with keyctl(2), without its tools.
Sources: Documentation/security/keys/core.rst; asymmetric_key_describe() of crypto/asymmetric_keys/asymmetric_type.c,
after which a key is called "SUBJECT: KEY ID: X509.rsa ..."; mod_verify_sig() of kernel/module/signing.c.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._target.arch.table import ARCHITECTURES

PROC_KEYS = "/proc/keys"
# Built in; what those and root's own additions vouch for; the machine's owner's (MOK); the firmware's (db, MOK).  The
# last one is looked at by kernels of distributions, not by the upstream ones.
KEYRINGS = (".builtin_trusted_keys", ".secondary_trusted_keys", ".machine", ".platform")
KEYCTL_READ = 11
_LINE = re.compile(r"^([0-9a-f]{8}) \S+ +\d+ \S+ [0-9a-f]{8} +-?\d+ +-?\d+ (\S+) +(.*)$")
_KEY = re.compile(r"(.*): ([0-9a-f]+): X509\..*")
_KEYRING = re.compile(r"(\S+): (?:\d+|empty)\b.*")

Row = t.Dict[str, str]


def trusted_keys() -> list[Row] | None:
    """The keys of ``KEYRINGS``: ``keyring``, ``name`` (the subject, as the kernel shortens it) and ``key_id``, hex.

    None if the kernel does not tell: it has no such keyrings, or this process may not look at them.
    """
    keys, keyrings = _listed()
    found: list[Row] = []
    told = False
    for name in KEYRINGS:
        members = _members(keyrings[name]) if name in keyrings else None
        if members is not None:
            told = True
            found += [{"keyring": name, **keys[member]} for member in members if member in keys]
    return found if told else None


def _listed() -> tuple[dict[int, Row], dict[str, int]]:
    """The certificates' keys by serial number, and the serial numbers of keyrings by name."""
    keys: dict[int, Row] = {}
    keyrings: dict[str, int] = {}
    try:
        with open(PROC_KEYS, encoding="utf-8", errors="replace") as stream:
            lines = stream.read().splitlines()
    except OSError:
        return keys, keyrings
    for line in lines:
        row = _LINE.match(line)
        key = row and row[2] == "asymmetri" and _KEY.fullmatch(row[3])
        keyring = row and row[2] == "keyring" and _KEYRING.fullmatch(row[3])
        if row and key:
            keys[int(row[1], 16)] = {"name": key[1], "key_id": key[2]}
        elif row and keyring:
            keyrings.setdefault(keyring[1], int(row[1], 16))
    return keys, keyrings


def _members(serial: int) -> list[int] | None:
    """The serial numbers of what a keyring holds; None if it cannot be read."""
    arch = ARCHITECTURES.get(os.uname().machine)
    if arch is None:
        return None
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    size = 0
    while True:
        buffer = ctypes.create_string_buffer(max(size, 1))
        arguments = (arch.keyctl, KEYCTL_READ, serial)
        length = syscall(*map(ctypes.c_long, arguments), buffer, ctypes.c_size_t(size))
        if length < 0:
            return None
        if length <= size:  # else it has grown, or this was the question how large it is
            return [number for (number,) in struct.iter_unpack("=I", buffer.raw[:length])]
        size = length
