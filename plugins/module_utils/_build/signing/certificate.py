# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate of who signs: read by openssl, named as the kernel names it."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import re
from typing import Any

from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.programs import openssl
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

RSA_BITS = 2048  # the least that UEFI and shim take
_FIELD = re.compile(r"(?m)^(subject|issuer|serial|notBefore|notAfter)=(.*)$")
_KEY_IDENTIFIER = re.compile(r"Subject Key Identifier: *\n\s*([0-9A-F:]+)")
_BITS = re.compile(r"Public-Key: \((\d+) bit\)")


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Who signs.

    ``fingerprint`` is the SHA-256 of the certificate (DER), hex.  ``key_id`` is what the kernel shows behind the
    subject in /proc/keys: the subject key identifier, or the serial number where there is none
    (crypto/asymmetric_keys/x509_public_key.c).  ``not_before`` and ``not_after`` are UTC, as ``2026-01-31 12:00:00Z``.
    """

    path: str
    subject: str
    issuer: str
    serial: str
    fingerprint: str
    key_id: str
    not_before: str
    not_after: str

    def facts(self) -> dict[str, str]:
        """What packages and results say of it; nothing of the build host."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "path"}

    def remarks(self, now: datetime.datetime) -> list[dict[str, Any]]:
        """What an operator should know of its validity at ``now``.  Kernels look at no dates of certificates."""
        moment = now.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
        if moment > self.not_after:
            code, sentence = "signer_expired", f"The signer's certificate ({self.subject}) expired at {self.not_after}"
        elif moment < self.not_before:
            code, sentence = (
                "signer_not_yet_valid",
                (f"The signer's certificate ({self.subject}) is valid only from {self.not_before} on"),
            )
        else:
            return []
        details = {"fingerprint": self.fingerprint, "not_before": self.not_before, "not_after": self.not_after}
        return [{"code": code, "sentence": f"{sentence}; kernels take the signature all the same.", "details": details}]


def read_certificate(path: str) -> Certificate:
    """The first certificate of a file (PEM or DER).

    Raises ``RebootlessError``: ``signing_certificate_unusable``, ``signer_key_unsupported``.
    """
    names = ("-nameopt", "RFC2253,utf8,-esc_msb", "-dateopt", "iso_8601")
    shown = openssl("x509", "-in", path, "-noout", "-subject", "-issuer", "-serial", "-dates", *names)
    encoded = openssl("x509", "-in", path, "-outform", "DER")
    if shown.status or encoded.status:
        raise RebootlessError(
            "signing_certificate_unusable",
            f"There is no certificate to be read in {path}.",
            "Give the path on the build host of the signer's certificate (X.509, PEM or DER), readable for this user.",
            path=path,
            output=shown.errors.splitlines()[-5:],
        )
    _check_key(path)
    fields = dict(_FIELD.findall(shown.output.decode("utf-8", "replace")))
    return Certificate(
        path=path,
        subject=fields["subject"],
        issuer=fields["issuer"],
        serial=fields["serial"].lower(),
        fingerprint=hashlib.sha256(encoded.output).hexdigest(),
        key_id=_key_id(path, fields["serial"]),
        not_before=fields["notBefore"],
        not_after=fields["notAfter"],
    )


def public_key(path: str) -> bytes:
    """The public key of a certificate, PEM."""
    return openssl("x509", "-in", path, "-noout", "-pubkey").output


def _key_id(path: str, serial: str) -> str:
    shown = openssl("x509", "-in", path, "-noout", "-ext", "subjectKeyIdentifier").output.decode("ascii", "replace")
    found = _KEY_IDENTIFIER.search(shown)
    if found:
        return found[1].replace(":", "").lower()
    raw = bytes.fromhex(serial)
    return (b"\0" + raw if raw[0] & 0x80 else raw).hex()  # the kernel has it as it is encoded, never negative


def _check_key(path: str) -> None:
    """Refuses keys whose signatures stock kernels do not verify: Debian's have no ECDSA (CONFIG_CRYPTO_ECDSA)."""
    text = openssl("x509", "-in", path, "-noout", "-text").output.decode("utf-8", "replace")
    bits = _BITS.search(text)
    if "Public Key Algorithm: rsaEncryption" not in text or not bits or int(bits[1]) < RSA_BITS:
        kind = re.search(r"Public Key Algorithm: (.*)", text)
        raise RebootlessError(
            "signer_key_unsupported",
            f"The certificate in {path} has a key that modules cannot be signed with: {kind[1] if kind else 'unknown'}"
            f"{f', {bits[1]} bits' if bits else ''}.",
            f"Use a key of RSA with at least {RSA_BITS} bits; others are not verified by all stock kernels.",
            path=path,
        )
