# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of keys: a file, one that stays in a token (PKCS#11), and one that a command of the operator uses.

Each has ``sign(file, certificate, digest)``: the detached PKCS#7 message (DER) over the content of ``file`` by
``certificate`` with the hash algorithm ``digest``.  It is without signed attributes and certificates, since kernels
refuse the former in modules (crypto/asymmetric_keys/pkcs7_verify.c), as scripts/sign-file makes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from typing import Iterator, Protocol, Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.certificate import (
    Certificate,
    public_key,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.programs import Ran, openssl, run, secret
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

_TAIL = 8  # lines of openssl's messages that go into the error
_FORM = ("-sign", "-binary", "-noattr", "-nocerts", "-nosmimecap", "-outform", "DER")
# Attributes of a PKCS#11 URI (RFC 7512) that are, or name, a PIN.
_PIN = re.compile(r"[?&;]pin-(value|source)=", re.IGNORECASE)


class Key(Protocol):
    """What signs."""

    def sign(self, file: str, certificate: Certificate, digest: str) -> bytes:
        """The PKCS#7 message; raises ``RebootlessError``."""


@dataclasses.dataclass(frozen=True)
class FileKey:
    """A private key in a file (PEM), which the certificate may be in as well."""

    path: str
    passphrase: str = dataclasses.field(repr=False, default="")
    timeout: float = 60.0

    def sign(self, file: str, certificate: Certificate, digest: str) -> bytes:
        """Raises ``RebootlessError``: ``signing_key_missing``, ``signing_key_unusable``, ``signing_key_mismatch``."""
        self._check(certificate)
        with secret(self.passphrase, line=True) as passphrase:
            words = (*_FORM, "-md", digest, "-signer", certificate.path, "-inkey", self.path, "-in", file)
            return _message(
                openssl("cms", *words, "-passin", f"fd:{passphrase}", secrets=[passphrase], timeout=self.timeout)
            )

    def _check(self, certificate: Certificate) -> None:
        try:
            with open(self.path, "rb"):
                pass
        except OSError as error:
            raise RebootlessError(
                "signing_key_missing",
                f"The private key {self.path} cannot be read: {error.strerror}.",
                "Give the path of a key on the build host that the build's user can read.",
                path=self.path,
            ) from error
        with secret(self.passphrase, line=True) as passphrase:
            words = ("-in", self.path, "-pubout", "-passin", f"fd:{passphrase}")
            public = openssl("pkey", *words, secrets=[passphrase], timeout=self.timeout)
        if public.status:
            raise RebootlessError(
                "signing_key_unusable",
                f"The private key {self.path} cannot be used: it is none, or its passphrase is another one.",
                "Give a private key in PEM, and the passphrase if it has one; it is not asked for.",
                path=self.path,
                output=public.errors.splitlines()[-_TAIL:],
            )
        if public.output != public_key(certificate.path):
            raise _mismatch()


@dataclasses.dataclass(frozen=True)
class TokenKey:
    """A private key that never leaves its token, by its PKCS#11 URI (RFC 7512); openssl's engine pkcs11 uses it."""

    uri: str
    pin: str = dataclasses.field(repr=False, default="")
    library: str | None = None  # path of the token's PKCS#11 library; None: the system's (p11-kit)
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if not self.uri.startswith("pkcs11:") or _PIN.search(self.uri):
            raise RebootlessError(
                "bad_pkcs11_uri",
                "The PKCS#11 URI does not begin with pkcs11:, or has a PIN in it, which every user of the build host "
                "could read on openssl's command line.",
                "Give the URI as 'pkcs11:token=NAME;object=NAME;type=private', and the PIN as an option of its own.",
            )

    def sign(self, file: str, certificate: Certificate, digest: str) -> bytes:
        """Raises ``RebootlessError``: ``signing_failed``, ``signing_key_mismatch``."""
        with contextlib.ExitStack() as held:
            uri, secrets = self.uri, []
            if self.pin:
                secrets.append(held.enter_context(secret(self.pin)))
                uri += f"{'&' if '?' in uri else '?'}pin-source=file:/dev/fd/{secrets[0]}"
            if self.library:
                held.enter_context(_environment("PKCS11_MODULE_PATH", self.library))
            words = (*_FORM, "-md", digest, "-signer", certificate.path, "-in", file)
            engine = ("-engine", "pkcs11", "-keyform", "engine", "-inkey", uri)
            return _message(openssl("cms", *words, *engine, secrets=secrets, timeout=self.timeout))


@dataclasses.dataclass(frozen=True)
class CommandKey:
    """A command that signs the file whose path is its last word, and prints the PKCS#7 message (DER)."""

    command: Sequence[str]
    timeout: float = 60.0

    def sign(self, file: str, certificate: Certificate, digest: str) -> bytes:
        """What the command prints; the caller checks it.  Raises ``RebootlessError``: ``signing_command_failed``."""
        with _environment("REBOOTLESS_HASH", digest):
            ran = run([*self.command, file], (), self.timeout)
        if ran.status or not ran.output:
            program = os.path.basename(self.command[0])
            how = f"ended with status {ran.status}" if ran.status else "printed nothing"
            raise RebootlessError(
                "signing_command_failed",
                f"The signing command {program} {how}.",
                # What it prints is no message of ours, and may hold what it authenticates with.
                "Run it by hand on the build host, with a file; what it printed is not shown, since it may be secret.",
                program=program,
                status=ran.status,
            )
        return ran.output


def _message(ran: Ran) -> bytes:
    if ran.status == 0 and ran.output:
        return ran.output
    if "key values mismatch" in ran.errors:
        raise _mismatch()
    raise RebootlessError(
        "signing_failed",
        "openssl could not sign with this key.",
        "See its messages: the token or the key may not be there, the PIN may be another one, or openssl's engine "
        "pkcs11 is not installed (docs/secure-boot.md).",
        status=ran.status,
        output=ran.errors.splitlines()[-_TAIL:],
    )


def _mismatch() -> RebootlessError:
    return RebootlessError(
        "signing_key_mismatch",
        "The private key is not the one of the signer's certificate.",
        "Give the key and the certificate of the same signer.",
    )


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Has programs that are run in the block see a variable."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
