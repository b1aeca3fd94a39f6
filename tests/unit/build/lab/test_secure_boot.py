# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of firmware with Secure Boot, and who signed a kernel; tests/integration boots from them."""

from __future__ import annotations

import ssl
import struct
import uuid

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.table import architecture
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab import secure_boot
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.boot_loader import (
    BootLoader,
    write_partition,
)
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.machine import Machine, MachineSpec
from ansible_collections.rebootless.splice.plugins.module_utils._build.lab.uefi_variables import secure_boot_store
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.signers import make_signer, openssl

AUTHENTICATED = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
SIZE = 0x2000


def empty_store(size: int = SIZE) -> bytes:
    """As OVMF brings it: the header of a volume, that of a store, and flash that was erased."""
    volume = bytes(40) + b"_FVH" + bytes(4) + struct.pack("<H", 0x48) + bytes(0x48 - 50)
    store = AUTHENTICATED + struct.pack("<IBB6x", size, 0x5A, 0xFE)
    return volume + store + b"\xff" * (2 * size - len(store))


def variables(store: bytes) -> dict[str, tuple[int, bytes]]:
    """Attributes and contents by name, as a firmware reads them."""
    found, at = {}, 0x48 + 28
    while store[at : at + 2] == b"\xaa\x55":
        state, attributes = store[at + 2], struct.unpack_from("<I", store, at + 4)[0]
        name_size, data_size = struct.unpack_from("<II", store, at + 36)
        assert state == 0x3F
        name = store[at + 60 : at + 60 + name_size].decode("utf-16-le").rstrip("\0")
        found[name] = (attributes, store[at + 60 + name_size : at + 60 + name_size + data_size])
        at += -(-(60 + name_size + data_size) // 4) * 4
    return found


def certificates(database: bytes) -> list[bytes]:
    found = []
    while database:
        assert database[:16] == X509
        whole, header, size = struct.unpack_from("<III", database, 16)
        assert (header, size) == (0, whole - 28)
        found.append(database[28 + 16 : whole])
        database = database[whole:]
    return found


def test_a_store_has_who_may_sign():
    store = secure_boot_store(empty_store(), b"platform", [b"first", b"second certificate"])
    assert len(store) == len(empty_store())
    found = variables(store)
    assert certificates(found["db"][1]) == [b"first", b"second certificate"]
    assert certificates(found["PK"][1]) == certificates(found["KEK"][1]) == [b"platform"]
    assert found["SecureBootEnable"] == (0x03, b"\x01")
    assert {found[name][0] for name in ("PK", "KEK", "db")} == {0x27}
    assert secure_boot_store(empty_store(), b"platform", [b"first", b"second certificate"]) == store


def test_a_store_has_whom_the_owner_has_enrolled():
    assert "MokList" not in variables(secure_boot_store(empty_store(), b"platform", [b"first"]))
    found = variables(secure_boot_store(empty_store(), b"platform", [b"first"], [b"owner's", b"another"]))
    attributes, content = found["MokList"]
    assert certificates(content) == [b"owner's", b"another"]
    assert attributes == 0x03, "shim takes none that a running system could write"
    assert certificates(found["db"][1]) == [b"first"]


@pytest.mark.parametrize(
    "store", [bytes(len(empty_store())), secure_boot_store(empty_store(), b"p", []), empty_store(size=200)]
)
def test_what_is_no_empty_store_is_left_alone(store):
    with pytest.raises(ValueError):
        secure_boot_store(store, b"platform", [b"certificate"])


def pe_file(signature: bytes, kind: int = 2) -> bytes:
    """The parts of a kernel's PE file that say where its signature is."""
    image = bytearray(0x200)
    image[0x3C:0x40] = struct.pack("<I", 0x40)
    image[0x58:0x5A] = struct.pack("<H", 0x20B)
    if signature:
        image[0x58 + 144 : 0x58 + 152] = struct.pack("<II", 0x200, 8 + len(signature))
    return bytes(image) + struct.pack("<IHH", 8 + len(signature), 0x200, kind) + signature


def test_the_signers_of_a_program(tmp_path):
    made = make_signer(tmp_path)
    (tmp_path / "text").write_text("kernel")
    words = ("-signer", made.certificate, "-inkey", made.key, "-in", tmp_path / "text", "-outform", "DER")
    signature = openssl("cms", "-sign", "-binary", *words).stdout
    (tmp_path / "vmlinuz").write_bytes(pe_file(signature))
    assert secure_boot.program_signers(str(tmp_path / "vmlinuz")) == [ssl.PEM_cert_to_DER_cert(made.pem)]


@pytest.mark.parametrize("image", [b"", bytes(0x200), pe_file(b""), pe_file(b"signature", kind=1)])
def test_a_kernel_that_is_not_signed(tmp_path, image):
    (tmp_path / "vmlinuz").write_bytes(image)
    with pytest.raises(RebootlessError, check=lambda error: error.code == "kernel_not_signed"):
        secure_boot.program_signers(str(tmp_path / "vmlinuz"))


def test_a_machine_starts_from_the_firmware(tmp_path):
    spec = MachineSpec("6.1.0-50-cloud-amd64", "vmlinuz", "initramfs", "modules", "root", "key")
    command = Machine(str(tmp_path)).command(spec, "uuid", 22)
    assert not [word for word in command if "pflash" in word]
    spec = MachineSpec("6.1.0-50-cloud-amd64", "vmlinuz", "initramfs", "modules", "root", "key", firmware="secure_boot")
    code, variables = (word for word in Machine(str(tmp_path)).command(spec, "uuid", 22) if "pflash" in word)
    assert "readonly=on" in code and f"file={tmp_path}/firmware.fd" in variables


def test_a_machine_boots_through_shim(tmp_path):
    """Nothing of it comes from QEMU past the firmware, and its disks keep their names."""
    loader = {"shim": str(tmp_path / "shimx64.efi.signed"), "grub": str(tmp_path / "grubx64.efi.signed")}
    spec = MachineSpec(
        *("6.1.0-50-cloud-amd64", "vmlinuz", "initramfs", "modules", "root", "key"), firmware="shim", boot_loader=loader
    )
    command = Machine(str(tmp_path)).command(spec, "uuid", 22)
    assert "-kernel" not in command and "-initrd" not in command
    disks = [word for word in command if word.startswith("virtio-blk-pci")]
    assert ["drive=root" in disks[0], "drive=modules" in disks[1], "bootindex=0" in disks[2]] == [True] * 3
    assert f"file.dir={tmp_path}/system-partition" in " ".join(command)


def test_a_system_partition_has_what_firmware_and_grub_look_for(tmp_path):
    for name in ("shimx64.efi.signed", "grubx64.efi.signed", "vmlinuz", "initrd"):
        (tmp_path / name).write_text(name)
    loader = BootLoader(str(tmp_path / "shimx64.efi.signed"), str(tmp_path / "grubx64.efi.signed"))
    files = (str(tmp_path / "vmlinuz"), str(tmp_path / "initrd"))
    write_partition(str(tmp_path / "esp"), loader, *files, ["quiet"])
    write_partition(str(tmp_path / "esp"), loader, *files, ["root=/dev/vda", "x=it's $1; y"])
    esp = tmp_path / "esp"
    found = {str(path.relative_to(esp)): path.read_text() for path in esp.rglob("*") if path.is_file()}
    assert found.pop("EFI/debian/grub.cfg").splitlines() == [
        "linux /vmlinuz 'root=/dev/vda' 'x=it'\\''s $1; y'",
        "initrd /initrd",
        "boot",
    ]
    assert found == {
        "EFI/BOOT/BOOTX64.EFI": "shimx64.efi.signed",
        "EFI/BOOT/grubx64.efi": "grubx64.efi.signed",
        "vmlinuz": "vmlinuz",
        "initrd": "initrd",
    }


def test_missing_firmware_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(secure_boot, "FIRMWARE", str(tmp_path))
    with pytest.raises(RebootlessError, check=lambda error: error.code == "no_firmware"):
        secure_boot.write_variables(str(tmp_path / "fd"), architecture("x86_64").emulator, "vmlinuz", [])
