# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates for tests, made by openssl as docs/secure-boot.md has it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess

from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.certificate import read_certificate
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.keys import FileKey
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.signer import Signer
from ansible_collections.rebootless.splice.plugins.module_utils._common import module_signature
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import parse_package
from ansible_collections.rebootless.splice.plugins.module_utils._common.signers import MODULES
from ansible_collections.rebootless.splice.tests.support.package import build

CA = """
[ca]
default_ca = own
[own]
database = {directory}/index
new_certs_dir = {directory}
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = signer
[any]
organizationName = optional
commonName = supplied
[signer]
basicConstraints = critical,CA:FALSE
subjectKeyIdentifier = hash
extendedKeyUsage = codeSigning
"""


@dataclasses.dataclass(frozen=True)
class MadeSigner:
    """Files of a signer."""

    key: pathlib.Path
    certificate: pathlib.Path

    @property
    def pem(self) -> str:
        return self.certificate.read_text()


def openssl(*words: str | pathlib.Path, **options) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, **options)


def make_signer(directory: pathlib.Path, name: str = "signer", *more: str, kind: str = "rsa:2048") -> MadeSigner:
    """A key without a passphrase and a certificate; ``more`` are words of ``openssl req``."""
    key, certificate = directory / f"{name}.key", directory / f"{name}.pem"
    openssl(
        *("req", "-x509", "-newkey", kind, "-nodes", "-keyout", key, "-out", certificate, "-days", "30"),
        *("-subj", f"/O=Fleet/CN=Test {name}/", "-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", "extendedKeyUsage=codeSigning", *more),
    )
    return MadeSigner(key, certificate)


def make_expired_signer(directory: pathlib.Path, name: str) -> MadeSigner:
    """One whose certificate was good in the year 2020 only."""
    key, certificate, request = (directory / f"{name}.{suffix}" for suffix in ("key", "pem", "csr"))
    (directory / "index").touch()
    (directory / "ca.cnf").write_text(CA.format(directory=directory))
    subject = ("-subj", f"/O=Fleet/CN=Test {name}/")
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, *subject)
    dates = ("-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
    files = ("-config", directory / "ca.cnf", "-keyfile", key, "-in", request, "-out", certificate)
    openssl("ca", "-batch", "-notext", "-selfsign", *dates, *files)
    return MadeSigner(key, certificate)


def product_signer(made: MadeSigner, digest: str = "sha256") -> Signer:
    """The collection's signer with this key and certificate."""
    return Signer(read_certificate(str(made.certificate)), FileKey(str(made.key)), digest)


def resigned(content: bytes, made: MadeSigner | None, **changed: bytes) -> bytes:
    """A package with other signatures, or none, as if another signer had built it; ``changed`` are files by their name
    without ``.ko``, put in as they are."""
    package = parse_package("package", content)
    manifest = {key: value for key, value in package.manifest.items() if key not in ("signer", "files")}
    files = dict(package.files)
    for member in MODULES:
        image = module_signature.split(files[member])[0]
        files[member] = product_signer(made).sign(image) if made else image
    files.update({f"{name}.ko": image for name, image in changed.items()})
    if made:
        manifest["signer"] = product_signer(made).facts()
    return build(manifest, files)


class Token:
    """A software token (SoftHSM) below a directory, with the key of a signer in it."""

    uri, pin, library = "pkcs11:token=fleet;object=modules;type=private", "987654", "/usr/lib/softhsm/libsofthsm2.so"

    def __init__(self, directory: pathlib.Path, key: pathlib.Path) -> None:
        (directory / "tokens").mkdir()
        self.configuration = directory / "softhsm2.conf"
        self.configuration.write_text(f"directories.tokendir = {directory}/tokens\nlog.level = ERROR\n")
        self._run("--init-token", "--free", "--label", "fleet", "--pin", self.pin, "--so-pin", "123456")
        pkcs8 = directory / "pkcs8.pem"
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", key, "-out", pkcs8)
        slot = ("--token", "fleet", "--pin", self.pin)
        self._run("--import", str(pkcs8), *slot, "--label", "modules", "--id", "01")
        pkcs8.unlink()

    def _run(self, *words: str) -> None:
        environment = {**os.environ, "SOFTHSM2_CONF": str(self.configuration)}
        subprocess.run(["softhsm2-util", *words], check=True, capture_output=True, env=environment)
