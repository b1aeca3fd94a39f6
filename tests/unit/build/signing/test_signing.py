# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of modules: made with each kind of key, verified, and refused where something does not fit."""

from __future__ import annotations

import datetime
import os
import stat
import time

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.certificate import read_certificate
from ansible_collections.rebootless.splice.plugins.module_utils._build.signing.options import signer_of
from ansible_collections.rebootless.splice.plugins.module_utils._common import module_signature
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.tests.support.signers import Token, make_expired_signer, make_signer, openssl

IMAGE = b"\x7fELF module" + bytes(range(256)) * 40
OPTIONS = {
    **dict.fromkeys(("certificate", "key", "passphrase", "command", "pkcs11", "pkcs11_library", "pin")),
    "hash": "sha256",
    "timeout": 20,
}
CMS = ("openssl", "cms", "-sign", "-binary", "-outform", "DER", "-nosmimecap")
NOW = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("signers")


@pytest.fixture(scope="module")
def made(directory):
    return make_signer(directory)


@pytest.fixture(scope="module")
def other(directory):
    return make_signer(directory, "other")


def signer(**options):
    made = {name: str(v) if isinstance(v, os.PathLike) else v for name, v in options.items()}
    return signer_of({**OPTIONS, **made})


def by_command(made, *words, before=CMS):
    command = [*before, "-signer", str(made.certificate), "-inkey", str(made.key), *words, "-in"]
    return signer(certificate=made.certificate, command=command)


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def refused(code):
    return pytest.raises(RebootlessError, check=lambda error: error.code == code and bool(error.next_step))


def verified(signed, certificate, tmp_path):
    """The module without its signature, which the kernel's way of verifying accepts."""
    image, message = module_signature.split(signed)
    (tmp_path / "image").write_bytes(image)
    (tmp_path / "message").write_bytes(message)
    files = ("-in", tmp_path / "message", "-content", tmp_path / "image", "-out", tmp_path / "out")
    openssl("cms", "-verify", "-binary", "-inform", "DER", *files, "-certfile", certificate, "-noverify", "-nointern")
    return image


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_a_key_file_signs(made, tmp_path, digest):
    key = signer(key=made.key, certificate=made.certificate, hash=digest)
    signed = key.sign(IMAGE)
    assert signed.startswith(IMAGE), "what was proven is what was signed"
    assert verified(signed, made.certificate, tmp_path) == IMAGE
    assert key.facts()["hash"] == digest
    assert key.sign(IMAGE) == signed, "RSA has no chance in it: a build is the same build"


def test_key_and_certificate_in_one_file(made, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text(made.key.read_text() + made.pem)
    assert verified(signer(key=both).sign(IMAGE), made.certificate, tmp_path) == IMAGE


def test_a_command_signs(made, tmp_path):
    words = ["-noattr", "-nocerts", "-md", "sha256"]
    signed = by_command(made, *words).sign(IMAGE)
    assert signed == signer(key=made.key, certificate=made.certificate).sign(IMAGE)


def test_a_signature_by_another_key_identifier(made, tmp_path):
    """Some signing services name the key and not the issuer; kernels know both."""
    signed = by_command(made, "-noattr", "-nocerts", "-keyid").sign(IMAGE)
    assert verified(signed, made.certificate, tmp_path) == IMAGE


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-nocerts"], "no signed attributes"),
        (["-nocerts", "-noattr", "-nodetach"], "without the signed file"),
        (["-nocerts", "-noattr", "-md", "sha512"], "hash algorithm is not sha256"),
    ],
)
def test_a_signature_that_kernels_do_not_take(made, words, why):
    with refused("signature_invalid") as caught:
        by_command(made, *words).sign(IMAGE)
    assert why in caught.value.sentence


def test_two_signers_in_one_signature(made, other):
    second = ["-signer", str(other.certificate), "-inkey", str(other.key)]
    with refused("signature_invalid") as caught:
        by_command(made, "-noattr", "-nocerts", *second).sign(IMAGE)
    assert "one signer" in caught.value.sentence


def test_a_signature_by_somebody_else(made, other):
    """Also where the message brings that one's certificate along."""
    for words in (["-noattr", "-nocerts"], ["-noattr"]):
        command = [*CMS, "-signer", str(other.certificate), "-inkey", str(other.key), *words, "-in"]
        with refused("signature_invalid") as caught:
            signer(certificate=made.certificate, command=command).sign(IMAGE)
        assert "does not verify" in caught.value.sentence


def test_a_signature_of_something_else(made, tmp_path):
    """A command that changes the file before it signs."""
    sign = " ".join([*CMS, "-noattr", "-nocerts", "-signer", str(made.certificate), "-inkey", str(made.key), "-in"])
    command = script(tmp_path / "sign", f'echo more >> "$1"; exec {sign} "$1"')
    with refused("signature_invalid"):
        signer(certificate=made.certificate, command=[str(command)]).sign(IMAGE)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("echo the token is s3cret >&2; exit 3", "signing_command_failed"),
        ("exit 0", "signing_command_failed"),
        ("echo no signature", "signature_invalid"),
    ],
)
def test_a_command_that_does_not_sign(made, tmp_path, text, code):
    with refused(code) as caught:
        signer(certificate=made.certificate, command=[str(script(tmp_path / "sign", text))]).check()
    assert "s3cret" not in str(caught.value.result())


