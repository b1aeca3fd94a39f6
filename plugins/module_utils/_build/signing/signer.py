# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs kernel modules, and believes no signature before it has verified it."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from pathlib import Path

from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.certificate import Certificate
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.keys import Key
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.programs import openssl
from ansible_collections.rebootless.splice.plugins.module_utils._common import module_signature
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

HASHES = ("sha256", "sha384", "sha512")
_PROBE = b"rebootless.splice: is this key there, and the certificate's?\n"
# Lines of openssl's description of a PKCS#7 message that kernels take for a module.
_SHAPE = (
    ("one signer", re.compile(r"(?s)^(?!.*\n +signedAttrs:.*\n +signedAttrs:).*\n +signedAttrs:")),
    ("no signed attributes", re.compile(r"\n +signedAttrs:\s*\n +<ABSENT>")),
    ("the signature alone, without the signed file", re.compile(r"\n +eContent: <ABSENT>")),
    ("data of the type pkcs7-data", re.compile(r"\n +eContentType: pkcs7-data ")),
)


@dataclasses.dataclass(frozen=True)
class Signer:
    """A certificate, its key, and the hash algorithm (one of ``HASHES``) of the signatures."""

    certificate: Certificate
    key: Key
    digest: str = "sha256"

    @property
    def identity(self) -> tuple[str, ...]:
        """What of the signer names a build: not the key, and not where it is kept."""
        return ("signer", self.certificate.fingerprint, self.digest)

    def facts(self) -> dict[str, str]:
        """Who signs, as packages and results say it."""
        return {**self.certificate.facts(), "hash": self.digest}

    def check(self) -> None:
        """Signs a few bytes, so that a missing key is found before minutes are spent on a build.

        Raises ``RebootlessError`` as ``sign`` does.
        """
        self._signature(_PROBE)

    def sign(self, image: bytes) -> bytes:
        """The module file ``image`` with its signature behind it; all that was there before stays as it is.

        Raises ``RebootlessError``: what the key raises, and ``signature_invalid`` if what it returned is no signature
        of ``image`` by the certificate, or none that kernels take.
        """
        return module_signature.append(image, self._signature(image))

    def _signature(self, content: bytes) -> bytes:
        with tempfile.TemporaryDirectory(prefix="rebootless-sign-") as name:
            file, message = Path(name, "module"), Path(name, "signature")
            file.write_bytes(content)
            signature = self.key.sign(str(file), self.certificate, self.digest)
            file.write_bytes(content)  # a command could have written to it
            message.write_bytes(signature)
            self._verify(str(file), str(message))
        return signature

    def _verify(self, file: str, message: str) -> None:
        shown = openssl("cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", message)
        text = shown.output.decode("utf-8", "replace")
        if shown.status:
            raise self._invalid("it is no PKCS#7 message in DER", shown.errors)
        for wanted, pattern in _SHAPE:
            if not pattern.search(text):
                raise self._invalid(f"kernels want {wanted}")
        if set(re.findall(r"\n +digestAlgorithm: *\n +algorithm: (\w+) ", text)) != {self.digest}:
            raise self._invalid(f"its hash algorithm is not {self.digest}")
        # Only the certificate that was given counts, whichever the message brings; its own issuer is no matter here.
        who = ("-certfile", self.certificate.path, "-nointern", "-noverify")
        words = ("-binary", "-inform", "DER", "-in", message, "-content", file, "-out", "/dev/null")
        verified = openssl("cms", "-verify", *words, *who)
        if verified.status:
            raise self._invalid("it does not verify with the certificate", verified.errors)

    def _invalid(self, why: str, output: str = "") -> RebootlessError:
        return RebootlessError(
            "signature_invalid",
            f"What came back is no signature of a module by {self.certificate.subject}: {why}.",
            "Look whether the command signs with the key of this certificate, without signed attributes and with the "
            "hash algorithm that REBOOTLESS_HASH names (openssl cms -sign -binary -noattr -nocerts -outform DER).",
            fingerprint=self.certificate.fingerprint,
            output=output.splitlines()[-5:],
        )
