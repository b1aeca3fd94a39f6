# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's firmware with Secure Boot: it starts the stock kernel since that is signed, and the kernel locks itself.

The kernel takes the certificates of ``db`` into its keyring ``.platform``; those that the machine's owner has enrolled
come to it from shim, for its keyring ``.machine``.  It loads only modules that were signed with a key of one of them or
of its distribution.
"""

from __future__ import annotations

import os
import re
import ssl
import struct
import tempfile
from pathlib import Path
from typing import Sequence

from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Emulator
from ansible_collections.rebootless.splice.plugins.module_utils._build.host.administration import run
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.uefi_variables import secure_boot_store
from ansible_collections.rebootless.splice.plugins.module_utils._common import disk
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

FIRMWARE = "/usr/share"  # below it a distribution has the firmware of QEMU's machines (Debian: ovmf)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")
_PE64 = 0x20B
_SECURITY = 112 + 4 * 8  # of the optional header: where the certificate table is, and its length (PE format, 5.9)
_TABLE = struct.Struct("<IHH")  # WIN_CERTIFICATE: dwLength, wRevision, wCertificateType
_PKCS7 = 2  # WIN_CERT_TYPE_PKCS_SIGNED_DATA


def firmware_arguments(emulator: Emulator, variables: str) -> list[str]:
    """QEMU's arguments for the firmware, which keeps its variables in the file ``variables``."""
    code = os.path.join(FIRMWARE, emulator.firmware)
    drives = [f"unit=0,readonly=on,file={code}", "unit=1,file=" + variables.replace(",", ",,")]
    return [word for drive in drives for word in ("-drive", f"if=pflash,format=raw,{drive}")]


def write_variables(
    path: str, emulator: Emulator, program: str, certificates: Sequence[str], enrolled: Sequence[str] = ()
) -> None:
    """Writes the firmware's variables: Secure Boot is on, the signer of ``program`` and ``certificates`` are trusted.

    ``program`` is what the firmware starts, shim or the kernel; ``enrolled`` are the certificates that shim trusts, as
    if the owner had enrolled them at the console.  Both are in PEM.

    Raises ``RebootlessError``: ``no_firmware``, ``kernel_not_signed``, ``bad_certificate``.
    """
    for file in (emulator.firmware, emulator.firmware_variables):
        if not os.path.exists(os.path.join(FIRMWARE, file)):
            raise RebootlessError(
                "no_firmware",
                f"There is no UEFI firmware for machines of the lab: {os.path.join(FIRMWARE, file)} is missing.",
                "Install the package ovmf on the build host.",
                path=os.path.join(FIRMWARE, file),
            )
    allowed = [*program_signers(program), *(der for text in certificates for der in _encoded(text))]
    empty = Path(FIRMWARE, emulator.firmware_variables).read_bytes()
    owners = [der for text in enrolled for der in _encoded(text)]
    disk.replace(path, secure_boot_store(empty, _owner(), allowed, owners))


def program_signers(path: str) -> list[bytes]:
    """The certificates (DER) that come with the signature of a kernel's or boot loader's PE file.

    Raises ``RebootlessError``: ``kernel_not_signed``.
    """
    signature = _signature(Path(path).read_bytes())
    if not signature:
        raise RebootlessError(
            "kernel_not_signed",
            f"{path} is not signed, so a firmware with Secure Boot does not start it.",
            "Take a kernel from a package that is signed, not from one whose name ends in -unsigned.",
            path=path,
        )
    with tempfile.NamedTemporaryFile(prefix="rebootless-pkcs7-") as file:
        file.write(signature)
        file.flush()
        return _encoded(run(["openssl", "pkcs7", "-inform", "DER", "-in", file.name, "-print_certs"]))


def _signature(image: bytes) -> bytes:
    """The PKCS#7 message of a PE file; b"" if it has none."""
    try:
        optional = struct.unpack_from("<I", image, 0x3C)[0] + 24  # behind "PE\0\0" and the COFF header
        if struct.unpack_from("<H", image, optional)[0] != _PE64:
            return b""
        offset, size = struct.unpack_from("<II", image, optional + _SECURITY)
        length, _revision, kind = _TABLE.unpack_from(image, offset)
    except struct.error:
        return b""
    return image[offset + _TABLE.size : offset + length] if size and kind == _PKCS7 else b""


def _encoded(text: str) -> list[bytes]:
    """The certificates of a text (PEM), as DER."""
    found = _CERTIFICATE.findall(text)
    if not found:
        raise RebootlessError(
            "bad_certificate", "What should be a certificate in PEM is none.", "Give the text of the certificate."
        )
    return [ssl.PEM_cert_to_DER_cert(row) for row in found]


def _owner() -> bytes:
    """The certificate of the machine's owner.  Its key is thrown away: nothing more is to be enrolled."""
    with tempfile.TemporaryDirectory(prefix="rebootless-owner-") as directory:
        key, certificate = os.path.join(directory, "key"), os.path.join(directory, "certificate")
        kind = ["-newkey", "rsa:2048", "-nodes", "-keyout", key, "-days", "36500", "-subj", "/CN=lab/"]
        run(["openssl", "req", "-x509", *kind, "-out", certificate])
        (der,) = _encoded(Path(certificate).read_text(encoding="ascii"))
    return der