@pytest.mark.parametrize("stream", [1, 2])
def test_a_command_that_prints_without_end_is_ended(made, tmp_path, stream):
    command = script(tmp_path / "sign", f"while :; do echo garbage of s3cret; done >&{stream}")
    before = time.monotonic()
    with refused("signing_output_too_long") as caught:
        signer(certificate=made.certificate, command=[str(command)]).check()
    assert time.monotonic() - before < 20, "before its time is over"
    assert "s3cret" not in str(caught.value.result())


def test_a_command_that_closes_its_output_and_goes_on_is_ended(made, tmp_path):
    command = script(tmp_path / "sign", "exec >&- 2>&-; sleep 600")
    with refused("signing_timeout"):
        signer(certificate=made.certificate, command=[str(command)], timeout=1).check()


def test_a_command_that_is_not_there(made, tmp_path):
    with refused("signing_command_missing"):
        signer(certificate=made.certificate, command=[str(tmp_path / "sign")]).check()


def test_a_command_that_asks_finds_nobody(made, tmp_path):
    command = script(tmp_path / "sign", 'read answer; read tty < /dev/tty; echo "$answer$tty"; exit 5')
    before = time.monotonic()
    with refused("signing_command_failed"):
        signer(certificate=made.certificate, command=[str(command)]).check()
    assert time.monotonic() - before < 10


def test_a_command_that_hangs_is_ended_with_its_children(made, tmp_path):
    command = script(tmp_path / "sign", f"sleep 600 & echo $! > {tmp_path}/child; wait")
    with refused("signing_timeout"):
        signer(certificate=made.certificate, command=[str(command)], timeout=1).check()
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{child}") and not _is_dead(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_dead(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat_file:
            return stat_file.read().rpartition(") ")[2][0] == "Z"
    except OSError:
        return True


def test_a_passphrase(made, tmp_path):
    locked = tmp_path / "locked.key"
    openssl("pkey", "-in", made.key, "-aes256", "-passout", "pass:p4ss phrase", "-out", locked)
    options = {"key": locked, "certificate": made.certificate}
    key = signer(**options, passphrase="p4ss phrase")
    assert verified(key.sign(IMAGE), made.certificate, tmp_path) == IMAGE
    assert "p4ss" not in repr(key)
    for wrong in ({}, {"passphrase": "p4ss"}):
        with refused("signing_key_unusable") as caught:
            signer(**options, **wrong).check()
        assert "p4ss" not in str(caught.value.result())
    with refused("bad_secret"):
        signer(**options, passphrase="p4ss phrase\n").check()


def test_secrets_are_on_no_command_line(made, tmp_path, monkeypatch):
    seen = script(
        tmp_path / "openssl", f'tr "\\0" " " < /proc/$$/cmdline >> {tmp_path}/seen; exec /usr/bin/openssl "$@"'
    )
    assert seen.stat().st_mode & stat.S_IXUSR
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    locked = tmp_path / "locked.key"
    openssl("pkey", "-in", made.key, "-aes256", "-passout", "pass:p4ss", "-out", locked, executable="/usr/bin/openssl")
    signer(key=locked, certificate=made.certificate, passphrase="p4ss").sign(IMAGE)
    words = (tmp_path / "seen").read_text()
    assert "-passin" in words
    assert "p4ss" not in words


def test_a_key_of_another_certificate(made, other):
    with refused("signing_key_mismatch"):
        signer(key=other.key, certificate=made.certificate).check()


def test_missing_files(made, tmp_path):
    with refused("signing_key_missing"):
        signer(key=tmp_path / "none", certificate=made.certificate).check()
    with refused("signing_certificate_unusable"):
        signer(key=made.key, certificate=tmp_path / "none")
    with refused("signing_certificate_unusable"):
        signer(key=made.key)  # without one in it
    with refused("signing_key_unusable"):
        signer(key=made.certificate, certificate=made.certificate).check()


@pytest.mark.parametrize(
    ("kind", "words", "named"),
    [
        ("rsa:1024", (), "rsaEncryption, 1024 bits"),
        ("ed25519", (), "ED25519"),
        ("ec", ("-pkeyopt", "ec_paramgen_curve:P-256"), "id-ecPublicKey, 256 bits"),
        ("rsa-pss", ("-pkeyopt", "rsa_keygen_bits:2048"), "rsassaPss, 2048 bits"),
    ],
)
def test_keys_that_kernels_do_not_verify(tmp_path, kind, words, named):
    weak = make_signer(tmp_path, "weak", *words, kind=kind)
    with refused("signer_key_unsupported") as caught:
        signer(key=weak.key, certificate=weak.certificate)
    assert named in caught.value.sentence


