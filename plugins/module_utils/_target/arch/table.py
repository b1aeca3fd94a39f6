# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The architectures that a host can have, by name: ``uname -m`` says which."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.rebootless.splice.plugins.module_utils._common.errors import RebootlessError
from ansible_collections.rebootless.splice.plugins.module_utils._target.arch import x86


class Architecture(t.NamedTuple):
    """One architecture.

    ``finit_module``, ``delete_module`` and ``keyctl`` are numbers of system calls.  ``jump(address, target)`` are the
    bytes of the jump that an update writes over a function.  ``untraced(entry)`` says what stands at a
    function's entry, of which it gets ``entry_size`` bytes, while no tracer is called there: how far from its start,
    and the bytes; None if no call is there.  ``image_banner(head)`` is what a boot image says of its version, "" if it
    is no image.
    """

    finit_module: int
    delete_module: int
    keyctl: int
    jump: t.Callable[[int, int], bytes]
    entry_size: int
    untraced: t.Callable[[bytes], tuple[int, bytes] | None]
    image_banner: t.Callable[[bytes], str]


ARCHITECTURES = {
    "x86_64": Architecture(
        x86.FINIT_MODULE, x86.DELETE_MODULE, x86.KEYCTL, x86.jump, x86.ENTRY_SIZE, x86.untraced, x86.image_banner
    ),
}


def running() -> Architecture:
    """This host's.  Raises ``RebootlessError`` (``arch_unsupported``)."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        raise RebootlessError(
            "arch_unsupported",
            f"Modules cannot be loaded on the architecture {machine} by this collection.",
            f"Supported are: {', '.join(sorted(ARCHITECTURES))}.",
        )
    return ARCHITECTURES[machine]


def image_banner(head: bytes) -> str:
    """What a boot image of one of them, of which ``head`` is the beginning, says of its version; "" if it is none."""
    return next(filter(None, (arch.image_banner(head) for arch in ARCHITECTURES.values())), "")
