# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The architectures that are known, by name: the kernel tree and the object files say which."""

from __future__ import annotations

from ansible_collections.rebootless.splice.plugins.module_utils._build.arch.x86.record import X86_64
from ansible_collections.rebootless.splice.plugins.module_utils._build.code.architecture import Architecture
from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError

ARCHITECTURES = {arch.name: arch for arch in (X86_64,)}


def architecture(name: str) -> Architecture:
    """The architecture that ``uname -m`` calls ``name``.  Raises ``RebootlessError`` (``unsupported_architecture``)."""
    if name not in ARCHITECTURES:
        raise RebootlessError(
            "unsupported_architecture",
            f"The architecture {name} is not known to this release.",
            f"Use a kernel of one of these: {', '.join(ARCHITECTURES)}.",
            architecture=name,
        )
    return ARCHITECTURES[name]


def architecture_of_elf(machine: str) -> Architecture:
    """The architecture of an ELF file with that ``e_machine`` (``EM_X86_64``); ``ValueError`` if it is not known."""
    for arch in ARCHITECTURES.values():
        if arch.elf_machine == machine:
            return arch
    raise ValueError(f"it is for {machine}, and only {', '.join(ARCHITECTURES)} is known")
