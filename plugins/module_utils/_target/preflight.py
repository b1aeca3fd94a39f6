# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a package can be applied to this host at all, found out before anything is tried.

Nothing here is relied on for safety: the helper module checks build ID, code and state again, in the kernel.  It is
for clear answers, early, without a trace on the host.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common import signers
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._common.module_signature import is_signed
from ansible_collections.rebootless.splice.plugins.module_utils._common.package import Package
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel import facts, keyrings, sysfs
from ansible_collections.rebootless.splice.plugins.module_utils._target.kernel.modinfo import read_modinfo

BUILD_FOR_THIS = "Build the update for this kernel's build ID; the version string alone does not identify a kernel."


def check(package: Package) -> None:
    """Raises ``RebootlessError`` for the first reason for which this host cannot take the package."""
    for step in CHECKS:
        step(package)


def _arch(package: Package) -> None:
    wanted, running = package.manifest["kernel"]["arch"], facts.arch()
    if wanted != running:
        raise RebootlessError(
            "arch_mismatch",
            f"The update was made for {wanted}, and this host is {running}.",
            "Build the update for this host's architecture.",
            expected=wanted,
            found=running,
        )


def _build_id(package: Package) -> None:
    kernel, running = package.manifest["kernel"], facts.build_id()
    if running and kernel["build_id"] != running:
        raise RebootlessError(
            "build_id_mismatch",
            "The running kernel is not the build that this update was made for.",
            BUILD_FOR_THIS,
            expected=kernel["build_id"],
            found=running,
            expected_release=kernel["release"],
            found_release=facts.release(),
        )


def _module_files(package: Package) -> None:
    """The modules' own word on which kernel they were built for (``vermagic``)."""
    for member in signers.MODULES:
        built_for = read_modinfo(package.files[member], member).get("vermagic", "").split(" ")[0]
        if built_for != facts.release():
            raise RebootlessError(
                "module_other_kernel",
                f"{member} of the package was built for the kernel {built_for or '(unknown)'}, not {facts.release()}.",
                BUILD_FOR_THIS,
                member=member,
                expected=facts.release(),
                found=built_for,
            )


def _loading_allowed(package: Package) -> None:
    if facts.modules_disabled():
        raise RebootlessError(
            "modules_disabled",
            "Loading of modules has been switched off on this host until its next boot (kernel.modules_disabled).",
            "Reboot into a fixed kernel; to patch this host live later, do not set kernel.modules_disabled.",
        )
    mode = facts.lockdown()
    locked_down = mode in ("integrity", "confidentiality")
    if not locked_down and not facts.signatures_enforced():
        return
    locked = f"is locked down ({mode})" if locked_down else "enforces module signatures"
    unsigned = [member for member in signers.MODULES if not is_signed(package.files[member])]
    if unsigned:
        raise RebootlessError(
            "unsigned_module",
            f"This host's kernel {locked}, and the package's modules are not all signed.",
            "Build the update with a signer (option sign of update_build) whose certificate is enrolled on this host.",
            lockdown=mode,
            unsigned=unsigned,
        )
    _signer_trusted(package, locked)


def _signer_trusted(package: Package, locked: str) -> None:
    """The kernel knows a signer by the issuer and serial number in the signature; its key identifier is as unique.

    What keyrings or package do not say is left to the kernel, which decides in any case.
    """
    signer, known = package.manifest.get("signer"), keyrings.trusted_keys()
    if signer is None or known is None or any(row["key_id"] == signer["key_id"] for row in known):
        return
    raise RebootlessError(
        "signer_not_trusted",
        f"This host's kernel {locked}, and none of its keyrings holds the signer's certificate: {signer['subject']}.",
        f"Enrol the certificate on this host (mokutil --import, then a reboot) and check its SHA-256 there: "
        f"{signer['fingerprint']}. docs/secure-boot.md has the steps.",
        signer=signer,
        keyrings=known,
    )


def _helper(package: Package) -> None:
    """A helper module of another ABI can only be exchanged while it holds no update."""
    if not sysfs.helper_loaded() or sysfs.helper_abi() == sysfs.ABI:
        return
    held = [name for name in sysfs.names() if sysfs.state(name) != sysfs.FAILED]
    if held:
        raise RebootlessError(
            "helper_other_abi",
            f"The helper module that is loaded has ABI {sysfs.helper_abi()}; this update needs ABI {sysfs.ABI}.",
            f"Take out what it holds first (state: absent): {', '.join(held)}.",
            found=sysfs.helper_abi(),
            expected=sysfs.ABI,
            updates=held,
        )


def switchable(package: Package) -> None:
    """What no build for this kernel can help, since of it text cannot be written, or not be recognised."""
    if facts.real_time():
        raise RebootlessError(
            "real_time_kernel",
            "This host runs the rt flavour (PREEMPT_RT): its text cannot be written while all processors are stopped.",
            "Reboot it into a fixed kernel; to patch it live later, run another flavour.",
            release=facts.release(),
        )
    chosen = facts.call_depth_tracking()
    if chosen:
        raise RebootlessError(
            "call_depth_tracking",
            f"This host's kernel was booted with call depth tracking ({chosen}), which rewrites each call, so that its "
            "code does not match.",
            f"Reboot it into a fixed kernel; to patch it live later, boot it without {chosen}.",
            found=chosen,
        )


CHECKS: tuple[t.Callable[[Package], None], ...] = (
    _arch,
    _build_id,
    switchable,
    _module_files,
    signers.check,
    _loading_allowed,
    _helper,
)
