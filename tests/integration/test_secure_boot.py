# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that UEFI Secure Boot locked down takes updates of the signers whose certificates it trusts, and no others.

It boots as an installed Debian does: firmware, shim, GRUB, kernel, each of which verifies the next one.
"""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import module_signature
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import parse_package
from ansible_collections.rebootless.splice.tests.support.builds import SIOCATMARK
from ansible_collections.rebootless.splice.tests.support.host import Host
from ansible_collections.rebootless.splice.tests.support.observe import probe, text_digest, traces
from ansible_collections.rebootless.splice.tests.support.places import KMOD
from ansible_collections.rebootless.splice.tests.support.signers import (
    MadeSigner,
    Token,
    make_expired_signer,
    make_signer,
    openssl,
    product_signer,
    resigned,
)

RELEASE = "6.1.0-50-cloud-amd64"
NAME = "cve-2026-52928"
PACKAGE = f"/root/{NAME}.rbl.tar.gz"
MODULES = ("update.ko", "rebootless.ko")


@pytest.fixture(scope="module")
def signers(tmp_path_factory) -> dict[str, MadeSigner]:
    """By what they are to the machine: ``owner`` and ``expired`` are enrolled (MOK), ``firmware`` is in ``db``."""
    directory = tmp_path_factory.mktemp("signers")
    made = {name: make_signer(directory, name) for name in ("owner", "firmware", "stranger")}
    return {**made, "expired": make_expired_signer(directory, "expired")}


def sign(signer: MadeSigner) -> tuple[tuple[str, str], ...]:
    return ("certificate", str(signer.certificate)), ("key", str(signer.key))


@pytest.fixture
def locked(booted, signers) -> Host:
    """A machine with Secure Boot on, and certificates where owners of machines put them."""
    # Without the kernel's check of the timer, which panics where the emulator has little of the processor.
    options = {"lab_kernel_arguments": ["no_timer_check"], "lab_timeout": 600}
    enrolled = [signers[name].pem for name in ("owner", "expired")]
    host = booted(
        RELEASE,
        lab_firmware="shim",
        lab_certificates=[signers["firmware"].pem],
        lab_owner_certificates=enrolled,
        **options,
    )
    host.run("mount -t efivarfs efivarfs /sys/firmware/efi/efivars 2>/dev/null || true")
    return host


def refused(host: Host, code: str, content: bytes) -> dict:
    """Each way of applying refuses, before anything is tried."""
    host.write(PACKAGE, content)
    host.run("dmesg --clear")
    results = host.tasks(
        {"module": "update", "package": PACKAGE, "check": True}, {"module": "update", "package": PACKAGE}
    )
    for result in results:
        assert result["failed"], result
        assert result["code"] == code, result
        assert result["next_step"]
    said = host.out("dmesg")
    assert "rebootless" not in said, said
    assert "unsigned module" not in said and "rejected" not in said, said
    assert traces(host) == ""
    return results[0]["details"]


def loads(host: Host, image: bytes) -> str:
    """What the kernel itself says to the helper module with some signature; it is gone afterwards."""
    host.write("/root/rebootless.ko", image)
    done = host.run("insmod /root/rebootless.ko && rmmod rebootless", check=False)
    return "" if done.returncode == 0 else done.stderr.decode()


def test_signed_updates_on_a_locked_host(builds, locked, signers):
    built = builds.update(RELEASE, NAME, SIOCATMARK, sign=sign(signers["owner"]))
    kernel = locked.module("kernel_info")["kernel"]
    assert (kernel["release"], kernel["secure_boot"], kernel["lockdown"]) == (RELEASE, "on", "integrity")
    assert kernel["signatures_enforced"], "by the policy for Secure Boot of the kernel's IMA"
    assert "EFI stub: UEFI Secure Boot is enabled." in locked.console()
    whose = {name: product_signer(signers[name]).facts() for name in signers}
    trusted = {row["key_id"]: row["keyring"] for row in kernel["module_keys"]}
    assert {name: trusted.get(facts["key_id"]) for name, facts in whose.items()} == {
        "owner": ".machine",
        "expired": ".machine",
        "firmware": ".platform",
        "stranger": None,
    }
    what_the_kernel_takes(locked, signers, module_signature.split(built.file("rebootless.ko"))[0])
    assert probe(locked) == "vulnerable"
    before = text_digest(locked)
    what_is_refused(locked, signers, built.content)

    locked.write(PACKAGE, built.content)
    package = {"package": PACKAGE, "digest": built.digest}
    checked, applied = locked.tasks(
        {"module": "rollout_host", "step": "preflight", "plan": "ab" * 32, "name": NAME, **package},
        {"module": "update", **package},
    )
    assert (checked["state"], checked["signer"]) == ("matched", whose["owner"]), checked
    assert applied["changed"], applied
    assert applied["signer"] == built.result["signer"] == whose["owner"]
    assert probe(locked) == "fixed"
    assert "unsigned_module" not in locked.module("kernel_info")["kernel"]["taint"]["flags"]
    gone = locked.tasks(
        {"module": "update", "name": NAME, "state": "reversed"}, {"module": "update", "name": NAME, "state": "absent"}
    )
    assert not any(result["failed"] for result in gone), gone
    assert probe(locked) == "vulnerable"
    assert traces(locked) == ""
    assert text_digest(locked) == before
    comes_back_at_boot(locked)


def what_the_kernel_takes(host: Host, signers: dict[str, MadeSigner], helper: bytes) -> None:
    """What docs/secure-boot.md says that a stock kernel of Debian accepts, asked of the kernel itself."""
    for name in ("owner", "firmware", "expired"):
        assert loads(host, product_signer(signers[name]).sign(helper)) == "", name
    assert loads(host, product_signer(signers["owner"], "sha512").sign(helper)) == ""
    signed = {name: product_signer(signers[name]).sign(helper) for name in ("owner", "stranger")}
    for image in (helper, signed["stranger"], tampered(signed["owner"])):
        assert "Key was rejected by service" in loads(host, image)


def what_is_refused(host: Host, signers: dict[str, MadeSigner], content: bytes) -> None:
    refused(host, "unsigned_module", resigned(content, None))
    details = refused(host, "signer_not_trusted", resigned(content, signers["stranger"]))
    assert details["signer"]["subject"] == "CN=Test stranger,O=Fleet"
    # The manifest names a trusted signer, and the module has another one.
    stranger = parse_package("package", resigned(content, signers["stranger"])).files["update.ko"]
    refused(host, "signer_differs", resigned(content, signers["owner"], update=stranger))
    # What was changed after it was signed only the kernel can find.
    signed = parse_package("package", resigned(content, signers["owner"])).files["update.ko"]
    host.write(PACKAGE, resigned(content, signers["owner"], update=tampered(signed)))
    result = host.module("update", package=PACKAGE)
    assert result["failed"] and result["code"] == "module_key_rejected", result
    assert not host.module("update", name=NAME, state="absent")["failed"]
    assert traces(host) == ""


def tampered(image: bytes) -> bytes:
    """With one bit changed in what is signed."""
    changed = bytearray(image)
    changed[len(image) // 2] ^= 1
    return bytes(changed)


def comes_back_at_boot(host: Host) -> None:
    """An update that is armed is loaded again by a kernel that locked itself down before anything else ran."""
    results = host.tasks(
        {"module": "persist", "settle": 900, "deadline": 3000},
        {"module": "update", "package": PACKAGE, "confirm": True},
        {"module": "persist", "state": "armed", "name": NAME},
    )
    assert not any(result["failed"] for result in results), results
    host.run("sync")
    host.disconnect()
    host.restart(timeout=600)
    host.wait_until(lambda: probe(host) == "fixed", timeout=300)
    assert host.module("kernel_info")["kernel"]["lockdown"] == "integrity"


def test_signatures_are_those_of_the_kernels_own_program(builds, controller, signers, tmp_path):
    """Modules are what scripts/sign-file makes of them, and the helper of a package is that of helper_build."""
    enrolled = signers["owner"]
    built = builds.update(RELEASE, NAME, SIOCATMARK, sign=sign(enrolled))
    sign_file = pathlib.Path(builds.tree(RELEASE)["headers"], "scripts", "sign-file")
    for name in MODULES:
        signed = built.file(name)
        image, message = module_signature.split(signed)
        assert message
        (tmp_path / name).write_bytes(image)
        subprocess.run([sign_file, "sha256", enrolled.key, enrolled.certificate, tmp_path / name], check=True)
        assert (tmp_path / name).read_bytes() == signed
    unsigned = builds.update(RELEASE, NAME, SIOCATMARK)
    assert module_signature.split(built.file("rebootless.ko"))[0] == unsigned.file("rebootless.ko")
    assert built.result["build_digest"] != unsigned.result["build_digest"], "the certificate names the build"
    options = {"tree": builds.tree(RELEASE)["path"], "kmod": str(KMOD), "cache": str(builds.cache)}
    mine, strangers = ({**options, "sign": dict(sign(signers[name]))} for name in ("owner", "stranger"))
    helper, foreseen, other, again = controller.tasks(
        "localhost",
        [
            {"module": "helper_build", **mine},
            {"module": "helper_build", "check": True, **strangers},
            {"module": "helper_build", **strangers},
            {"module": "helper_build", **strangers},
        ],
    )
    assert not helper["changed"], helper
    assert pathlib.Path(helper["path"]).read_bytes() == built.file("rebootless.ko")
    assert helper["signer"] == built.result["signer"]
    assert foreseen["changed"] and "path" not in foreseen, "another key is another build"
    assert other["changed"] and not again["changed"] and other["path"] == again["path"] != helper["path"]
    assert other["build_digest"] == foreseen["build_digest"] != helper["build_digest"]
    # What is in the cache is found without the key, which may be in a token that is out.
    away = {**mine, "sign": {"certificate": str(enrolled.certificate), "command": ["/nowhere/sign"]}}
    assert not controller.module("localhost", "helper_build", **away)["changed"]


def test_a_key_in_a_token_and_secrets_nowhere(builds, controller, signers, tmp_path, monkeypatch):
    """Neither a playbook's output with all its details nor what the build host keeps has a passphrase or PIN in it."""
    enrolled = signers["owner"]
    token = Token(tmp_path, enrolled.key)
    monkeypatch.setenv("SOFTHSM2_CONF", str(token.configuration))
    locked = tmp_path / "locked.key"
    openssl("pkey", "-in", enrolled.key, "-aes256", "-passout", "pass:c0rrect h0rse", "-out", locked)
    certificate = {"certificate": str(enrolled.certificate)}
    in_token = {**certificate, "pkcs11": token.uri, "pkcs11_library": token.library}
    options = {"tree": builds.tree(RELEASE)["path"], "kmod": str(KMOD), "cache": str(tmp_path / "cache")}
    tasks = [
        {**in_token, "pin": token.pin},
        {**in_token, "pin": "111222", "hash": "sha512"},
        {**in_token, "pkcs11": f"{token.uri}?pin-value=333444"},
        {**certificate, "key": str(locked), "passphrase": "c0rrect h0rse", "hash": "sha384"},
        {**certificate, "key": str(locked), "passphrase": "wr0ng h0rse", "hash": "sha512"},
    ]
    play = [{"rebootless.splice.helper_build": {**options, "sign": row}, "ignore_errors": True} for row in tasks]
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": play}]))
    run = controller.playbook(str(tmp_path / "play.yml"), "-vvv")
    codes = [task.result.get("code") for task in run.tasks]
    assert codes == [None, "signing_failed", "bad_pkcs11_uri", None, "signing_key_unusable"], run.output
    assert {task.result["signer"]["key_id"] for task in (run.tasks[0], run.tasks[3])} == {
        builds.update(RELEASE, NAME, SIOCATMARK, sign=sign(enrolled)).result["signer"]["key_id"]
    }
    kept = [path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    for secret in (token.pin, "111222", "333444", "c0rrect h0rse", "wr0ng h0rse"):
        assert secret not in run.output
        assert secret not in str([task.result for task in run.tasks])
        assert not any(secret.encode() in content for content in kept)
