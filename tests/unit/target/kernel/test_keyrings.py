# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys a kernel verifies modules by; tests/integration asks a kernel with Secure Boot."""

from __future__ import annotations

import ctypes
import os
import uuid

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._target.arch.table import running
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, keyrings

FLEET, DEBIAN = "36b692bb139848f14b9a478d0065177c71d45ff0", "6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1"
# As Debian's 6.1.0-50 has them.
PROC_KEYS = f"""\
0175ca4d I------     1 perm 1f030000     0     0 asymmetri Fleet: module signing: {FLEET}: X509.rsa 71d45ff0 []
0d1fb7a2 I------     1 perm 1f0b0000     0     0 keyring   .secondary_trusted_keys: 1
12a45f9e I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 2
17c0ba07 I--Q---     4 perm 1f3f0000     0 65534 keyring   _uid.0: empty
1b4c8a37 I------     1 perm 1f010000     0     0 asymmetri Debian Secure Boot CA: {DEBIAN}: X509.rsa bb419ea1 []
2f8a9d61 I------     1 perm 0f0b0000     0     0 keyring   .platform: 1
30c7a6a8 I--Q---     2   5d 3f010000  1000  1000 user      a: b: 1
"""
NAMES = {0x0D1FB7A2: [0x12A45F9E], 0x12A45F9E: [0x1B4C8A37, 0x99], 0x2F8A9D61: [0x0175CA4D]}


@pytest.fixture
def listed(tmp_path, monkeypatch):
    (tmp_path / "keys").write_text(PROC_KEYS)
    monkeypatch.setattr(keyrings, "PROC_KEYS", str(tmp_path / "keys"))


def test_keys_by_keyring(listed, monkeypatch):
    monkeypatch.setattr(keyrings, "_members", NAMES.get)
    assert keyrings.trusted_keys() == [
        {
            "keyring": ".builtin_trusted_keys",
            "name": "Debian Secure Boot CA",
            "key_id": DEBIAN,
        },
        {
            "keyring": ".platform",
            "name": "Fleet: module signing",
            "key_id": FLEET,
        },
    ]


def test_a_kernel_that_does_not_tell(listed, tmp_path, monkeypatch):
    monkeypatch.setattr(keyrings, "_members", lambda serial: None)
    assert keyrings.trusted_keys() is None, "not: nothing is trusted"
    monkeypatch.setattr(keyrings, "PROC_KEYS", str(tmp_path / "none"))
    assert keyrings.trusted_keys() is None


def test_a_keyring_is_read_whole():
    """A keyring of this process, which any kernel gives it."""
    number = running().keyctl - 2  # add_key(2)
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long

    def add(kind: bytes, name: str, payload: bytes, keyring: int) -> int:
        serial = call(
            ctypes.c_long(number), kind, name.encode(), payload or None, ctypes.c_size_t(len(payload)),
            ctypes.c_long(keyring),
        )  # fmt: skip
        if serial < 0:
            pytest.skip(f"this kernel gives no keys: {os.strerror(ctypes.get_errno())}")
        return int(serial)

    ring = add(b"keyring", f"test-{uuid.uuid4()}", b"", -2)  # KEY_SPEC_PROCESS_KEYRING
    assert keyrings._members(ring) == []
    keys = [add(b"user", f"test-{row}", b"x", ring) for row in range(40)]
    assert sorted(keyrings._members(ring) or []) == sorted(keys)
    assert keyrings._members(0x7FFFFFF0) is None


def test_secure_boot_is_what_the_firmware_says(tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "FIRMWARE", str(tmp_path / "efi"))
    monkeypatch.setattr(facts, "SECURE_BOOT", str(tmp_path / "variable"))
    assert facts.secure_boot() == "off", "no UEFI"
    (tmp_path / "efi").mkdir()
    assert facts.secure_boot() == "unknown", "its variables are not mounted"
    for value, said in ((1, "on"), (0, "off")):
        (tmp_path / "variable").write_bytes(bytes([6, 0, 0, 0, value]))
        assert facts.secure_boot() == said
