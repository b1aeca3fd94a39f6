# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates for tests, made by openssl as docs/secure-boot.md has it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess


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
    days = () if "-not_after" in more else ("-days", "30")
    openssl(
        *("req", "-x509", "-newkey", kind, "-nodes", "-keyout", key, "-out", certificate, *days),
        *("-subj", f"/O=Fleet/CN=Test {name}/", "-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", "extendedKeyUsage=codeSigning", *more),
    )
    return MadeSigner(key, certificate)


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
