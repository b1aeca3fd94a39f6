# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of a UEFI firmware that boots with Secure Boot: who may sign what it starts, and modules of its kernel.

They are written into the empty store that OVMF brings, as a firmware leaves them in its flash.  Sources: UEFI 2.10, 8.2
and 32.4.1 (EFI_SIGNATURE_LIST); MokVars.txt of shim; EDK II, MdeModulePkg/Include/Guid/VariableFormat.h and
MdePkg/Include/Pi/PiFirmwareVolume.h.
"""

from __future__ import annotations

import struct
import uuid
from typing import Sequence

_VOLUME_HEADER_LENGTH = struct.Struct("<40x4s4xH")  # EFI_FIRMWARE_VOLUME_HEADER: _Signature, HeaderLength
_STORE = struct.Struct("<16sIBB6x")  # VARIABLE_STORE_HEADER: Signature, Size, Format, State
_VARIABLE = struct.Struct("<HBxIQ16sIII16s")  # AUTHENTICATED_VARIABLE_HEADER
_TIME = struct.Struct("<HBBBBBxIhBx")  # EFI_TIME
_SIGNATURE_LIST = struct.Struct("<16sIII16s")  # with one signature in it, whose owner is the last field
_AUTHENTICATED_STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
_GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
_SECURITY_DATABASE = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
_SHIM = uuid.UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
_SECURE_BOOT_ENABLE = uuid.UUID("f0a30bc7-af08-4556-99c4-001009c93a44")
_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
# Of each certificate: this lab; it means nothing to firmware.
_OWNER = uuid.UUID("5b8f3a52-0c3d-4a0e-9d53-3c2b1f6f0c11")
_START, _ADDED = 0x55AA, 0x3F
_KEPT = 0x03  # EFI_VARIABLE_NON_VOLATILE | BOOTSERVICE_ACCESS
_KEYS = 0x27  # the same, and RUNTIME_ACCESS | TIME_BASED_AUTHENTICATED_WRITE_ACCESS
_WRITTEN = _TIME.pack(2020, 1, 1, 0, 0, 0, 0, 0, 0)  # the same variables are the same bytes; later ones may be newer


def secure_boot_store(empty: bytes, platform: bytes, allowed: Sequence[bytes], enrolled: Sequence[bytes] = ()) -> bytes:
    """The store ``empty`` with Secure Boot on.

    ``platform`` is the certificate (DER) of the owner, ``allowed`` are those that may sign (``db``), ``enrolled`` those
    of the machine's owner, as shim's MokManager leaves them (``MokList``).  Raises ``ValueError`` if ``empty`` is no
    empty store, or too small.
    """
    signature, length = _VOLUME_HEADER_LENGTH.unpack_from(empty)
    kind, size, _format, _state = _STORE.unpack_from(empty, length)
    begin, end = length + _STORE.size, length + size
    if signature != b"_FVH" or kind != _AUTHENTICATED_STORE.bytes_le or empty[begin:end].strip(b"\xff"):
        raise ValueError("no empty store of authenticated variables")
    owner = _signature_list([platform])
    variables = [
        ("PK", _GLOBAL, _KEYS, owner),
        ("KEK", _GLOBAL, _KEYS, owner),
        ("db", _SECURITY_DATABASE, _KEYS, _signature_list(allowed)),
        ("SecureBootEnable", _SECURE_BOOT_ENABLE, _KEPT, b"\x01"),
    ]
    if enrolled:
        variables.append(("MokList", _SHIM, _KEPT, _signature_list(enrolled)))
    content = b"".join(_variable(*row) for row in variables)
    if len(content) > end - begin:
        raise ValueError("more certificates than the store has room for")
    return empty[:begin] + content + empty[begin + len(content) :]


def _variable(name: str, vendor: uuid.UUID, attributes: int, data: bytes) -> bytes:
    label = f"{name}\0".encode("utf-16-le")
    time = _WRITTEN if attributes == _KEYS else bytes(_TIME.size)
    header = _VARIABLE.pack(_START, _ADDED, attributes, 0, time, 0, len(label), len(data), vendor.bytes_le)
    row = header + label + data
    return row + b"\xff" * (-len(row) % 4)


def _signature_list(certificates: Sequence[bytes]) -> bytes:
    """A list for each certificate: their sizes differ, and a list has signatures of one size."""
    rows = []
    for certificate in certificates:
        entry = len(_OWNER.bytes_le) + len(certificate)
        whole = _SIGNATURE_LIST.size + len(certificate)
        rows.append(_SIGNATURE_LIST.pack(_X509.bytes_le, whole, 0, entry, _OWNER.bytes_le) + certificate)
    return b"".join(rows)
