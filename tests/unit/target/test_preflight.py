# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host that is locked down would load a package's modules, found out before it is tried."""

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.rebootless.splice.plugins.module_utils._common import module_signature, signers
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import parse_package
from ansible_collections.rebootless.splice.plugins.module_utils._target import preflight
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, keyrings
from ansible_collections.rebootless.splice.tests.support.booting_host import refusal
from ansible_collections.rebootless.splice.tests.support.package import FILES, MANIFEST, build
from ansible_collections.rebootless.splice.tests.support.signers import make_signer, openssl, product_signer

KEY = "36b692bb139848f14b9a478d0065177c71d45ff0"
SIGNER = {"subject": "CN=Fleet", "fingerprint": "ab" * 32, "key_id": KEY, "hash": "sha256"}
ROW = {"keyring": ".platform", "name": "Fleet", "key_id": KEY}
OTHER = {**ROW, "keyring": ".builtin_trusted_keys", "key_id": "00" * 20}


def package(*signed: str, **manifest):
    files = {
        name: module_signature.append(content, b"signature") if name in signed else content
        for name, content in FILES.items()
    }
    return parse_package("package", build({**MANIFEST, **manifest}, files))


@pytest.fixture
def locked(monkeypatch):
    """Has the host locked down, with these keys in its keyrings."""

    def lock(keys, lockdown="integrity", enforced=False):
        monkeypatch.setattr(facts, "modules_disabled", lambda: False)
        monkeypatch.setattr(facts, "lockdown", lambda: lockdown)
        monkeypatch.setattr(facts, "signatures_enforced", lambda: enforced)
        monkeypatch.setattr(keyrings, "trusted_keys", lambda: keys)

    return lock


def test_an_unsigned_module_is_refused(locked):
    for signed in ((), ("update.ko",), ("rebootless.ko",)):
        locked([ROW])
        with refusal("unsigned_module") as caught:
            preflight._loading_allowed(package(*signed, signer=SIGNER))
        assert set(caught.value.details["unsigned"]) == set(signers.MODULES) - set(signed)


@pytest.mark.parametrize(("lockdown", "enforced"), [("integrity", False), ("confidentiality", False), ("none", True)])
def test_a_signer_that_no_keyring_has_is_refused(locked, lockdown, enforced):
    for keys in ([], [OTHER]):
        locked(keys, lockdown, enforced)
        with refusal("signer_not_trusted") as caught:
            preflight._loading_allowed(package(*signers.MODULES, signer=SIGNER))
        assert SIGNER["fingerprint"] in caught.value.next_step
        assert caught.value.details["keyrings"] == keys


@pytest.mark.parametrize(
    ("keys", "manifest"),
    [
        ([OTHER, ROW], {"signer": SIGNER}),
        (None, {"signer": SIGNER}),  # the kernel does not tell
        ([OTHER], {}),  # the package does not tell
    ],
)
def test_what_may_be_trusted_is_for_the_kernel_to_verify(locked, keys, manifest):
    locked(keys)
    preflight._loading_allowed(package(*signers.MODULES, **manifest))


def test_without_lockdown_signatures_do_not_matter(locked):
    locked([], "none")
    preflight._loading_allowed(package())
    preflight._loading_allowed(package(*signers.MODULES, signer=SIGNER))


@pytest.mark.parametrize("signer", [None, "CN=Fleet", {}, {**SIGNER, "key_id": 7}])
def test_a_package_with_another_kind_of_signer_is_damaged(signer):
    with pytest.raises(RebootlessError, check=lambda error: error.code == "package_damaged"):
        package(signer=signer)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("signers")
    return make_signer(directory, "fleet"), make_signer(directory, "other")


def signed_package(made, by=None, **changed):
    """One that names the fleet's signer, signed as such packages are."""
    files = {**FILES, **{name: product_signer(by or made[0]).sign(FILES[name]) for name in signers.MODULES}, **changed}
    facts = product_signer(made[0]).facts()
    return parse_package("package", build({**MANIFEST, "signer": facts}, files))


def test_a_package_is_signed_by_whom_it_names(made):
    signers.check(signed_package(made))
    signers.check(package(*signers.MODULES))  # it names none


@pytest.mark.parametrize("member", signers.MODULES)
def test_a_module_of_another_signer_is_refused(made, member):
    for image in (product_signer(made[1]).sign(FILES[member]), FILES[member], FILES[member] + module_signature.MAGIC):
        with refusal("signer_differs") as caught:
            signers.check(signed_package(made, **{member: image}))
        assert caught.value.details["member"] == member
        assert caught.value.next_step


def test_a_signature_by_key_identifier_names_its_signer_too(made, tmp_path):
    (tmp_path / "image").write_bytes(FILES["update.ko"])
    words = ("-binary", "-noattr", "-nocerts", "-keyid", "-outform", "DER", "-md", "sha256")
    who = ("-signer", made[0].certificate, "-inkey", made[0].key, "-in", tmp_path / "image")
    message = openssl("cms", "-sign", *words, *who).stdout
    assert signers.signer_of(message) == ("key_id", product_signer(made[0]).facts()["key_id"])
    signers.check(signed_package(made, **{"update.ko": module_signature.append(FILES["update.ko"], message)}))


def test_no_signature_that_is_cut_off_or_changed_breaks_the_reader(made):
    """It reads what comes from elsewhere: it answers, or says ``ValueError``."""
    message = module_signature.split(product_signer(made[0]).sign(FILES["update.ko"]))[1]
    kind, value = signers.signer_of(message)
    assert (kind, value.lstrip("0")) == ("serial", product_signer(made[0]).facts()["serial"].lstrip("0"))
    for at in range(len(message)):
        for damaged in (message[:at], message[:at] + bytes([message[at] ^ 0xFF]) + message[at + 1 :]):
            with contextlib.suppress(ValueError):
                assert signers.signer_of(damaged)[0] in ("serial", "key_id")
