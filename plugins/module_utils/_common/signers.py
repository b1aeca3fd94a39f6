# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose signatures a package's modules have: what its manifest says, held against the signatures themselves.

A signature names its signer in one of two ways (RFC 5652, 5.3, ``SignerIdentifier``): by the serial number and issuer
of the certificate, as scripts/sign-file does, or by its key identifier.  That the signature is right is for the kernel
to verify; here is told whose it would be, so that a plan, a report or a refusal names the right one.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import module_signature
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import Package

MODULES = ("rebootless.ko", "update.ko")
SEQUENCE, SET, INTEGER, OBJECT, TAGGED, KEY_IDENTIFIER = 0x30, 0x31, 0x02, 0x06, 0xA0, 0x80  # tags of DER (X.690)


def signer_of(message: bytes) -> tuple[str, str]:
    """Who signed a PKCS#7 message (DER) with one signer: ``serial`` or ``key_id``, and its value, hex.

    Raises ``ValueError`` if it is no such message.
    """
    content = _children(_one(message, SEQUENCE))
    if [tag for tag, _value in content] != [OBJECT, TAGGED]:
        raise ValueError("no ContentInfo")
    signed = _children(_one(content[1][1], SEQUENCE))
    if len(signed) < 4 or signed[0][0] != INTEGER or signed[-1][0] != SET:
        raise ValueError("no SignedData")
    fields = _children(_one(signed[-1][1], SEQUENCE))
    if len(fields) < 2:
        raise ValueError("no SignerInfo")
    tag, identifier = fields[1]
    if tag == KEY_IDENTIFIER:
        return "key_id", identifier.hex()
    issuer_and_serial = _children(identifier)
    if tag != SEQUENCE or [row[0] for row in issuer_and_serial] != [SEQUENCE, INTEGER]:
        raise ValueError("no SignerIdentifier")
    return "serial", issuer_and_serial[1][1].hex()


def check(package: Package) -> None:
    """That each module has the signer that the manifest names; a package that names none is not looked at.

    Raises ``RebootlessError``: ``signer_differs``.
    """
    signer = package.manifest.get("signer") or {}
    for member in MODULES if signer else ():
        found = _found(package.files[member])
        if not _same(signer, found):
            raise RebootlessError(
                "signer_differs",
                f"{member} of the package {package.path} is {_said(found)}, and its manifest names {signer['subject']} "
                f"as the signer (key_id {signer['key_id']}).",
                "Do not use the package; build it again, and find out who put other modules into it.",
                path=package.path,
                member=member,
                signer=signer,
                found={found[0]: found[1]} if found else {},
            )


def described(signer: t.Mapping[str, t.Any]) -> str:
    """A signer in a line for people: ``{}`` is none."""
    if not signer:
        return "not signed"
    return f"signed by {signer['subject']} (SHA-256 {str(signer['fingerprint'])[:16]}, {signer['hash']})"


def _found(image: bytes) -> tuple[str, str] | None:
    try:
        _image, message = module_signature.split(image)
        return signer_of(message) if message else None
    except ValueError:
        return None


def _said(found: tuple[str, str] | None) -> str:
    return f"signed by the holder of {found[0]} {found[1]}" if found else "not signed, or its signature cannot be read"


def _same(signer: t.Mapping[str, t.Any], found: tuple[str, str] | None) -> bool:
    if found is None:
        return False
    key, value = found
    named = str(signer.get(key, "")).lower()
    return bool(named) and named.lstrip("0") == value.lstrip("0")  # DER has a zero before a number above 127


def _children(content: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each value in a constructed one."""
    found, at = [], 0
    while at < len(content):
        begin, end = _extent(content, at)
        found.append((content[at], content[begin:end]))
        at = end
    return found


def _one(content: bytes, tag: int) -> bytes:
    """The content of the one value that there is."""
    rows = _children(content)
    if len(rows) != 1 or rows[0][0] != tag:
        raise ValueError(f"not one value with the tag {tag:#x}")
    return rows[0][1]


def _extent(content: bytes, at: int) -> tuple[int, int]:
    """Where the content of the value at ``at`` begins and ends."""
    if len(content) < at + 2 or content[at] & 0x1F == 0x1F:
        raise ValueError("truncated, or a tag of several bytes")
    first, begin = content[at + 1], at + 2
    length = first
    if first & 0x80:
        size = first & 0x7F
        if not 1 <= size <= 4 or len(content) < begin + size:
            raise ValueError("a length without end, or truncated")
        length = int.from_bytes(content[begin : begin + size], "big")
        begin += size
    if len(content) < begin + length:
        raise ValueError("truncated")
    return begin, begin + length