def test_a_key_of_another_kind_than_the_certificates(made, tmp_path):
    other = make_signer(tmp_path, "curve", "-pkeyopt", "ec_paramgen_curve:P-256", kind="ec")
    with refused("signing_key_mismatch"):
        signer(key=other.key, certificate=made.certificate).check()


def test_what_a_certificate_says(made):
    said = read_certificate(str(made.certificate))
    assert said.subject == "CN=Test signer,O=Fleet"
    text = openssl("x509", "-in", made.certificate, "-noout", "-text", "-fingerprint", "-sha256").stdout.decode()
    plain = text.replace(":", "").lower()
    assert f"subject key identifier \n                {said.key_id}\n" in plain
    assert f"sha256 fingerprint={said.fingerprint}" in plain
    assert set(said.facts()) >= {"subject", "fingerprint", "key_id"}
    assert str(made.certificate) not in str(said.facts())
    assert said.remarks(datetime.datetime.now(datetime.UTC)) == []


def test_a_certificate_without_a_key_identifier_is_known_by_its_serial_number(tmp_path):
    plain = make_signer(tmp_path, "plain", "-set_serial", "0xf0a1", "-addext", "subjectKeyIdentifier=none")
    assert read_certificate(str(plain.certificate)).key_id == "00f0a1"


def test_an_expired_certificate_is_a_remark(made, tmp_path):
    key = signer(key=made.key, certificate=made.certificate)
    (row,) = key.certificate.remarks(NOW)
    assert row["code"] == "signer_expired"
    assert "expired" in row["sentence"]
    (row,) = key.certificate.remarks(NOW.replace(year=2000))
    assert row["code"] == "signer_not_yet_valid"


def test_an_expired_certificate_signs(tmp_path):
    """As kernels take it: tests/integration shows that."""
    old = make_expired_signer(tmp_path, "old")
    key = signer(key=old.key, certificate=old.certificate)
    (row,) = key.certificate.remarks(datetime.datetime.now(datetime.UTC))
    assert (row["code"], row["details"]["not_after"]) == ("signer_expired", "2021-01-01 00:00:00Z")
    assert verified(key.sign(IMAGE), old.certificate, tmp_path) == IMAGE


def test_the_certificate_and_the_hash_name_the_build(made, other):
    key = signer(key=made.key, certificate=made.certificate)
    assert key.identity == by_command(made).identity, "not how the key is reached"
    assert key.identity != signer(key=other.key, certificate=other.certificate).identity
    assert key.identity != signer(key=made.key, certificate=made.certificate, hash="sha512").identity


@pytest.mark.parametrize(
    "uri", ["token=a", "pkcs11:object=a?pin-value=1234", "pkcs11:object=a?pin-source=file:/pin", "pkcs11:a;PIN-VALUE=1"]
)
def test_a_pin_in_a_uri_is_refused(made, uri):
    with refused("bad_pkcs11_uri") as caught:
        signer(certificate=made.certificate, pkcs11=uri)
    assert "1234" not in str(caught.value.result())


@pytest.fixture
def token(made, tmp_path, monkeypatch):
    found = Token(tmp_path, made.key)
    monkeypatch.setenv("SOFTHSM2_CONF", str(found.configuration))
    return found


def test_a_key_in_a_token_signs(made, token):
    key = signer(certificate=made.certificate, pkcs11=token.uri, pin=token.pin, pkcs11_library=token.library)
    assert key.sign(IMAGE) == signer(certificate=made.certificate, key=made.key).sign(IMAGE)
    assert token.pin not in repr(key)
    assert "PKCS11_MODULE_PATH" not in os.environ


@pytest.mark.parametrize("wrong", [{"pin": "111111"}, {}, {"pkcs11": "pkcs11:token=fleet;object=none;type=private"}])
def test_a_token_that_does_not_sign(made, token, wrong):
    """A missing PIN would be asked for: openssl's engine has a prompt of its own."""
    options = {
        "pkcs11": token.uri,
        "pkcs11_library": token.library,
        **({"pin": token.pin} if "pkcs11" in wrong else {}),
    }
    before = time.monotonic()
    with refused("signing_failed") as caught:
        signer(certificate=made.certificate, **{**options, **wrong}).check()
    assert time.monotonic() - before < 15
    assert not {"111111", token.pin} & set(str(caught.value.result()).split())


def test_a_token_with_the_key_of_another_certificate(other, token):
    with refused("signing_key_mismatch"):
        signer(certificate=other.certificate, pkcs11=token.uri, pin=token.pin, pkcs11_library=token.library).check()


def test_a_signature_is_cut_off_as_it_was_appended():
    signed = module_signature.append(IMAGE, b"message")
    assert module_signature.split(signed) == (IMAGE, b"message")
    assert module_signature.split(IMAGE) == (IMAGE, b"")
    with pytest.raises(ValueError):
        module_signature.append(signed, b"message")
    for damaged in (module_signature.MAGIC, b"x" * 12 + module_signature.MAGIC):
        with pytest.raises(ValueError):
            module_signature.split(damaged)
